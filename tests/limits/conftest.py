"""A ledger over a real database, with one organization whose limits are rows set by hand."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.db.models import F

from stores import store_of
from tokenpool.kernel import ids
from tokenpool.kernel.group_commit import GroupCommit, Store
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits.models import Account, Hold, SpendLimit
from tokenpool.limits.operations import Attribution, Authorize, Settle
from tokenpool.metering.record import RatedUsage
from tokenpool.organizations.models import Gate
from tokenpool.pricing import load
from tokenpool.pricing.bound import Bound
from tokenpool.pricing.cost import rate
from tokenpool.proofs import scratch

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PRICE = load.standard().price("claude-opus-5-5", date(2026, 11, 24))
DOLLAR = 1_000_000_000


@dataclass
class Bench:
    """What a ledger test works with."""

    commits: GroupCommit
    store: Store
    organization_id: str = "org_a"

    def limit(self, scope: str, basis: str, amount_nano: int | None, **more: object) -> SpendLimit:
        """Add a standing monthly limit; its id sorts after the one before, as `caps` sees to."""
        before = SpendLimit.objects.order_by("-id").values_list("id", flat=True).first() or ""
        limit_id = ids.new("spl")
        while limit_id <= before:
            limit_id = ids.new("spl")
        facts = {"window": "month", "state": "amount" if amount_nano is not None else "unlimited", **more}
        Gate.objects.filter(organization_id=self.organization_id).update(limits_version=F("limits_version") + 1)
        return SpendLimit.objects.create(
            organization_id=self.organization_id,
            scope=scope,
            basis=basis,
            id=limit_id,
            amount_nano=amount_nano,
            set_at=NOW,
            set_by="a test",
            **facts,
        )

    def ask(
        self, amount_nano: int, member_id: str = "user_1", seat_type: str = "chat", *, groups: str = "", **more: object
    ) -> Authorize:
        """Return a request for a hold of exactly *amount_nano* by a member of *groups* (ids, spaces between)."""
        who = Attribution(member_id, seat_type, "chat", groups=tuple(groups.split()))
        facts = {"hold_id": ids.new("hold"), "admitted_at": NOW, "bound": Bound(amount_nano, 0, 1), **more}
        return Authorize(who=who, model=PRICE.model, price_version=PRICE.version, **facts)

    async def do(self, operation: object) -> object:
        """Submit one operation and return its answer."""
        return await self.commits.submit(self.organization_id, operation)

    def account(self, scope: str, window_key: str = "2026-11") -> tuple[int, int]:
        """Return (spent, held) of an account as stored."""
        row = Account.objects.filter(organization_id=self.organization_id, scope=scope, window_key=window_key).first()
        return (row.spent_nano, row.held_nano) if row else (0, 0)

    def hold(self, hold_id: str) -> Hold:
        """Return a hold as stored."""
        return Hold.objects.get(organization_id=self.organization_id, id=hold_id)


def used(output: int) -> tuple[RatedUsage, ...]:
    """Return usage of *output* tokens: 20,000 nano-dollars each on Claude Opus 5.5."""
    counts = TokenCounts(output=output)
    return (RatedUsage(PRICE.model, PRICE.version, counts, rate(counts, PRICE)),)


def ran(seconds: int) -> tuple[RatedUsage, ...]:
    """Return usage of a container for *seconds*: 50,000,000 nano-dollars an hour, as if nothing were free."""
    counts = TokenCounts(code_execution_seconds=seconds)
    return (RatedUsage(PRICE.model, PRICE.version, counts, rate(counts, PRICE), hourly=PRICE.code_execution),)


def settle(hold_id: str, output: int) -> Settle:
    """Return the settlement of a hold with *output* tokens."""
    return Settle(hold_id, used(output), NOW)


@pytest.fixture
def database(either_database: Path | str) -> Path | str:
    """Run every test of this room on SQLite and on PostgreSQL."""
    return either_database


@pytest.fixture
async def bench(database: Path | str) -> AsyncIterator[Bench]:
    """Return a ledger over a fresh database with the gates of two organizations."""
    for organization_id in ("org_a", "org_b"):
        Gate.objects.create(organization_id=organization_id, version=7)
    store = store_of(database)
    yield Bench(scratch.ledger_on(store), store)
    await store.close()


@pytest.fixture
def many() -> Callable[[int], list[str]]:
    """Return a maker of member ids."""
    return lambda count: [f"user_{n}" for n in range(count)]
