"""`tokenpool prove`, the part that takes whole processes: recorded histories, servers that are killed, several at once.

Mistakes that must be caught, and several servers (on PostgreSQL), come only when this part has half
a minute or more.
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenpool.proofs import crew, history, kills, mutants, scratch, several
from tokenpool.proofs.points import POINTS

Line = dict[str, object]

SHARES = {"history": 0.3, "kills": 0.7}
HASTY_SECONDS = 30
MISTAKEN_ROUNDS = 20
_CAUGHT_AT = {
    mutants.SERVERS[0]: ["written, before the commit"] * 3,
    mutants.SERVERS[1]: [kills.AWAY_MOMENT] * 2,
    mutants.SERVERS[2]: ["last event, before the settlement"] * 2,
    mutants.SERVERS[3]: ["batch: taken, its confirmation not written"],
}


@dataclass(frozen=True)
class Pace:
    """How long an experiment goes on: so many *rounds* if there are any, else *seconds*; once at least."""

    seconds: float
    rounds: int

    def goes_on(self, done: int, began: float) -> bool:
        """Tell whether, with *done* rounds since *began*, another one is due."""
        return not done or (done < self.rounds if self.rounds else time.monotonic() - began < self.seconds)

    @property
    def hasty(self) -> bool:
        """True when there is hardly time for anything."""
        return not self.rounds and self.seconds < HASTY_SECONDS

    def share(self, part: float) -> "Pace":
        """Return the pace of an experiment that gets *part* of the time."""
        return Pace(self.seconds * part, self.rounds)


def experiments(address: str, folder: Path, pace: Pace) -> Iterator[Line]:
    """Yield a line per experiment; *folder* is the data folder of the servers."""
    yield asyncio.run(_history(address, pace.share(SHARES["history"])))
    yield _kills(address, folder, pace.share(SHARES["kills"]))
    if pace.hasty:
        return
    for name in mutants.NAMES:
        yield asyncio.run(_unexplained(address, name))
    url = address if "://" in address else ""
    for name, labels in _CAUGHT_AT.items():
        found = kills.run(folder, url, labels, mutant=name).findings
        yield {"experiment": f"a server with a mistake ({name})", "holds": bool(found.lost or found.freed)}
    if url:
        yield from _several(url)


async def _history(address: str, pace: Pace) -> Line:
    store, began, replayed = scratch.open_store(address), time.monotonic(), history.Replayed()
    await history.prepare(store, address)
    with crew.hired(address, history.do_as_they_like) as pipes:
        while pace.goes_on(replayed.rounds, began):
            await history.go_on(store, pipes, replayed.rounds, replayed)
    await store.close()
    return {
        "experiment": "histories of four processes, replayed through the plain model",
        "holds": replayed.holds,
        "rounds": replayed.rounds,
        "operations": replayed.operations,
        "unexplained": len(replayed.unexplained),
    }


async def _unexplained(address: str, name: str) -> Line:
    store = scratch.open_store(address)
    with crew.hired(address, history.do_as_they_like, mutant=name) as pipes:
        replayed = await history.run(store, pipes, range(MISTAKEN_ROUNDS), until_broken=True)
    await store.close()
    experiment = f"a history with a mistake ({name})"
    return {"experiment": experiment, "holds": not replayed.holds, "caught_in_round": replayed.rounds}


def _kills(address: str, folder: Path, pace: Pace) -> Line:
    tolls, began, died, seed = list[kills.Toll](), time.monotonic(), Counter[str](), 0
    while pace.goes_on(died.total(), began):
        seed += 1
        most = 2 if pace.hasty else 8
        points = random.Random(seed).sample(list(POINTS), most)  # noqa: S311 - seeded
        labels = [*points, *[kills.RANDOM_MOMENT] * (most // 2)]
        tolls.append(kills.run(folder, address if "://" in address else "", labels, seed=seed))
        died += tolls[-1].kills
    found = [toll.findings for toll in tolls]
    return {
        "experiment": "kill -9 of the server under load",
        "holds": all(toll.holds for toll in tolls),
        "kills": died.total(),
        "points": len(died.keys() & POINTS.keys()),
        "promises": sum(one.promises for one in found),
        "exact": sum(one.exact for one in found),
        "estimated": sum(one.estimated for one in found),
        "batched": sum(one.batched for one in found),
        "late": sum(one.late for one in found),
        "lost": sum(len(one.lost) for one in found),
        "doubled": sum(len(one.doubled) for one in found),
        "freed": sum(len(one.freed) for one in found),
        "broken": sum(len(one.broken) for one in found),
        "slowest_start_seconds": round(max(toll.slowest_start_seconds for toll in tolls), 2),
        "slowest_start_from_nothing_seconds": round(max(toll.cold_start_seconds for toll in tolls), 2),
    }


def _several(url: str) -> Iterator[Line]:
    for name in ("", *mutants.BESIDE):
        with tempfile.TemporaryDirectory(prefix="tokenpool-prove-") as folder:
            found = several.run(Path(folder), url, mutant=name)
        if name:
            yield {"experiment": f"several servers with a mistake ({name})", "holds": bool(found.lost)}
        else:
            figures = {"promises": found.promises, "exact": found.exact, "estimated": found.estimated}
            yield {"experiment": "several servers on one database", "holds": found.holds, **figures}
