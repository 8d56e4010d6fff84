"""`tokenpool prove`, the part below the ledger: power loss, failing calls, outages and a clock that is set.

Each experiment runs at least once and then as long as its share of the time lasts, every round with
chances of its own. What this machine lacks a program or a right for is told as not tried.
"""

import asyncio
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from django.core.management import call_command
from django.db import connections

from tokenpool.config.database import postgres_settings
from tokenpool.kernel.errors import InvalidInput
from tokenpool.proofs import clocks, faults, outage, power, scratch, strace, worker
from tokenpool.proofs.outage import Outage, Trouble
from tokenpool.proofs.power import Opening, Recorded
from tokenpool.proofs.promises import Kept
from tokenpool.proofs.server import Server

Line = dict[str, object]

SHARES = {"power": 0.35, "faults": 0.3, "outages": 0.25, "clock": 0.1}
MOMENTS = 8
_ALIAS = "own"  # of a server of our own, among Django's databases


class Ground(Protocol):
    """A kind of database to try on."""

    name: str
    mistakes: tuple[str, ...]
    opening: Opening

    async def record(self, folder: Path, **how: Any) -> Recorded:  # noqa: ANN401 - of a task
        """Record a worker on a fresh database in *folder*."""
        ...

    def faults(self, seed: int) -> Iterator[str]:
        """Yield series of failing calls."""
        ...

    def outages(self, folder: Path) -> Iterator[tuple[str, Trouble, float]]:
        """Yield addresses with the trouble that befalls them, and for how long."""
        ...


class OnSqlite:
    """SQLite and the settlement journal."""

    def __init__(self, database: Path, folder: Path) -> None:
        """*database* is copied as it is now."""
        self.name = "SQLite and the journal"
        self.opening: Opening = power.sqlite
        self.mistakes: tuple[str, ...] = (worker.NORMAL, worker.NO_FOLDER, worker.NO_SYNC)
        self.database = power.copied(database, folder / "migrated.sqlite3")

    async def record(self, folder: Path, **how: Any) -> Recorded:  # noqa: ANN401 - of a task
        """Record a worker that goes through checkpoints."""
        return await power.on_sqlite(self.database, folder, **(power.BUSY | how))

    def faults(self, seed: int) -> Iterator[str]:
        """Yield series of failing calls."""
        return faults.on_sqlite(seed)

    def outages(self, folder: Path) -> Iterator[tuple[str, Trouble, float]]:
        """Yield a write lock that is held by a paused process."""
        path = str(power.copied(self.database, folder / power.DATABASE))
        yield path, outage.lock(path), 2


class OnPostgres:
    """A PostgreSQL of our own, with the journal."""

    def __init__(self, folder: Path) -> None:
        """Make it in *folder*, with the present schema, and stop it."""
        self.name = "PostgreSQL"
        self.opening: Opening = power.postgres("scratch")
        self.mistakes: tuple[str, ...] = tuple(worker.SETTINGS)
        self._seed = folder / "seed"
        self._seed.mkdir()
        server = Server(self._seed)
        server.run("create database scratch")
        connections.settings[_ALIAS] = {**connections.settings["default"], **postgres_settings(server.url("scratch"))}
        call_command("migrate", database=_ALIAS, verbosity=0)
        connections[_ALIAS].close()
        server.stop()

    async def record(self, folder: Path, **how: Any) -> Recorded:  # noqa: ANN401 - of a task
        """Record a server and its worker."""
        return await power.on_postgres(self._seed, folder, database="scratch", **how)

    def faults(self, seed: int) -> Iterator[str]:
        """Yield failing calls of the server."""
        return faults.on_postgres(seed)

    def outages(self, folder: Path) -> Iterator[tuple[str, Trouble, float]]:
        """Yield a paused server, and one that is stopped in both ways and started again."""
        server = Server(Path(shutil.copytree(self._seed, folder / "server")))
        kinds = (outage.restart(server, kind) for kind in (signal.SIGINT, signal.SIGQUIT))
        for trouble in (outage.pause(server), *kinds):
            yield server.url("scratch"), trouble, 2
        server.stop()


