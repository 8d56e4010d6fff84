"""A process of its own that holds and settles, to be recorded, hindered or paused: `python -m tokenpool.proofs.worker`.

What it promises it tells in lines on its standard output, after the answer came and with one system
call that nothing else uses: the record of its calls has every promise at its place.
"""

import asyncio
import json
import logging
import os
import random
import signal
import sqlite3 as library
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path

from tokenpool.gateway import spool
from tokenpool.kernel import ids, postgres, sqlite
from tokenpool.kernel.errors import Unavailable, Undecided
from tokenpool.kernel.group_commit import GroupCommit
from tokenpool.limits.operations import Answer, Done, Held, Operation
from tokenpool.proofs import scratch
from tokenpool.proofs.server import Server

NORMAL, NO_FOLDER, NO_SYNC, TRUSTING, HASTY, DEAF = (
    "synchronous=NORMAL",
    "a journal without its folder's fsync",
    "a journal without any fsync",
    "a checkpoint after a failed fsync",
    "a hold granted whose commit failed",
    "a journal deaf to a failed fsync",
)
SETTINGS = {"synchronous_commit=off": {"synchronous_commit": "off"}, "fsync=off": {"fsync": "off"}}
JOURNAL = "settlements"
JOURNALED_EVERY = 4
STANDS, GOES, ROUND = 15, 30, 100  # turns


@dataclass(frozen=True)
class Task:
    """What a worker is to do, and with which mistake."""

    address: str  # of a database; with *server*, its name there
    organization_id: str
    journal: str
    callers: int = 4
    turns: int = 25  # of each caller: a hold and its end; 0: until it is terminated
    patience: float = 5
    mistake: str = ""
    reader: bool = False  # other connections stand on an old state for a while: no checkpoint can be whole meanwhile
    staged: bool = False  # one caller, and checkpoints made just when they do harm if one is believed that failed
    checkpoint_pages: int = sqlite.CHECKPOINT_PAGES
    server: str = ""  # the folder of a PostgreSQL to start, and to stop in order at the end

    @property
    def working(self) -> Path:
        """The folder in which its relative names lie."""
        return Path(self.server) / "data" if self.server else Path(self.journal).parent


def command(*tasks: Task) -> list[str]:
    """Return the words that do *tasks*, each in a process of its own, one after the other."""
    return [sys.executable, "-m", "tokenpool.proofs.worker", *(json.dumps(asdict(task)) for task in tasks)]


async def work(task: Task) -> None:
    """Let every caller take its turns, then close in order."""
    _make(task.mistake)
    sqlite.CHECKPOINT_PAGES = task.checkpoint_pages
    sqlite._LOCK_PATIENCE_SECONDS = postgres.PATIENCE_SECONDS = task.patience  # noqa: SLF001
    server = Server(Path(task.server), **SETTINGS.get(task.mistake, {})) if task.server else None
    store = scratch.open_store(server.url(task.address) if server else task.address)
    commits, journal = scratch.ledger_on(store), spool.Spool(Path(task.journal))
    if task.staged and isinstance(store, sqlite.SqliteStore):
        await _stage(_Caller(task, commits, journal, 0), store, task)
    else:
        await _turns(task, commits, journal)
    await store.close()
    if server:
        server.stop()


async def _turns(task: Task, commits: GroupCommit, journal: spool.Spool) -> None:
    callers = [_Caller(task, commits, journal, number) for number in range(task.callers)]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, partial(_stop, callers))
    await asyncio.gather(*(caller.run(task.turns) for caller in callers))


async def _stage(caller: "_Caller", store: sqlite.SqliteStore, task: Task) -> None:
    """Make a checkpoint that a reader stands in the way of, one whose fsync is to fail, and what follows from both."""
    with closing(library.connect(task.address, isolation_level=None)) as other:
        await caller.run(task.turns)
        other.execute("begin")
        other.execute("select count(*) from limits_hold").fetchone()
        await caller.run(1)
        store._checkpoint()  # noqa: SLF001 - a part, unsynced
        other.execute("rollback")
        for _ in range(2):
            await caller.run(1)
            store._checkpoint()  # noqa: SLF001 - the rest: the first time its fsync fails
        other.execute("pragma wal_checkpoint(passive)")
        await caller.run(task.turns)


def _stop(callers: list["_Caller"]) -> None:
    for caller in callers:
        caller.stop()


