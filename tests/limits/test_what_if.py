"""What other limits would have refused: the same as the ledger really does under them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.period import Month, Window
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits import what_if
from tokenpool.limits.hierarchy import Cap
from tokenpool.limits.models import Account, Hold
from tokenpool.limits.operations import Attribution, Authorize, Refusal, Settle
from tokenpool.metering.record import RatedUsage
from tokenpool.organizations.models import Gate, Organization
from tokenpool.organizations.roles import system
from tokenpool.pricing import load
from tokenpool.pricing.bound import Bound
from tokenpool.pricing.cost import Cost

from .conftest import DOLLAR, PRICE, Bench

NOVEMBER, OUTPUT_NANO = Month(2026, 11), 20_000
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@dataclass(frozen=True)
class Call:
    """A request: whose, when, how long, what it can cost at most, what it used."""

    hold_id: str
    member_id: str
    seat_type: str
    groups: tuple[str, ...]
    at: datetime
    seconds: int
    bound: Bound
    output: int


def calls(seed: int, count: int = 60) -> list[Call]:
    """Return calls of three members, most of them overlapping, over the first two days of November."""
    drawn, at, found = random.Random(seed), datetime(2026, 11, 1, tzinfo=UTC), []
    for _ in range(count):
        at += timedelta(seconds=drawn.randrange(1, 4000))
        member = drawn.choice(["user_1", "user_2", "user_3"])
        most = drawn.randrange(1_100, 5_000)
        with clock.standing_at(at):
            hold_id = ids.new("hold")
        place = (member, "chat" if member == "user_1" else "code", ("grp_a",) if member != "user_3" else ())
        bound = Bound(drawn.randrange(10_000_000), OUTPUT_NANO * 1_100_000, most)
        found.append(Call(hold_id, *place, at, drawn.randrange(10, 6_000), bound, drawn.randrange(most)))
    return found


async def happen(bench: Bench, organization_id: str, asked: Sequence[Call], *, clamps: bool = False) -> list[str]:
    """Let the calls happen in order through the real ledger; return the holds that were refused."""
    steps: list[tuple[datetime, int, Call]] = [(call.at, 1, call) for call in asked]
    steps += [(call.at + timedelta(seconds=call.seconds), 0, call) for call in asked]
    refused = []
    for at, is_start, call in sorted(steps, key=lambda step: step[:2]):
        if is_start:
            who = Attribution(call.member_id, call.seat_type, "chat", groups=call.groups)
            ask = Authorize(call.hold_id, who, PRICE.model, PRICE.version, call.bound, at, clamps=clamps)
            answer = await bench.commits.submit(organization_id, ask)
            if isinstance(answer, Refusal):
                refused.append(call.hold_id)
        elif call.hold_id not in refused:
            hold = Hold.objects.get(organization_id=organization_id, id=call.hold_id)
            cost = Cost(output=min(call.output * OUTPUT_NANO, hold.amount_nano))
            usage = RatedUsage(PRICE.model, PRICE.version, TokenCounts(output=call.output), cost)
            await bench.commits.submit(organization_id, Settle(call.hold_id, (usage,), at))
    return refused


def tried(*limits: Cap, month: Month = NOVEMBER, organization_id: str = "org_a") -> what_if.Outcome:
    """Return what *limits* would have done to the month."""
    book = load.standard()
    with clock.standing_at(NOW):
        *_, last = what_if.limits(by=system(organization_id), month=month, book=book, supposed=limits)
    return last


@pytest.fixture(autouse=True)
def organizations(database: Any) -> None:
    """Two organizations; the first clamps where a test says so."""
    for organization_id in ("org_a", "org_b"):
        Organization.objects.create(
            id=organization_id, name=organization_id, plan_id="p", currency="USD", created_at=NOW,
            clamps_max_tokens=False,
        )  # fmt: skip


@pytest.mark.parametrize("clamps", [False, True])
@pytest.mark.parametrize(
    ("scope", "basis", "window", "amount"),
    [
        ("organization", "pool", Window.MONTH, DOLLAR * 4 // 5),
        ("organization", "each", Window.MONTH, DOLLAR // 2),
        ("seat_type:code", "pool", Window.DAY, DOLLAR // 2),
        ("group:grp_a", "each", Window.WEEK, DOLLAR // 4),
        ("member:user_2", "each", Window.MONTH, DOLLAR // 3),
        ("organization", "pool", Window.MONTH, 0),
    ],
)
async def test_it_refuses_whom_the_ledger_would_have_refused(
    bench: Bench, scope: str, basis: str, window: Window, amount: int, clamps: bool
) -> None:
    """The same calls under the real limit elsewhere: the same refusals, cuts and spend, and nothing is written."""
    asked = calls(seed=7)
    Organization.objects.update(clamps_max_tokens=clamps)
    bench.organization_id = "org_b"
    bench.limit(scope, basis, amount, window=window)
    Account.objects.all().delete()
    _keep(window)
    refused = await happen(bench, "org_b", asked, clamps=clamps)
    assert [] == await happen(bench, "org_a", asked)
    before = list(Hold.objects.values()), list(Account.objects.values())

    found = tried(Cap("", scope, basis, window, amount))

    assert sorted(refused) == sorted(ids.twin("hold", one.request_id) for one in found.refused)
    assert (60, len(refused)) == (found.total.requests, found.total.refused)
    assert 0 < found.total.refused
    pool = Account.objects.filter(organization_id="org_b", scope="organization", window_key="2026-11")
    spent = sum(pool.values_list("spent_nano", flat=True))
    most = {call.hold_id: call.bound.max_output for call in asked}
    cut = [hold for hold in Hold.objects.filter(organization_id="org_b") if hold.max_output < most[hold.id]]
    assert (spent, len(cut)) == (found.total.supposed_nano, found.total.cut)
    assert before == (list(Hold.objects.values()), list(Account.objects.values()))
    assert found.total.refused == sum(one.refused for one in found.members.values())


def _keep(window: Window) -> None:
    """Keep the accounts of a window from the start, as setting such a limit does."""
    if window is not Window.MONTH:
        Gate.objects.filter(organization_id="org_b").update(windows=f"month {window}")


async def test_a_limit_above_everything_refuses_nothing(bench: Bench) -> None:
    """And all counts agree."""
    await happen(bench, "org_a", calls(seed=3))

    found = tried(Cap("", "organization", "pool", Window.MONTH, 10**15))

    assert (60, 60, 60, 0, 0) == (
        found.of, found.done, found.total.requests, found.total.refused, found.total.cut,
    )  # fmt: skip
    assert found.total.actual_nano == found.total.supposed_nano > 0


async def test_a_standing_exception_keeps_its_member_out_of_each_limits(bench: Bench) -> None:
    """As the ledger does."""
    bench.limit("member:user_2", "each", 10**15, exception=True)
    await happen(bench, "org_a", calls(seed=3))

    found = tried(Cap("", "seat_type:code", "each", Window.MONTH, 0))

    assert {"user_3"} == {one.member_id for one in found.refused}


async def test_a_week_is_filled_by_the_days_before_its_month(bench: Bench) -> None:
    """30 November 2026 begins the week of 1 December: what was spent on it counts, and is not December's."""
    at = datetime(2026, 11, 30, 12, tzinfo=UTC)
    asked = [
        Call(ids.new("hold"), "user_1", "chat", (), at + timedelta(days=days), 60, Bound(DOLLAR, 0, 0), 50_000)
        for days in (0, 1)
    ]
    await happen(bench, "org_a", asked)

    with clock.standing_at(datetime(2026, 12, 2, tzinfo=UTC)):
        *_, found = what_if.limits(
            by=system("org_a"), month=Month(2026, 12), book=load.standard(),
            supposed=[Cap("", "organization", "pool", Window.WEEK, 3 * DOLLAR // 2)],
        )  # fmt: skip

    assert (1, 1) == (found.total.requests, found.total.refused)


async def test_a_month_goes_by_in_steps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tells how far it is."""
    await happen(bench, "org_a", calls(seed=3, count=5))
    monkeypatch.setattr(what_if, "AT_ONCE", 2)
    with clock.standing_at(NOW):
        steps = what_if.limits(
            by=system("org_a"), month=NOVEMBER, book=load.standard(),
            supposed=[Cap("", "organization", "pool", Window.MONTH, 0)],
        )  # fmt: skip

    assert [(0, 5), (2, 5), (4, 5), (5, 5), (5, 5)] == [(found.done, found.of) for found in steps]


def test_what_is_no_question_is_refused(database: Any) -> None:
    """No limit, one twice, a month to come."""
    cap = Cap("", "organization", "pool", Window.MONTH, 0)
    for limits, month, said in (
        ([], NOVEMBER, "at least one"), ([cap, cap], NOVEMBER, "each once"), ([cap], Month(2026, 12), "has not begun"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=said):
            tried(*limits, month=month)
