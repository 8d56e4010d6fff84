"""Power loss at any moment: a worker's system calls are recorded, and its disk rebuilt as it would have been left.

What was synced before the moment is there; what was not is absent, whole, cut off, or torn at its
sectors. The product's own store opens each of these disks, and every promise made before is examined.
"""

import random
import shutil
import signal
import sqlite3 as library
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenpool.kernel import ids
from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import Store
from tokenpool.proofs import scratch, strace, worker
from tokenpool.proofs.disk import CHANCES, Disk
from tokenpool.proofs.promises import Kept, Promises, examine
from tokenpool.proofs.server import Server
from tokenpool.proofs.strace import Call
from tokenpool.proofs.worker import JOURNAL, Task

DATABASE = "tokenpool.sqlite3"
BUSY: dict[str, Any] = {"turns": 50, "reader": True, "checkpoint_pages": 120}  # what a checkpoint goes through
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own in it: thousands of files are written and thrown away
_ENOUGH_BYTES = 2**30
Opening = Callable[[Path], AbstractAsyncContextManager[Store]]


@dataclass(frozen=True)
class Recorded:
    """What workers did below *root*: the first one's task, the folder as it was before, and the calls."""

    task: Task
    root: Path
    before: Path
    calls: list[Call]

    @classmethod
    def run(cls, root: Path, *tasks: Task, failing: str = "") -> "Recorded":
        """Let a worker do each of *tasks* below *root*, one after the other; *failing* says which calls shall fail."""
        before, record = root.with_name("before"), root.with_name("calls")
        shutil.copytree(root, before)
        words = [*strace.recording(record, failing=failing), *worker.command(*tasks)]
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
        return cls(tasks[0], root, before, list(strace.calls(record)))

    @property
    def told(self) -> list[Call]:
        """The calls that told something."""
        return [call for call in self.calls if call.name == "writev"]

    def promises(self) -> Promises:
        """Return everything that was told."""
        return Promises.read(call.data.decode() for call in self.told)

    def moments(self, count: int, dice: random.Random) -> Iterator[tuple[Disk, list[str]]]:
        """Yield the disk and what was told so far at *count* moments, half just after a promise, and at the end."""
        chosen = {call.ended for call in dice.sample(self.told, count // 2)}
        chosen |= {call.ended for call in dice.sample(self.calls, count // 2)} | {self.calls[-1].ended}
        disk, lines = Disk(self.root, self.before, self.task.working), list[str]()
        for call in self.calls:
            if call.name == "writev":
                lines.append(call.data.decode())
            else:
                disk.apply(call)
            if call.ended in chosen:
                yield disk, lines


async def after_a_failed_checkpoint(database: Path, moments: int, *, mistake: str = "") -> Kept:
    """Let a checkpoint's fsync of the main file fail, go on, start anew, and lose power at *moments* moments."""
    staged: dict[str, Any] = {"staged": True, "checkpoint_pages": 10**6}  # no checkpoints but those of the stage
    with workshop() as folder:
        clean = await on_sqlite(database, folder, **staged)
        syncs = [call.path for call in clean.calls if call.name == "fdatasync"]
        failing = f"fdatasync:error=EIO:when={syncs.index(clean.root / DATABASE) + 1}"
    with workshop() as folder:
        failed = await on_sqlite(database, folder, failing=failing, mistake=mistake, then=10, **staged)
        return await lose(failed, moments, sqlite, chances=("none",))


@contextmanager
def workshop() -> Iterator[Path]:
    """Make a folder to work in, in memory where there is such a place: what a sync means is the model's affair."""
    memory = _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES else None
    with tempfile.TemporaryDirectory(prefix="tokenpool-power-", dir=memory) as folder:
        Path(folder).chmod(0o755)  # a PostgreSQL of another user works in it
        yield Path(folder)


async def on_sqlite(database: Path, folder: Path, *, failing: str = "", then: int = 0, **task: Any) -> Recorded:  # noqa: ANN401 - of a Task
    """Record a worker on a copy of the SQLite file *database*, and after it another one of *then* turns."""
    root = folder / "disk"
    root.mkdir()
    path = copied(database, root / DATABASE)
    first = Task(str(path), await _organization(str(path)), str(root / JOURNAL), **task)
    second = [replace(first, turns=then, reader=False, staged=False)] if then else []
    return Recorded.run(root, first, *second, failing=failing)


def copied(database: Path, target: Path) -> Path:
    """Copy a SQLite file with what is still in its log, and return *target*."""
    with closing(library.connect(database)) as source, closing(library.connect(target)) as copy:
        source.backup(copy)
    return target


async def on_postgres(seed: Path, folder: Path, *, database: str, failing: str = "", **task: Any) -> Recorded:  # noqa: ANN401 - of a Task
    """Record a server on a copy of the stopped one in *seed*, and a worker on its migrated *database*."""
    root = folder / "disk"
    shutil.copytree(seed, root)
    server = Server(root)
    organization_id = await _organization(server.url(database))
    server.stop()
    work = Task(database, organization_id, str(root / JOURNAL), server=str(root), **task)
    return Recorded.run(root, work, failing=failing)


async def lose(
    recorded: Recorded, moments: int, opening: Opening, *, chances: tuple[str, ...] = CHANCES, seed: int = 1
) -> Kept:
    """Lose power at *moments* moments with each of the *chances*, and examine every disk that is left."""
    dice, kept = random.Random(seed), Kept()  # noqa: S311 - seeded
    left = recorded.root.with_name("left")
    for disk, lines in recorded.moments(moments, dice):
        for chance in chances:
            disk.lose_power(left, chance, dice)
            await look(left, recorded.task.organization_id, Promises.read(lines), opening, kept)
            shutil.rmtree(left)
    return kept


async def look(folder: Path, organization_id: str, promises: Promises, opening: Opening, kept: Kept) -> None:
    """Open what is in *folder* and examine it; what cannot be opened is damaged."""
    try:
        async with opening(folder) as store:
            await examine(store, folder / JOURNAL, organization_id, promises, kept)
    except (library.DatabaseError, Unavailable, RuntimeError):
        kept.states, kept.damaged = kept.states + 1, kept.damaged + 1


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Store]:
    """Open the SQLite file in *folder* as a starting Tokenpool does; damage is an error."""
    store = scratch.open_store(str(folder / DATABASE))
    try:
        (verdict,) = await store.read("pragma quick_check")
        if verdict != ("ok",):
            raise library.DatabaseError(verdict[0])
        yield store
    finally:
        await store.close()


def postgres(database: str) -> Opening:
    """Return how to start the server in a folder as after a boot, and open its *database*."""

    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Store]:
        server = Server(folder, fsync="off")  # the examined disk is thrown away
        store = scratch.open_store(server.url(database))
        try:
            yield store
        finally:
            await store.close()
            server.stop(signal.SIGQUIT)

    return opened


async def _organization(address: str) -> str:
    store, organization_id = scratch.open_store(address), ids.new("org")
    await scratch.found(store, organization_id)
    await store.close()
    return organization_id