class _Caller:
    """Holds and settles, turn by turn, as the gateway does, and tells."""

    def __init__(self, task: Task, commits: GroupCommit, journal: spool.Spool, number: int) -> None:
        self._task, self._commits, self._journal, self._number = task, commits, journal, number
        self._dice = random.Random(number)  # noqa: S311 - seeded
        self._reader = library.connect(task.address, isolation_level=None) if task.reader else None
        self._slowest, self._on, self._numbers = 0.0, True, count()

    async def run(self, turns: int) -> None:
        """Take so many turns; 0: until it is stopped."""
        for turn in islice(self._numbers, turns or None):
            if not self._on:
                break
            hold_id, nano = ids.new("hold"), self._dice.randrange(2, 9) * scratch.DOLLAR
            try:
                await self._turn(turn, hold_id, nano)
            except (Unavailable, OSError):
                tell("unavailable", hold_id, nano)
                await asyncio.sleep(0.01)
            except Exception as error:  # noqa: BLE001 - what it is, the examiner wants to know
                tell("wrong", type(error).__name__, 0)
        tell("slowest", f"caller_{self._number}", int(self._slowest * 1000))

    def stop(self) -> None:
        """Let the present turn be the last."""
        self._on = False

    async def _turn(self, turn: int, hold_id: str, nano: int) -> None:
        self._stand(turn)
        tell("asked", hold_id, nano)
        if isinstance(await self._submit(scratch.ask(hold_id, nano, f"user_{self._number}", "chat")), Held):
            tell("held", hold_id, nano)
            if not self._task.turns:
                await asyncio.sleep(self._dice.random() * 0.003)  # the call that the hold is for
            await self._end(hold_id, nano // 2, away=turn % JOURNALED_EVERY == self._number % JOURNALED_EVERY)
        if self._number == 0 and turn % 8 == 0:  # one replays, as in the product
            await self._journal.replay(self._commits)

    async def _end(self, hold_id: str, nano: int, *, away: bool) -> None:
        """Settle, or put the settlement into the journal when the database is *away* or does not take it."""
        settlement = scratch.settle(hold_id, nano)
        tell("settling", hold_id, nano)
        if not away:
            with suppress(Unavailable):
                if isinstance(await self._submit(settlement), Done):
                    tell("settled", hold_id, nano)
                return
            tell("unavailable", hold_id, nano)
        self._journal.write(self._task.organization_id, settlement)
        tell("journaled", hold_id, nano)

    async def _submit(self, operation: Operation) -> Answer:
        began = time.monotonic()
        try:
            return await self._commits.submit(self._task.organization_id, operation)  # type: ignore[no-any-return]
        except Undecided:
            if self._task.mistake == HASTY:
                return Held(operation.hold_id, 0, 0, clamped=False, fullest=None)
            raise
        finally:
            self._slowest = max(self._slowest, time.monotonic() - began)

    def _stand(self, turn: int) -> None:
        """Stand on an old state from one turn to a later one."""
        if self._reader and turn % ROUND in (STANDS, GOES):
            with suppress(library.Error):
                self._reader.execute("begin" if turn % ROUND == STANDS else "rollback")
                self._reader.execute("select count(*) from limits_hold").fetchone()


def tell(word: str, name: str, nano: int) -> None:
    """Tell one thing."""
    os.writev(1, [f"{word} {name} {nano}\n".encode()])


def _make(mistake: str) -> None:
    """Make one mistake in this process."""
    if mistake == NORMAL:
        sqlite.PRAGMAS = sqlite.PRAGMAS.replace("synchronous=full", "synchronous=normal")
    elif mistake == NO_FOLDER:
        spool._sync = lambda folder: None  # noqa: ARG005, SLF001 - the mistake
    elif mistake == NO_SYNC:
        spool.os.fsync = lambda _: None  # type: ignore[attr-defined]
    elif mistake == TRUSTING:
        sqlite._FSYNC_ERRORS = ()  # type: ignore[assignment]  # noqa: SLF001 - the mistake
    elif mistake == DEAF:
        spool.os.fsync = _deaf(os.fsync)  # type: ignore[attr-defined]


def _deaf(sync: Callable[[int], None]) -> Callable[[int], None]:
    def deaf(descriptor: int) -> None:
        with suppress(OSError):
            sync(descriptor)

    return deaf


if __name__ == "__main__":
    if len(sys.argv) > 2:  # noqa: PLR2004 - more than one task
        for text in sys.argv[1:]:
            subprocess.run([*command(), text], check=True)
    else:
        logging.disable()
        asyncio.run(work(Task(**json.loads(sys.argv[1]))))
