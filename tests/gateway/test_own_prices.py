"""An organization's own prices at the gateway: pinned at admission, and true on the very next request."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tokenpool.compliance import verify
from tokenpool.gateway.resolver import Resolver
from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Row
from tokenpool.limits.models import Account, Hold
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import api_keys, own_prices
from tokenpool.organizations.directory import KeyFacts
from tokenpool.organizations.roles import operator

from .conftest import COST, MODEL, USAGE, Gate

LISTED = "claude-opus-5-5@2026-09-22"


def set_price(gate: Gate, **more: Any) -> str:
    """Set an own price from today on and return its version's suffix."""
    by = operator(gate.org.organization_id, "Olga")
    facts = {"effective_from": clock.now().date(), "reason": "Contract", "confirmed": True, **more}
    return own_prices.set_price(by=by, book=gate.parts.book, **facts).id.removeprefix("own_")


def broken(gate: Gate) -> list[str]:
    """Return what verification finds broken."""
    return [found.broken for found in verify.check(book=gate.parts.book) if not found.holds]


async def test_a_discount_acts_on_the_next_request_and_stays_on_its_event(gate: Gate) -> None:
    """15 % below $0.001088 is $0.0009248; what came before keeps its price, and both rate again to the same."""
    gate.provider.answers()
    await gate.post()
    suffix = set_price(gate, ppm=-150_000)
    await gate.post()
    set_price(gate, ppm=1_000_000)

    assert [(LISTED, COST), (f"{LISTED}+{suffix}", 924_800)] == [
        (event.price_version, event.cost_nano) for event in UsageEvent.objects.order_by("id")
    ]
    assert (COST + 924_800, 0) == gate.account()
    assert [] == broken(gate)


async def test_a_contract_prices_the_components_it_names(gate: Gate) -> None:
    """Output at $10 instead of $20: seven tokens cost 70,000 nano-dollars less."""
    gate.provider.answers()
    set_price(gate, model=MODEL, amounts={"output": "10"})

    await gate.post()

    event = UsageEvent.objects.get()
    assert (7 * 10_000, COST - 70_000) == (event.output_nano, event.cost_nano)


async def test_a_price_that_changes_under_the_request_is_the_one_it_is_held_at(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts were read before the change; the ledger says so, and the request is priced again."""
    gate.provider.answers()
    find, changed = gate.parts.directory.find, []

    async def find_and_change(secret: str) -> KeyFacts:
        facts = await find(secret)
        if not changed:
            changed.append(set_price(gate, ppm=-500_000))
        return facts

    monkeypatch.setattr(gate.parts.directory, "find", find_and_change)

    answer = await gate.post()

    hold = Hold.objects.get()
    assert (200, f"{LISTED}+{changed[0]}", COST // 2) == (answer.status, hold.price_version, hold.settled_nano)


async def test_other_models_of_a_request_are_rated_at_the_own_price_too(gate: Gate) -> None:
    """An advisor of another model: $0.25 x 1,000 + $1.25 x 100 a million tokens, at half the list."""
    set_price(gate, ppm=-500_000)
    advisor = {"type": "advisor_message", "model": "claude-haiku-4-5", "input_tokens": 1000, "output_tokens": 100}
    gate.provider.answers({**USAGE, "iterations": [advisor]})

    await gate.post()

    assert [COST // 2, 1000 * 500 + 100 * 2_500] == [
        event.cost_nano for event in UsageEvent.objects.order_by("part")
    ]  # fmt: skip
    assert [] == broken(gate)


async def test_a_lost_request_is_estimated_at_the_price_it_was_admitted_at(gate: Gate) -> None:
    """Whatever the organization pays by then."""
    gate.provider.answers()
    set_price(gate, ppm=-500_000)
    await gate.post()
    hold = await gate.at_rest()
    UsageEvent.objects.all().delete()
    evidence = {**json.loads(hold.evidence), "start": {"input": 1000}}
    Hold.objects.update(state="reserved", ended_at_us=None, settled_nano=None, evidence=json.dumps(evidence))
    Account.objects.update(held_nano=hold.amount_nano)
    set_price(gate, ppm=0)

    with clock.standing_at(clock.now() + timedelta(minutes=5)):
        assert 1 == await Resolver(gate.parts, watch_seconds=0).run_once()

    event = UsageEvent.objects.get()
    assert (hold.price_version, 1000 * 2_000 + 50 * 10_000) == (event.price_version, event.cost_nano)


async def test_the_hold_api_holds_and_settles_at_the_own_price(gate: Gate) -> None:
    """Pinned at the hold: a change before the settlement is for the next one; the same request id is the same hold."""
    key = api_keys.mint(by=gate.org.ada, kind="meter", name="Meter")[1]

    async def call(path: str, body: dict[str, Any]) -> dict[str, Any]:
        url = f"{gate.url}/v1/tokenpool/holds{path}"
        async with gate.session.post(url, json=body, headers={"x-api-key": key}) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    wanted = {"member": "elena@aurora.example", "product": "claude_code", "model": MODEL, "max_tokens": 1000}
    wanted |= {"input_tokens_bound": 1000, "request_id": "r-1"}
    full = await call("", {**wanted, "request_id": "r-0"})
    set_price(gate, ppm=-500_000)
    half = await call("", wanted)
    set_price(gate, ppm=100_000)
    again = await call("", wanted)

    ended = await call(f"/{half['id']}/settle", {"usage": {"output": 100}})

    assert (full["reserved_nano"] // 2, half["id"]) == (half["reserved_nano"], again["id"])
    assert 100 * 10_000 == ended["settled_nano"]


async def test_a_warm_request_reads_nothing_before_the_ledger_does(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own prices cost no round trip, the facts none either: the ledger compares their version under the lock."""
    gate.provider.answers()
    set_price(gate, ppm=-150_000)
    await gate.post()
    read, seen = gate.parts.store.read, []

    async def counted(sql: str, row: Row = ()) -> list[Row]:
        seen.append(sql)
        return await read(sql, row)

    monkeypatch.setattr(gate.parts.store, "read", counted)

    await gate.post()

    assert [] == seen
