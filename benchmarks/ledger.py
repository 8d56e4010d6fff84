"""Hold and settle through group commit against one durable transaction per operation, in the same run.

Prints operations per second of both, their ratio, and the latency of a hold at half load. One
operation is a hold or a settlement; a settlement carries its event, its rollup and three accounts.
Usage: python benchmarks/ledger.py [--requests 20000] [--callers 256]
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

FOLDER = Path(tempfile.mkdtemp(prefix="tokenpool-bench-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tokenpool.config.settings")
os.environ["TOKENPOOL_DATA"] = str(FOLDER)
os.environ["TOKENPOOL_SECRET_KEY"] = "a key for a benchmark"

import django  # noqa: E402 - after the environment
import uvloop  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from tokenpool.config.wiring import ledger_commits  # noqa: E402
from tokenpool.kernel import ids  # noqa: E402
from tokenpool.kernel.group_commit import GroupCommit  # noqa: E402
from tokenpool.kernel.sqlite import SqliteStore  # noqa: E402
from tokenpool.kernel.tokens import TokenCounts  # noqa: E402
from tokenpool.limits.operations import Attribution, Authorize, Settle  # noqa: E402
from tokenpool.metering.record import RatedUsage  # noqa: E402
from tokenpool.pricing import load  # noqa: E402
from tokenpool.pricing.bound import Bound  # noqa: E402
from tokenpool.pricing.cost import rate  # noqa: E402

Result = TypeVar("Result")
MEMBERS = 1000
NOW = datetime.now(UTC)
PRICE = load.standard().price("claude-opus-5-5", NOW.date())
COUNTS = TokenCounts(input=1200, cache_read=4000, cache_write_5m=300, output=400)
USAGE = (RatedUsage(PRICE.model, PRICE.version, COUNTS, rate(COUNTS, PRICE)),)
BOUND = Bound(50_000_000, 20_000_000_000, 512)


async def request(commits: GroupCommit, number: int, waits: list[float]) -> None:
    """Hold and settle once; write down how long the hold took."""
    hold_id = ids.new("hold")
    member = number % MEMBERS
    who = Attribution(f"user_{member}", "chat" if member % 2 else "chat_claude_code", "chat")
    ask = Authorize(hold_id, who, PRICE.model, PRICE.version, BOUND, NOW)
    began = time.perf_counter()
    await commits.submit("org_bench", ask)
    waits.append(time.perf_counter() - began)
    await commits.submit("org_bench", Settle(hold_id, USAGE, NOW))


async def closed_loop(commits: GroupCommit, requests: int, callers: int) -> tuple[float, list[float]]:
    """Return operations per second of *callers* that ask again as soon as they are answered."""
    waits: list[float] = []

    async def caller(first: int) -> None:
        for number in range(requests // callers):
            await request(commits, first * 37 + number * callers, waits)

    began = time.perf_counter()
    await asyncio.gather(*(caller(first) for first in range(callers)))
    return 2 * (requests // callers) * callers / (time.perf_counter() - began), waits


async def open_loop(commits: GroupCommit, per_second: float, seconds: float) -> list[float]:
    """Return hold latencies at a fixed rate of requests."""
    waits: list[float] = []
    tasks = []
    began = time.perf_counter()
    for number in range(int(per_second * seconds)):
        pause = began + number / per_second - time.perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        tasks.append(asyncio.create_task(request(commits, number, waits)))
    await asyncio.gather(*tasks)
    return waits


def quantile(values: list[float], share: float) -> float:
    """Return a quantile in milliseconds."""
    return sorted(values)[int(len(values) * share)] * 1000


def measured(work: Callable[[GroupCommit], Awaitable[Result]], *, most: int = 256) -> Result:
    """Run *work* on a fresh connection whose batches have at most *most* operations."""
    store = SqliteStore(FOLDER / "tokenpool.sqlite3")
    commits = ledger_commits(store)
    commits._most = most  # noqa: SLF001 - the floor is the same code with batches of one

    async def run() -> Result:
        try:
            return await work(commits)
        finally:
            await store.close()

    return uvloop.run(run())


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--requests", type=int, default=20_000)
    options.add_argument("--callers", type=int, default=256)
    given = options.parse_args()
    call_command("migrate", verbosity=0)
    ratios, grouped, singles = [], [], []
    for _ in range(3):
        single, _ = measured(lambda c: closed_loop(c, given.requests // 8, given.callers), most=1)
        many, waits = measured(lambda c: closed_loop(c, given.requests, given.callers))
        ratios.append(many / single)
        grouped.append(many)
        singles.append(single)
    half = measured(lambda c: open_loop(c, statistics.median(grouped) / 4, 4))
    print(f"one transaction per operation   {statistics.median(singles):9,.0f} ops/s")
    print(f"group commit, {given.callers} callers       {statistics.median(grouped):9,.0f} ops/s")
    spread = f"min {min(ratios):.1f}, max {max(ratios):.1f}"
    print(f"ratio                           {statistics.median(ratios):9.1f} x ({spread})")
    print(f"hold at full load               {quantile(waits, 0.5):9.2f} ms p50, {quantile(waits, 0.99):.2f} ms p99")
    middle, late = quantile(half, 0.5), quantile(half, 0.99)
    print(f"hold at half load               {middle:9.2f} ms p50, {late:.2f} ms p99")


if __name__ == "__main__":
    main()
