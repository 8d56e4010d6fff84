"""Hold and settle on SQLite: group commit against one durable transaction per operation, in the same run.

One operation is a hold or a settlement; a settlement carries its event, its rollup and three accounts.
Usage: python benchmarks/ledger.py [--seconds 2] [--rounds 5] [--callers 256]
"""

import argparse
import asyncio
import statistics
from collections.abc import Awaitable, Callable
from typing import TypeVar

import uvloop

import callers

ADDRESS = callers.prepared()

from asgiref.sync import sync_to_async  # noqa: E402 - Django has its settings now

from tokenpool.config.wiring import ledger_commits  # noqa: E402
from tokenpool.kernel.sqlite import SqliteStore  # noqa: E402
from tokenpool.limits import caps  # noqa: E402
from tokenpool.organizations import founding  # noqa: E402
from tokenpool.organizations.models import Person  # noqa: E402
from tokenpool.organizations.principals import of_person  # noqa: E402
from tokenpool.organizations.roles import Principal  # noqa: E402

Result = TypeVar("Result")
CONSOLE_WRITES_PER_SECOND = 5
SETTINGS_RATE = 50  # requests per second of a quiet organization


def measured(work: Callable[[callers.Load], Awaitable[Result]], *, most: int = 256) -> Result:
    """Run *work* on a fresh connection and organization, in batches of at most *most* operations."""

    async def run() -> Result:
        store = SqliteStore(ADDRESS)
        commits = ledger_commits(store)
        commits._most = most  # noqa: SLF001 - the floor is the same code with batches of one
        try:
            return await work(callers.Load(commits, await callers.found(store, 1000)))
        finally:
            await store.close()

    return uvloop.run(run())


async def at_rate(load: callers.Load, per_second: float, seconds: float) -> callers.Load:
    """Return *load* after requests at a fixed rate."""
    await load.open_loop(per_second, seconds)
    return load


async def beside_the_console(load: callers.Load, per_second: float, seconds: float, by: Principal) -> callers.Load:
    """Return *load* after requests at a fixed rate while a person sets limits in the same process."""

    async def clicks() -> None:
        for number in range(int(seconds * CONSOLE_WRITES_PER_SECOND)):
            set_limit = sync_to_async(caps.set_limit)
            await set_limit(by=by, scope="organization", basis="pool", amount_nano=10**12 + number)
            await asyncio.sleep(1 / CONSOLE_WRITES_PER_SECOND)

    await asyncio.gather(load.open_loop(per_second, seconds), clicks())
    return load


async def warmed(load: callers.Load, callers_count: int, seconds: float) -> tuple[float, list[float]]:
    """Return operations per second and hold latencies of a closed loop."""
    return 2 * await load.closed_loop(callers_count, seconds), load.holds


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=2)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--callers", type=int, default=256)
    given = options.parse_args()
    ratios, grouped, singles = [], [], []
    for _ in range(given.rounds):
        single, _ = measured(lambda load: warmed(load, given.callers, given.seconds), most=1)
        many, waits = measured(lambda load: warmed(load, given.callers, given.seconds))
        ratios.append(many / single)
        grouped.append(many)
        singles.append(single)
    middle = statistics.median(grouped)
    print(f"one transaction per operation   {statistics.median(singles):9,.0f} ops/s")
    print(f"group commit, {given.callers} callers       {middle:9,.0f} ops/s")
    print(
        f"ratio                           {statistics.median(ratios):9.1f} x ({min(ratios):.1f} to {max(ratios):.1f})"
    )
    _print("hold at full load", waits)
    half = measured(lambda load: at_rate(load, middle / 4, 2 * given.seconds))
    _print("hold at half load", half.holds)
    _, owner = founding.found(
        name="Bench", owner_name="Ada", owner_email="ada@bench.example", owner_password="only for a benchmark 7"
    )
    ada = of_person(Person.objects.get(id=owner.person_id))
    beside = measured(lambda load: beside_the_console(load, middle / 4, 2 * given.seconds, ada))
    _print("  beside a person who sets limits", beside.holds)
    quiet = measured(lambda load: at_rate(load, SETTINGS_RATE, 2 * given.seconds))
    _print(
        f"hold + settle at {SETTINGS_RATE}/s", [sum(pair) for pair in zip(quiet.holds, quiet.settlements, strict=True)]
    )


def _print(what: str, seconds: list[float]) -> None:
    middle, late, last = (callers.quantile(seconds, share) for share in (0.5, 0.99, 1))
    print(f"{what:35} {middle:6.2f} ms p50, {late:6.2f} p99, {last:6.2f} at most")


if __name__ == "__main__":
    main()
