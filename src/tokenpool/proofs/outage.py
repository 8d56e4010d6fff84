"""A database that stands still or restarts under load: nobody waits beyond the patience or hears what is not so.

A worker goes on asking while the database is paused, restarted, or locked by somebody who was paused;
its journal takes the settlements meanwhile.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tokenpool.kernel import ids
from tokenpool.kernel.errors import InvalidInput
from tokenpool.proofs import scratch, worker
from tokenpool.proofs.promises import Kept, Promises, examine
from tokenpool.proofs.server import Server

Trouble = Callable[[], AbstractAsyncContextManager[None]]
Line = tuple[float, str]  # the instant it came, what it told

CALLERS, PATIENCE_SECONDS, BACK_SECONDS = 16, 1.0, 5.0
BEFORE_SECONDS, AFTER_SECONDS = 0.3, 0.2
_UNDER_WAY_SECONDS = 0.1
_LOCKER = (
    "import sqlite3, sys, time; held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60); "
    "held.execute('begin immediate'); print(flush=True); time.sleep(600)"
)


@dataclass(frozen=True)
class Outage:
    """What came of one outage."""

    unavailable: int  # answers
    journaled: int  # settlements, while it lasted
    granted: int  # holds acknowledged while it lasted
    slowest_ms: int  # of all answers
    back_ms: int  # from its end (a server that answers again) to the next hold
    wrong: list[str]  # answers that no caller should get
    kept: Kept

    @property
    def holds(self) -> bool:
        """True when it was felt, was told in time, was over at its end, and every promise was kept."""
        in_time = self.slowest_ms < 2000 * PATIENCE_SECONDS and self.back_ms < 1000 * BACK_SECONDS
        return bool(self.unavailable and in_time and not self.wrong and self.kept.holds)


async def endure(address: str, journal: Path, trouble: Trouble, seconds: float = 0) -> Outage:
    """Let a worker hold and settle at *address*, with *trouble* for some *seconds* in the middle, and look after it."""
    store, organization_id, lines = scratch.open_store(address), ids.new("org"), list[Line]()
    await scratch.found(store, organization_id)
    await store.close()
    task = worker.Task(address, organization_id, str(journal), callers=CALLERS, turns=0, patience=PATIENCE_SECONDS)
    process = await asyncio.create_subprocess_exec(*worker.command(task), stdout=PIPE)
    listening = asyncio.create_task(_listen(process, lines))
    await _holds_after(0, lines)
    await asyncio.sleep(BEFORE_SECONDS)
    async with trouble():
        began = time.monotonic() + _UNDER_WAY_SECONDS
        await asyncio.sleep(seconds)
        ended = time.monotonic()
    over = time.monotonic()
    back = await _holds_after(over, lines)
    await asyncio.sleep(AFTER_SECONDS)
    process.terminate()
    await listening
    promises, kept, store = Promises.read(line for _, line in lines), Kept(), scratch.open_store(address)
    await examine(store, journal, organization_id, promises, kept)
    await store.close()
    return Outage(
        unavailable=len(promises.unavailable),
        journaled=sum(began < at < ended for at, line in lines if line.startswith("journaled")),
        granted=sum(began < at < ended for at, line in lines if line.startswith("held")),
        slowest_ms=max(promises.slowest.values()),
        back_ms=int(1000 * (back - over)),
        wrong=list(promises.wrong),
        kept=kept,
    )


def pause(server: Server) -> Trouble:
    """Return the trouble of a server whose every process stands still."""

    @asynccontextmanager
    async def trouble() -> AsyncIterator[None]:
        with server.paused():
            yield

    return trouble


def restart(server: Server, kind: signal.Signals) -> Trouble:
    """Return the trouble of a server that is stopped (SIGINT: fast; SIGQUIT: immediate) and started again."""

    @asynccontextmanager
    async def trouble() -> AsyncIterator[None]:
        await asyncio.to_thread(partial(server.stop, kind))
        yield
        await asyncio.to_thread(server.start)

    return trouble


def lock(path: str) -> Trouble:
    """Return the trouble of a SQLite file whose write lock is held by a process that stands still."""

    @asynccontextmanager
    async def trouble() -> AsyncIterator[None]:
        locker = await asyncio.create_subprocess_exec(sys.executable, "-c", _LOCKER, path, stdout=PIPE)
        assert locker.stdout is not None  # noqa: S101 - it is piped
        await locker.stdout.readline()
        os.kill(locker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            locker.kill()
            await locker.wait()

    return trouble


def fill(folder: Path) -> Trouble:
    """Return the trouble of a disk without a free byte."""

    @asynccontextmanager
    async def trouble() -> AsyncIterator[None]:
        ballast = folder / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield
        ballast.unlink()

    return trouble


@contextmanager
def small_disk(size: str = "32m") -> Iterator[Path]:
    """Mount a file system of *size* in memory for the block.

    Raises:
        InvalidInput: only root may, and not everywhere.
    """
    with tempfile.TemporaryDirectory(prefix="tokenpool-disk-") as folder:
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode != 0:
            raise InvalidInput("A disk can be filled only where root may mount a small one.")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


async def _holds_after(instant: float, lines: list[Line]) -> float:
    """Return when the first hold after *instant* was granted; give up long after it should have been."""
    while time.monotonic() < instant + 2 * BACK_SECONDS or not instant:
        for at, line in lines:
            if at > instant and line.startswith("held"):
                return at
        await asyncio.sleep(0.01)
    return time.monotonic()


async def _listen(process: Process, lines: list[Line]) -> None:
    assert process.stdout is not None  # noqa: S101 - it is piped
    while line := await process.stdout.readline():
        lines.append((time.monotonic(), line.decode()))
    await process.wait()
