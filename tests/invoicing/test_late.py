"""Results that came late: the estimate is taken back, the truth billed once, where the usage counted."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.db import connections

from builders import aurora
from past import CHEAPER, DOLLAR, LISTED, MILLION, MODEL, NOVEMBER, OLD, Past, october
from tokenpool.audit.models import AuditEvent
from tokenpool.invoicing import late
from tokenpool.invoicing.models import Invoice
from tokenpool.kernel import clock, ids
from tokenpool.kernel.period import Month
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits.models import Hold
from tokenpool.limits.operations import Settle, Void
from tokenpool.metering import what_if
from tokenpool.metering.models import DailyUsage, UsageEvent
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing import load
from tokenpool.pricing.cost import rate
from tokenpool.pricing.own import OwnRow, supposed

BANDED = load.standard().price("claude-haiku-5-5", date(2026, 10, 11))
BOTH = load.standard()


@pytest.fixture
async def past(either_database: Path | str) -> Past:
    """Return an organization in which Farid's request of 11 October ended as an estimate of $20."""
    with clock.standing_at(datetime(2026, 9, 1, tzinfo=UTC)):
        found = Past(aurora(), either_database)
    await found.spend((found.org.farid, october(11), MILLION), groups=("grp_a",))
    return found


def used(output: int) -> RatedUsage:
    """Return so many tokens of output at $20 a million."""
    counts = TokenCounts(output=output)
    return RatedUsage(MODEL, LISTED.version, counts, rate(counts, LISTED))


def bill(past: Past, *usage: RatedUsage, at: datetime = NOVEMBER) -> int:
    """Tell late what the request used; nothing when it was free."""
    hold_id = Hold.objects.get().id
    end = Settle(hold_id, usage, at) if usage else Void(hold_id, "batch request expired", at)
    with clock.standing_at(at):
        return late.bill(past.org.organization_id, "msgbatch_1", [end, end])


def spent(past: Past) -> set[int]:
    """Return what every account of October that the request counts in has spent."""
    scopes = ("organization", "seat_type:chat", "group:grp_a", f"member:{past.org.farid.member_id}")
    return {past.account(scope, "2026-10") for scope in scopes}


def test_the_truth_takes_the_place_of_the_estimate_once(past: Past) -> None:
    """$20 were estimated, $8 used: one event takes back, one says the truth; told twice and again, nothing more."""
    found = [bill(past, used(400_000)), bill(past, used(400_000)), bill(past)]

    estimate, taken, true = UsageEvent.objects.order_by("settled_at_us", "-id")
    assert ([1, 0, 0], {8 * DOLLAR}) == (found, spent(past))
    assert ("", 20 * DOLLAR, MILLION) == (estimate.flags, estimate.cost_nano, estimate.output_tokens)
    assert (f"{estimate.id}~1", estimate.id, "correction late", -20 * DOLLAR, -MILLION) == (
        taken.id, taken.corrects, taken.flags, taken.cost_nano, taken.output_tokens,
    )  # fmt: skip
    assert (f"{estimate.id}.1", None, "late", 1, 8 * DOLLAR, 400_000) == (
        true.id, true.corrects, true.flags, true.part, true.cost_nano, true.output_tokens,
    )  # fmt: skip
    assert (1, 400_000, 8 * DOLLAR) == DailyUsage.objects.values_list("requests", "output_tokens", "cost_nano").get()
    audit, sums = AuditEvent.objects.get(action="late_results_billed"), {"difference_nano": -12 * DOLLAR}
    assert ("msgbatch_1", {"requests": 1, **sums, "by_invoice": {"2026-10": -12 * DOLLAR}}) == (
        audit.subject_id, audit.after,
    )  # fmt: skip
    assert [] == past.broken(OLD)


def test_what_was_free_is_taken_back(past: Past) -> None:
    """An expired request costs nothing after all."""
    assert (1, {0}, []) == (bill(past), spent(past), past.broken(OLD))


