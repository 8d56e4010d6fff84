"""No hole where no row is yet: the first requests of somebody new, all at once, obey the limit."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from stores import store_of
from tokenpool.limits.models import Account, LastRefusal
from tokenpool.limits.operations import Held, Refusal
from tokenpool.proofs import scratch

from .conftest import DOLLAR, NOW, Bench, settle

REQUESTS, FITTING = 50, 7
PROCESSES = 4  # stores of their own on the same database, as processes have

NEW = {
    "a member whose own limit is new": ("member:user_new", "each", {"member_id": "user_new"}),
    "a member below the seat type's limit": ("seat_type:chat", "each", {"member_id": "user_new"}),
    "a member below everybody's limit": ("organization", "each", {"member_id": "user_new"}),
    "a seat type": ("seat_type:new", "pool", {"seat_type": "new"}),
    "a group": ("group:grp_new", "pool", {"groups": "grp_new"}),
    "a month": ("organization", "pool", {"admitted_at": NOW + timedelta(days=30)}),
    "an organization": ("organization", "pool", {}),
}


@pytest.mark.parametrize("what", NEW)
async def test_the_first_fifty_requests_obey_the_limit(bench: Bench, database: Path | str, what: str) -> None:
    """Fifty at once from four stores, room for seven: seven pass, forty-three are refused, also after settling."""
    scope, basis, who = NEW[what]
    if "admitted_at" in who:  # November has been used up, December has no row
        bench.limit(scope, basis, DOLLAR)
        before = bench.ask(DOLLAR)
        await bench.do(before)
        await bench.do(settle(before.hold_id, 50_000))
    bench.limit(scope, basis, FITTING * DOLLAR)
    stores = [store_of(database) for _ in range(PROCESSES)]
    ledgers = [scratch.ledger_on(store) for store in stores]
    asks = [bench.ask(DOLLAR, **who) for _ in range(REQUESTS)]

    answers = await asyncio.gather(
        *(ledgers[number % PROCESSES].submit("org_a", ask) for number, ask in enumerate(asks))
    )

    held = [ask.hold_id for ask, answer in zip(asks, answers, strict=True) if isinstance(answer, Held)]
    assert (FITTING, REQUESTS - FITTING) == (len(held), sum(isinstance(answer, Refusal) for answer in answers))
    await asyncio.gather(*(bench.do(settle(hold_id, 50_000)) for hold_id in held))
    assert Refusal is type(await bench.do(bench.ask(1, **who)))
    account = scope if basis == "pool" else "member:user_new"
    key = "2026-12" if "admitted_at" in who else "2026-11"
    assert (FITTING * DOLLAR, 0) == bench.account(account, key)
    assert 1 == Account.objects.filter(scope=account, window_key=key).count()
    assert 1 == LastRefusal.objects.count()
    for store in stores:
        await store.close()
