"""What an operation costs in a large organization against a small one, on SQLite, in the same run.

Events: an organization that has stored 10,000,000 against one that has stored 10,000. Members:
50,000 against 10, and against 1,000: a batch of 256 callers is of ten people at most in the first and of
some two hundred in the others, and each one has an account, a limit and a row of the day to be read and
written; between the last two only the size differs. Files grow to about a gigabyte per million events.
Usage: python benchmarks/ledger_growth.py [--events 10000000] [--members 50000] [--seconds 2] [--rounds 5]
"""

import argparse
import asyncio
import sqlite3
import statistics
from pathlib import Path

import uvloop

import callers

ADDRESS = callers.prepared()

from tokenpool.config.wiring import ledger_commits  # noqa: E402 - Django has its settings now
from tokenpool.kernel import clock  # noqa: E402
from tokenpool.kernel.sqlite import SqliteStore  # noqa: E402
from tokenpool.metering.record import COLUMNS  # noqa: E402

FEW_EVENTS, FEW_MEMBERS, MEMBERS = 10_000, 10, 1000
MONTH_US = 28 * 86_400_000_000


async def founded(address: str, members: int) -> str:
    """Make an organization in the file at *address*."""
    store = SqliteStore(address)
    try:
        return await callers.found(store, members)
    finally:
        await store.close()


def filled(address: str, events: int, members: int) -> str:
    """Return an organization with *events* of the past four weeks, spread over its members."""
    organization_id = asyncio.run(founded(address, members))
    since = clock.timestamp(callers.NOW) - MONTH_US
    known = {
        "organization_id": f"'{organization_id}'",
        "id": "printf('evt_00%024d', n)",
        "request_id": "printf('req_00%024d', n)",
        "member_id": f"'user_' || (abs(random()) % {members})",
        "seat_type": "'chat'",
        "product": "'chat'",
        "model": f"'{callers.PRICE.model}'",
        "price_version": f"'{callers.PRICE.version}'",
        "month": f"'{callers.MONTH}'",
        "admitted_at_us": f"{since} + n * {MONTH_US // events}",
        "settled_at_us": f"{since} + n * {MONTH_US // events}",
    }
    texts = {"cost_center", "project", "session_id", "agent_id", "group_ids", "flags"}
    values = ", ".join(known.get(name, "''" if name in texts else "1") for name in COLUMNS)
    connection = sqlite3.connect(address)
    connection.executescript(
        "pragma synchronous=off; pragma cache_size=-1000000; "  # noqa: S608 - our own names
        f"insert into metering_usageevent ({', '.join(COLUMNS)}) "
        f"with recursive count(n) as (select 1 union all select n + 1 from count where n < {events}) "
        f"select {values} from count; pragma wal_checkpoint(truncate);"
    )
    connection.close()
    return organization_id


def rate(address: str, organization_id: str, members: int, callers_count: int, seconds: float) -> float:
    """Return operations per second of an organization."""

    async def run() -> float:
        store = SqliteStore(address)
        load = callers.Load(ledger_commits(store), organization_id, members)
        try:
            await load.closed_loop(callers_count, seconds / 4)
            return 2 * await load.closed_loop(callers_count, seconds)
        finally:
            await store.close()

    return uvloop.run(run())


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--events", type=int, default=10_000_000)
    options.add_argument("--members", type=int, default=50_000)
    options.add_argument("--seconds", type=float, default=2)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    large = str(Path(ADDRESS).with_name("large.sqlite3"))
    connection = sqlite3.connect(ADDRESS)
    connection.execute("vacuum into ?", (large,))
    connection.close()
    pairs = {
        f"{FEW_EVENTS:,} stored events": (
            (ADDRESS, filled(ADDRESS, FEW_EVENTS, MEMBERS), MEMBERS),
            (large, filled(large, given.events, MEMBERS), MEMBERS),
            f"{given.events:,}",
        ),
    }
    crowd = (ADDRESS, asyncio.run(founded(ADDRESS, given.members)), given.members)
    for few in (FEW_MEMBERS, MEMBERS):
        small = (ADDRESS, asyncio.run(founded(ADDRESS, few)), few)
        pairs[f"{few:,} members"] = (small, crowd, f"{given.members:,}")
    for what, (small, big, more) in pairs.items():
        for callers_count in (1, 256):
            found = [
                rate(*small, callers_count, given.seconds) / rate(*big, callers_count, given.seconds)
                for _ in range(given.rounds)
            ]
            print(
                f"from {what} to {more}, {callers_count:3} callers: {statistics.median(found):.2f} x the cost per "
                f"operation ({min(found):.2f} to {max(found):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