def experiments(address: str, seconds: float) -> Iterator[Line]:
    """Run every experiment on the kind of database at *address*, which is migrated and empty."""
    with power.workshop() as folder:
        try:
            strace.program()
            ground: Ground = OnPostgres(folder) if address.startswith("postgres") else OnSqlite(Path(address), folder)
        except InvalidInput as error:
            yield {"experiment": "power loss, failing calls, outages", "holds": "not tried", "reason": error.message}
        else:
            yield asyncio.run(_power(ground, seconds * SHARES["power"]))
            for mistake in ground.mistakes:
                yield asyncio.run(_mistake(ground, mistake))
            if isinstance(ground, OnSqlite):
                yield asyncio.run(_failed_checkpoint(ground))
            yield asyncio.run(_faults(ground, seconds * SHARES["faults"]))
            yield asyncio.run(_outages(ground, seconds * SHARES["outages"]))
            if isinstance(ground, OnSqlite):
                yield asyncio.run(_full_disk(ground))
    yield asyncio.run(_clock(address, seconds * SHARES["clock"]))


async def _power(ground: Ground, seconds: float) -> Line:
    kept, seed = Kept(), 0
    for seed in _rounds(seconds):
        with power.workshop() as folder:
            kept += await power.lose(await ground.record(folder), MOMENTS, ground.opening, seed=seed)
    return {"experiment": f"power loss, {ground.name}", "holds": kept.holds, "seeds": seed + 1, **asdict(kept)}


async def _mistake(ground: Ground, mistake: str) -> Line:
    with power.workshop() as folder:
        recorded = await ground.record(folder, mistake=mistake)
        kept = await power.lose(recorded, MOMENTS // 2, ground.opening, chances=("none",))
    return {"experiment": f"power loss with a mistake ({mistake})", "holds": not kept.holds, **asdict(kept)}


async def _failed_checkpoint(ground: OnSqlite) -> Line:
    kept = await power.after_a_failed_checkpoint(ground.database, MOMENTS)
    mistaken = await power.after_a_failed_checkpoint(ground.database, MOMENTS, mistake=worker.TRUSTING)
    name = "a failed fsync of the main file, then power loss"
    holds = kept.holds and not mistaken.holds
    return {"experiment": name, "holds": holds, **asdict(kept), "damaged_when_believed": mistaken.damaged}


async def _faults(ground: Ground, seconds: float) -> Line:
    found = list[faults.Survived]()
    rounds = (fault for seed in count() for fault in ground.faults(seed))
    for _, fault in zip(_rounds(seconds), rounds, strict=False):
        with power.workshop() as folder:
            recorded = await ground.record(folder, failing=fault)
            found.append(await faults.survive(recorded, fault, ground.opening, moments=2))
    kept = sum((one.kept for one in found), start=Kept())
    return {
        "experiment": f"failing calls, {ground.name}",
        "holds": all(one.holds for one in found),
        "series": len(found),
        "failed_calls": sum(one.failed for one in found),
        "unavailable": sum(one.felt for one in found),
        **asdict(kept),
    }


async def _outages(ground: Ground, seconds: float) -> Line:
    found = list[Outage]()
    for _ in _rounds(seconds):
        with power.workshop() as folder:
            for address, trouble, lasting in ground.outages(folder):
                found.append(await outage.endure(address, folder / worker.JOURNAL, trouble, lasting))
    return _told(f"outages, {ground.name}", found)


async def _full_disk(ground: OnSqlite) -> Line:
    try:
        with outage.small_disk() as folder:
            path = power.copied(ground.database, folder / power.DATABASE)
            found = await outage.endure(str(path), folder / worker.JOURNAL, outage.fill(folder), 0.5)
    except InvalidInput as error:
        return {"experiment": "a full disk", "holds": "not tried", "reason": error.message}
    return _told("a full disk", [found])


async def _clock(address: str, seconds: float) -> Line:
    store, found = scratch.open_store(address), list[clocks.Steps]()
    for seed in _rounds(seconds):
        found.append(await clocks.run(store, 500, seed))
    mistaken = await clocks.run(store, 500, 0, ids_by_the_clock_alone=True)
    await store.close()
    return {
        "experiment": "a clock that is set by a day",
        "holds": all(one.holds for one in found) and not mistaken.holds,
        "steps": sum(one.steps for one in found),
        "wrong_verdicts": sum(one.wrong for one in found),
        "wrong_verdicts_with_a_mistake": mistaken.wrong,
    }


def _told(name: str, found: list[Outage]) -> Line:
    kept = sum((one.kept for one in found), start=Kept())
    return {
        "experiment": name,
        "holds": all(one.holds for one in found),
        "times": len(found),
        "unavailable": sum(one.unavailable for one in found),
        "slowest_answer_ms": max(one.slowest_ms for one in found),
        "back_after_ms": max(one.back_ms for one in found),
        **asdict(kept),
    }


def _rounds(seconds: float) -> Iterator[int]:
    """Count until *seconds* are over, at least once."""
    began = time.monotonic()
    for number in count():
        yield number
        if time.monotonic() - began > seconds:
            return
