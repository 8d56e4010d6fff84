"""Hold and settle on PostgreSQL: processes that share one organization, against two plainer ways in the same run.

Usage: python benchmarks/ledger_postgres.py [--database-url postgresql://user@host/empty] [--seconds 4] [--rounds 3]
Without an address it starts a server of its own, as the tests do.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

Rated = tuple[float, list[float]]
RUNS = ((1, 1), (1, 64), (1, 256), (2, 256), (4, 128))  # processes, callers of each
FLOOR_CONNECTIONS = 4  # of each of two processes: eight, the best number of both floors
QUIET_RATE = 50


async def product(url: str, organization_id: str, callers_count: int, seconds: float) -> Rated:
    """Return requests per second of this process and how long its holds took."""
    from callers import Load  # noqa: PLC0415 - a process of its own starts here
    from tokenpool.proofs import scratch  # noqa: PLC0415

    store = scratch.open_store(url)
    load = Load(scratch.ledger_on(store), organization_id)
    await load.closed_loop(callers_count, seconds / 4)
    load.holds.clear()
    rate = await load.closed_loop(callers_count, seconds)
    await store.close()
    return rate, load.holds


async def floor(url: str, organization_id: str, name: str, seconds: float) -> Rated:
    """Return requests per second of this process's connections the plainer way."""
    import postgres_floors  # noqa: PLC0415

    way = getattr(postgres_floors, name)
    return await postgres_floors.measure(url, organization_id, way, FLOOR_CONNECTIONS, seconds), []


def together(processes: int, work: Callable[..., Coroutine[Any, Any, Rated]], *facts: object) -> Rated:
    """Return the sum of requests per second of *processes* at once, and all their waits."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        results = [one.result() for one in [pool.submit(_run, work, *facts) for _ in range(processes)]]
    return sum(rate for rate, _ in results), [wait for _, waits in results for wait in waits]


def _run(work: Callable[..., Coroutine[Any, Any, Rated]], *facts: object) -> Rated:
    return uvloop.run(work(*facts))


async def quiet(url: str, organization_id: str, seconds: float) -> list[float]:
    """Return how long hold and settlement together take when little happens."""
    from callers import Load  # noqa: PLC0415
    from tokenpool.proofs import scratch  # noqa: PLC0415

    store = scratch.open_store(url)
    load = Load(scratch.ledger_on(store), organization_id)
    await load.open_loop(QUIET_RATE, seconds)
    await store.close()
    return [sum(pair) for pair in zip(load.holds, load.settlements, strict=True)]


async def new_organization(url: str) -> str:
    """Make an organization with limits at three levels, and the functions of the floor."""
    import psycopg  # noqa: PLC0415

    import callers  # noqa: PLC0415
    import postgres_floors  # noqa: PLC0415
    from tokenpool.proofs import scratch  # noqa: PLC0415

    store = scratch.open_store(url)
    organization_id = await callers.found(store, 1000)
    await store.close()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await postgres_floors.functions(connection)
    return organization_id


@contextmanager
def database(url: str) -> Iterator[str]:
    """Yield *url*, or the address of a database on a server that lives as long as this run."""
    if url:
        yield url
        return
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from postgres import Server  # type: ignore[import-not-found]  # noqa: PLC0415

    server = Server()
    server.run("create database bench")
    try:
        yield server.url("bench")
    finally:
        server.stop()


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--database-url", default="")
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with database(given.database_url) as url:
        os.environ["TOKENPOOL_DATABASE_URL"] = url
        import callers  # noqa: PLC0415 - it reads the settings

        callers.prepared(url)
        rates: dict[str, list[float]] = {}
        for _ in range(given.rounds):
            for name in ("one_call", "orm_like"):
                organization_id = asyncio.run(new_organization(url))
                rate, _ = together(2, floor, url, organization_id, name, given.seconds)
                rates.setdefault(name, []).append(rate)
            for processes, callers_count in RUNS:
                organization_id = asyncio.run(new_organization(url))
                rate, waits = together(processes, product, url, organization_id, callers_count, given.seconds)
                key = f"{processes} processes x {callers_count:3} callers"
                rates.setdefault(key, []).append(rate)
                late = callers.quantile(waits, 0.5), callers.quantile(waits, 0.99)
                print(
                    f"  {key}: {rate:7,.0f} requests/s, hold p50 {late[0]:6.1f} ms, p99 {late[1]:6.1f} ms", flush=True
                )
        organization_id = asyncio.run(new_organization(url))
        calm = uvloop.run(quiet(url, organization_id, 2 * given.seconds))
    for key, found in rates.items():
        print(f"{key:30} {statistics.median(found):7,.0f} requests/s ({min(found):,.0f} to {max(found):,.0f})")
    best = rates["2 processes x 256 callers"]
    for name in ("one_call", "orm_like"):
        each = [ours / theirs for ours, theirs in zip(best, rates[name], strict=True)]
        print(f"2 processes against {name:10} {statistics.median(each):7.1f} x ({min(each):.1f} to {max(each):.1f})")
    lost = [1 - four / two for four, two in zip(rates["4 processes x 128 callers"], best, strict=True)]
    print(f"four processes lose           {statistics.median(lost):7.0%}")
    print(f"hold + settle at {QUIET_RATE}/s          {callers.quantile(calm, 0.5):7.2f} ms p50, "
          f"{callers.quantile(calm, 0.99):.2f} p99")  # fmt: skip


if __name__ == "__main__":
    main()