def test_two_processes_bill_it_once(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads on connections of their own: one of them does it."""
    monkeypatch.setattr(connections, "_connections", threading.local())

    def one(_: int) -> int:
        try:
            return bill(past, used(400_000))
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(8)))

    assert (1, 3, {8 * DOLLAR}, []) == (sum(found), UsageEvent.objects.count(), spent(past), past.broken(OLD))
    connections["default"].close()


def test_a_closed_month_stays_and_the_next_invoice_adjusts(past: Past) -> None:
    """October's bytes do not change; November's invoice takes $12 off and names both events."""
    past.close(2026, 10, NOVEMBER)
    before = Invoice.objects.get(month="2026-10").document
    bill(past, used(400_000))

    november = past.close(2026, 11, datetime(2026, 12, 5, tzinfo=UTC))

    assert before == Invoice.objects.get(month="2026-10").document
    lines = [line["amount_nano"] for line in november["lines"] if line["kind"] == "adjustment"]
    named = [name for one in november["adjustments"] for name in one["events"]]
    assert ([-12 * DOLLAR], sorted(UsageEvent.objects.exclude(billed_in=None).values_list("id", flat=True))) == (
        lines, sorted(named),
    )  # fmt: skip
    assert [] == past.broken(OLD)


def test_a_price_is_corrected_before_and_after(past: Past) -> None:
    """$18 a million since the 10th: the estimate is taken back with its correction, the truth has one of its own."""
    past.rerate(CHEAPER)
    bill(past, used(400_000))
    middle = spent(past)

    done, again = past.rerate(CHEAPER), past.rerate(CHEAPER)

    assert ({8 * DOLLAR}, {7_200_000_000}) == (middle, spent(past))
    assert (1, -800_000_000, 0) == (done.corrected, done.difference_nano, again.corrected)
    assert [] == past.broken(CHEAPER)


def test_every_model_that_took_part_has_its_event(past: Past) -> None:
    """Two prompts of a model with bands and one of another: three events, each at its own price."""
    small, large = TokenCounts(input=90_000, output=1), TokenCounts(input=110_000, output=1)
    parts = [
        RatedUsage(BANDED.model, BANDED.version, one, rate(one, BANDED, batch=True), batch=True)
        for one in (small, large)
    ]

    bill(past, used(10), *parts)

    costs = [200_000, 90_000 * 50 + 250, 110_000 * 250 + 1_250]
    rows = UsageEvent.objects.filter(flags="late").order_by("part").values_list("part", "cost_nano", "batch")
    assert [(1, costs[0], False), (2, costs[1], True), (3, costs[2], True)] == list(rows)
    assert ({sum(costs)}, []) == (spent(past), past.broken(BOTH))


def test_what_if_counts_the_truth_alone(past: Past) -> None:
    """Half the price: half of the $8 that were used, and one request."""
    bill(past, used(400_000))
    row: OwnRow = supposed(book=OLD, day=date(2026, 10, 31), model=MODEL, percent="-50", amounts={})

    with clock.standing_at(NOVEMBER):
        *_, last = what_if.prices(by=past.org.dieter, month=Month(2026, 10), book=OLD, rows=[row])

    assert (1, 8 * DOLLAR, 4 * DOLLAR) == (last.total.requests, last.total.actual_nano, last.total.supposed_nano)


@pytest.mark.parametrize(
    ("gone", "told"),
    [("correction late", "has usage that was told late beside its estimate"), ("late", "events sum to")],
)
def test_a_half_of_it_is_found_out(past: Past, gone: str, told: str) -> None:
    """An estimate that was not taken back, or a truth that is missing: verification says so."""
    bill(past, used(400_000))
    UsageEvent.objects.filter(flags=gone).delete()

    assert told in " ".join(past.broken(OLD))


def test_taking_back_a_part_is_found_out(past: Past) -> None:
    """A token fewer was taken back than was estimated."""
    bill(past, used(400_000))
    UsageEvent.objects.filter(flags="correction late").update(output_tokens=1 - MILLION)

    assert "does not take" in " ".join(past.broken(OLD))


def test_a_request_that_nobody_knows_changes_nothing(past: Past) -> None:
    """No such hold: nothing is billed and nothing is told."""
    with clock.standing_at(NOVEMBER):
        found = late.bill(past.org.organization_id, "msgbatch_1", [Settle(ids.new("hold"), (used(1),), NOVEMBER)])

    assert (0, {20 * DOLLAR}, False) == (
        found, spent(past), AuditEvent.objects.filter(action="late_results_billed").exists(),
    )  # fmt: skip
