"""Hold and settle on PostgreSQL: several processes, one organization, batches against one operation a transaction.

Usage: python benchmarks/ledger_postgres.py --database-url postgresql://user@host/empty [--seconds 4]
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import time
from multiprocessing.connection import Connection

import uvloop

from tokenpool.kernel import ids
from tokenpool.kernel.group_commit import GroupCommit
from tokenpool.proofs import scratch

MEMBERS, HELD, USED = 1000, 1_000_000, 600_000
RUNS = ((2, 64, 1), (1, 1, 256), (1, 64, 256), (2, 256, 256), (4, 64, 256))  # processes, callers of each, batch


async def caller(commits: GroupCommit, organization_id: str, until: float, waits: list[float]) -> None:
    """Hold and settle for random members until the time is over."""
    while time.perf_counter() < until:
        hold_id, member = ids.new("hold"), random.randrange(MEMBERS)
        began = time.perf_counter()
        ask = scratch.ask(hold_id, HELD, f"user_{member}", "chat" if member % 2 else "code")
        await commits.submit(organization_id, ask)
        waits.append(time.perf_counter() - began)
        await commits.submit(organization_id, scratch.settle(hold_id, USED))


async def measure(url: str, organization_id: str, callers: int, most: int, seconds: float) -> tuple[float, list[float]]:
    """Return requests per second of this process and how long its holds took."""
    store = scratch.open_store(url)
    commits = scratch.ledger_on(store)
    commits._most = most  # noqa: SLF001 - the floor is the same code with batches of one
    waits: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(caller(commits, organization_id, began + seconds, waits) for _ in range(callers)))
    took = time.perf_counter() - began
    await store.close()
    return len(waits) / took, waits


def process(pipe: Connection, url: str, organization_id: str, callers: int, most: int, seconds: float) -> None:
    """Measure in a process of its own."""
    pipe.send(uvloop.run(measure(url, organization_id, callers, most, seconds)))


async def found(url: str) -> str:
    """Make an organization with a limit on its pool."""
    store, organization_id = scratch.open_store(url), ids.new("org")
    await scratch.found(store, organization_id)
    await scratch.limit(store, organization_id, "organization", "pool", 10**15)
    await store.close()
    return organization_id


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--database-url", required=True)
    options.add_argument("--seconds", type=float, default=4)
    given = options.parse_args()
    os.environ.update(DJANGO_SETTINGS_MODULE="tokenpool.config.settings", TOKENPOOL_DATABASE_URL=given.database_url)
    import django  # noqa: PLC0415 - only now are its settings known
    from django.core.management import call_command  # noqa: PLC0415

    django.setup()
    call_command("migrate", verbosity=0)
    spawn = multiprocessing.get_context("spawn")
    for processes, callers, most in RUNS:
        organization_id = asyncio.run(found(given.database_url))
        pipes = [spawn.Pipe() for _ in range(processes)]
        for _, theirs in pipes:
            facts = (theirs, given.database_url, organization_id, callers, most, given.seconds)
            spawn.Process(target=process, args=facts).start()
        results = [ours.recv() for ours, _ in pipes]
        waits = sorted(wait * 1000 for _, of_process in results for wait in of_process)
        print(
            f"{processes} processes x {callers:3} callers, batches of {most:3}: "
            f"{sum(rate for rate, _ in results):7,.0f} requests/s, hold p50 {waits[len(waits) // 2]:6.1f} ms, "
            f"p99 {waits[int(len(waits) * 0.99)]:6.1f} ms"
        )


if __name__ == "__main__":
    main()
