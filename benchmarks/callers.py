"""The load of the ledger's benchmarks: callers who hold and settle under three limits, and the database they meet."""

import asyncio
import os
import random
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp(prefix="tokenpool-bench-"))


def prepared(database_url: str = "") -> str:
    """Migrate the database (default: a new SQLite file) and return its address."""
    os.environ.update(DJANGO_SETTINGS_MODULE="tokenpool.config.settings", TOKENPOOL_SECRET_KEY="for a benchmark")
    os.environ.update(TOKENPOOL_DATA=str(FOLDER), TOKENPOOL_DATABASE_URL=database_url)
    import django  # noqa: PLC0415 - only now are its settings known
    from django.core.management import call_command  # noqa: PLC0415

    from tokenpool.config import collector  # noqa: PLC0415

    django.setup()
    call_command("migrate", verbosity=0)
    collector.calm()  # as a server does
    return database_url or str(FOLDER / "tokenpool.sqlite3")


from tokenpool.kernel import clock, ids  # noqa: E402 - after the folder has its name
from tokenpool.kernel.group_commit import GroupCommit, Statement, Store, Transaction  # noqa: E402
from tokenpool.kernel.tokens import TokenCounts  # noqa: E402
from tokenpool.limits.operations import Attribution, Authorize, Settle  # noqa: E402
from tokenpool.metering.record import RatedUsage  # noqa: E402
from tokenpool.pricing import load  # noqa: E402
from tokenpool.pricing.bound import Bound  # noqa: E402
from tokenpool.pricing.cost import rate  # noqa: E402

NOW = datetime.now(UTC)
PRICE = load.standard().price("claude-opus-5-5", NOW.date())
COUNTS = TokenCounts(input=1200, cache_read=4000, cache_write_5m=300, output=400)
USAGE = (RatedUsage(PRICE.model, PRICE.version, COUNTS, rate(COUNTS, PRICE)),)
BOUND = Bound(50_000_000, 20_000_000_000, 512)
MONTH = f"{NOW:%Y-%m}"
AMPLE_NANO = 10**17


async def found(store: Store, members: int) -> str:
    """Make an organization with limits on its pool, on each member of both seat types, and on every member."""
    organization_id = ids.new("org")
    gate = (
        "insert into organizations_gate (organization_id, version, limits_version, windows, open_from_us) "
        "values (?, 1, 1, 'month', 0)"
    )
    sql = (
        'insert into limits_spendlimit (organization_id, scope, basis, "window", id, state, amount_nano, exception, '
        "set_at, set_by, reason) values (?, ?, ?, 'month', ?, 'amount', ?, ?, ?, '', '')"
    )
    scopes = [("organization", "pool"), ("seat_type:chat", "each"), ("seat_type:chat_claude_code", "each")]
    scopes += [(f"member:user_{number}", "each") for number in range(members)]
    rows = [(organization_id, *scope, ids.new("spl"), AMPLE_NANO, False, str(NOW)) for scope in scopes]
    await store.run(lambda: _write(Statement(gate, [(organization_id,)]), *(Statement(sql, [row]) for row in rows)))
    return organization_id


def _write(*statements: Statement) -> Transaction[None]:
    yield list(statements)


@dataclass
class Load:
    """Requests of an organization's *members*, and how long (in seconds) their holds and settlements took."""

    commits: GroupCommit
    organization_id: str
    members: int = 1000
    people: list[Attribution] = field(init=False)
    holds: list[float] = field(default_factory=list)
    settlements: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        seats = ("chat_claude_code", "chat")
        self.people = [Attribution(f"user_{number}", seats[number % 2], "chat") for number in range(self.members)]

    async def request(self) -> None:
        """Hold and settle once."""
        hold_id, who = ids.new("hold"), random.choice(self.people)
        ask = Authorize(hold_id, who, PRICE.model, PRICE.version, BOUND, clock.now())
        began = time.perf_counter()
        await self.commits.submit(self.organization_id, ask)
        held = time.perf_counter()
        await self.commits.submit(self.organization_id, Settle(hold_id, USAGE, clock.now()))
        self.holds.append(held - began)
        self.settlements.append(time.perf_counter() - held)

    async def closed_loop(self, callers: int, seconds: float) -> float:
        """Return requests per second of *callers* who ask again as soon as they are answered."""
        began = time.perf_counter()

        async def caller() -> None:
            while time.perf_counter() < began + seconds:
                await self.request()

        before = len(self.holds)
        await asyncio.gather(*(caller() for _ in range(callers)))
        return (len(self.holds) - before) / (time.perf_counter() - began)

    async def open_loop(self, per_second: float, seconds: float) -> None:
        """Ask at a fixed rate, whatever the answers do."""
        tasks, began = [], time.perf_counter()
        for number in range(int(per_second * seconds)):
            pause = began + number / per_second - time.perf_counter()
            if pause > 0:
                await asyncio.sleep(pause)
            tasks.append(asyncio.create_task(self.request()))
        await asyncio.gather(*tasks)


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of seconds in milliseconds."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] * 1000
