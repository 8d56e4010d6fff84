"""Re-rating: differences alone, once, in the window of the usage; closed invoices stay, the next one adjusts."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from builders import aurora
from past import CHEAPER, DEARER, DOLLAR, LISTED, MILLION, MODEL, NOVEMBER, OLD, Past, from_day, october
from tokenpool.audit.models import AuditEvent
from tokenpool.invoicing import close, render, rerate
from tokenpool.invoicing.models import Invoice
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput, NotAllowed, UnknownModel
from tokenpool.kernel.period import Month
from tokenpool.limits import caps
from tokenpool.metering import report
from tokenpool.metering.models import DailyUsage, UsageEvent
from tokenpool.notifications.models import Notice
from tokenpool.organizations import own_prices
from tokenpool.pricing import load
from tokenpool.pricing.book import PriceBook


@pytest.fixture
def past(either_database: Path | str) -> Past:
    """Return an organization that exists since September."""
    with clock.standing_at(datetime(2026, 9, 1, tzinfo=UTC)):
        return Past(aurora(), either_database)


async def test_a_wrong_price_gives_differences_once_in_the_window_of_the_usage(past: Past) -> None:
    """A million tokens on the 9th keep $20, a million on the 10th cost $2 less; a second run gives nothing."""
    farid = past.org.farid
    await past.spend((farid, october(9), MILLION), (farid, october(10), MILLION), groups=("grp_a",))
    planned = past.rerate(CHEAPER, dry_run=True)
    events = UsageEvent.objects.count()

    done, again = past.rerate(CHEAPER), past.rerate(CHEAPER)

    assert (2, 1, -2 * DOLLAR, {"2026-10": -2 * DOLLAR}) == (
        done.examined, done.corrected, done.difference_nano, done.by_invoice,
    )  # fmt: skip
    assert (planned, 2, (2, 0, 0)) == (done, events, (again.examined, again.corrected, again.difference_nano))
    original = UsageEvent.objects.get(corrects=None, admitted_at_us=clock.timestamp(october(10)))
    fix = UsageEvent.objects.exclude(corrects=None).get()
    assert (f"{original.id}~1", original.id, None, f"{MODEL}@2026-10-10", "correction", 0, -2 * DOLLAR) == (
        fix.id, fix.corrects, fix.billed_in, fix.price_version, fix.flags, fix.output_tokens, fix.output_nano,
    )  # fmt: skip
    assert 20 * DOLLAR == original.cost_nano
    for scope in ("organization", "seat_type:chat", "group:grp_a", f"member:{farid.member_id}"):
        assert 38 * DOLLAR == past.account(scope, "2026-10")
    assert [(20 * DOLLAR, 1), (18 * DOLLAR, 1)] == list(
        DailyUsage.objects.order_by("day").values_list("cost_nano", "requests")
    )
    assert [] == past.broken(CHEAPER)


async def test_a_closed_month_stays_and_the_next_invoice_adjusts_by_name(past: Past) -> None:
    """October's bytes do not change; November's invoice has the lines, its rows name the events, and all sums hold."""
    farid, giulia = past.org.farid, past.org.giulia
    await past.spend(
        (farid, october(10), MILLION), (farid, october(11), MILLION), (giulia, october(12), 500_000),
        (giulia, NOVEMBER, MILLION),
    )  # fmt: skip
    first = past.close(2026, 10, NOVEMBER)
    before = Invoice.objects.get(month="2026-10").document

    done = past.rerate(CHEAPER, last=date(2026, 10, 31))
    with clock.standing_at(NOVEMBER):
        preview = close.preview(by=past.org.ada, month=Month(2026, 11))
    second = past.close(2026, 11, datetime(2026, 12, 5, tzinfo=UTC))

    assert {"2026-11": -5 * DOLLAR} == done.by_invoice
    assert (before, 50 * DOLLAR, []) == (
        Invoice.objects.get(month="2026-10").document, first["usage_nano"], first["adjustments"],
    )  # fmt: skip
    assert [("adjustment", MODEL, "2026-10", 3, -5 * DOLLAR, -500)] == [
        (one["kind"], one["item"], one["name"], one["quantity"], one["amount_nano"], one["amount_cents"])
        for one in second["lines"] if one["kind"] == "adjustment"
    ]  # fmt: skip
    fixes = list(UsageEvent.objects.filter(billed_in="2026-11").order_by("id").values_list("id", flat=True))
    told = {row["member"]: (row["month"], row["events"], row["amount_cents"]) for row in second["adjustments"]}
    assert {
        "Farid Haddad": ("2026-10", fixes[:2], -400), "Giulia Ferrari": ("2026-10", fixes[2:], -100)
    } == told  # fmt: skip
    assert (20 * DOLLAR, preview["adjustments"]) == (second["usage_nano"], second["adjustments"])
    assert (45 * DOLLAR, 20 * DOLLAR) == (
        past.account("organization", "2026-10"),
        past.account("organization", "2026-11"),
    )
    rows = list(csv.DictReader(io.StringIO(render.as_csv(second))))
    exact = sorted(row["amount_exact"] for row in rows if row["kind"] == "adjustment")
    assert ["-1.00", "-4.00", "-5.00"] == exact
    assert [] == past.broken(CHEAPER)


async def test_a_month_in_its_grace_takes_the_difference_of_a_closed_one(past: Past) -> None:
    """On 2 November October is closed and November has not been: its difference is November's, then December's."""
    await past.spend((past.org.farid, october(25), MILLION))
    past.close(2026, 10, datetime(2026, 11, 2, tzinfo=UTC))
    first = past.rerate(CHEAPER)
    past.close(2026, 11, datetime(2026, 12, 1, tzinfo=UTC))

    second = past.rerate(DEARER)
    back = past.rerate(OLD)

    assert [{"2026-11": -2 * DOLLAR}, {"2026-12": 7 * DOLLAR}, {"2026-12": -5 * DOLLAR}] == [
        first.by_invoice, second.by_invoice, back.by_invoice,
    ]  # fmt: skip
    assert ["~1", "~2", "~3"] == [
        event_id[-2:]
        for event_id in UsageEvent.objects.exclude(corrects=None).order_by("id").values_list("id", flat=True)
    ]
    assert 20 * DOLLAR == past.account("organization", "2026-10")
    document = past.close(2026, 12, datetime(2027, 1, 5, tzinfo=UTC))
    assert [(2, 2 * DOLLAR)] == [(one["quantity"], one["amount_nano"]) for one in document["lines"][-1:]]
    assert [] == past.broken(DEARER)


async def test_an_own_price_that_begins_in_the_past_is_re_rated_for_its_organization_alone(past: Past) -> None:
    """15 % less since 10 October for Aurora; Borealis, with the same usage, pays the list."""
    there = Past(aurora("Borealis", "borealis.example"), past.database)
    for one in (past, there):
        await one.spend((one.org.farid, october(9), MILLION), (one.org.farid, october(10), MILLION))
    with clock.standing_at(NOVEMBER):
        own_prices.set_price(
            by=past.by, book=OLD, ppm=-150_000, effective_from=date(2026, 10, 10), reason="Late", in_the_past=True
        )  # fmt: skip

    done, other = past.rerate(OLD), there.rerate(OLD)

    assert ((1, -3 * DOLLAR), (0, 0)) == (
        (done.corrected, done.difference_nano),
        (other.corrected, other.difference_nano),
    )
    assert (37 * DOLLAR, 40 * DOLLAR) == tuple(one.account("organization", "2026-10") for one in (past, there))
    assert [] == past.broken(OLD)


async def test_a_row_in_the_operators_files_is_re_rated_too(past: Past, tmp_path: Path) -> None:
    """Output at $18 since 10 October, entered in November over the shipped row; both versions go on rating."""
    await past.spend((past.org.farid, october(9), MILLION), (past.org.farid, october(10), MILLION))
    (tmp_path / "late.yaml").write_text(
        "provider: anthropic\ncurrency: USD\ncolumns: [input, output, cache_write_5m, cache_write_1h, cache_read]\n"
        f"sources: {{us: a letter}}\nmodels: {{{MODEL}: {{}}}}\nrows:\n"
        f'- {{model: {MODEL}, from: 2026-10-10, price: ["4", "18", "5", "8", "0.20"], grade: A, source: us}}\n'
    )
    book = load.with_own(tmp_path)

    done, again = past.rerate(book), past.rerate(book)

    fix = UsageEvent.objects.exclude(corrects=None).get()
    assert (f"{MODEL}@2026-10-10+operator", 1, -2 * DOLLAR, 0) == (
        fix.price_version, done.corrected, done.difference_nano, again.corrected,
    )  # fmt: skip
    assert [] == past.broken(book)


async def test_accounts_of_days_and_weeks_move_with_the_month(past: Past) -> None:
    """Those that are kept; those from before are not made."""
    farid = past.org.farid
    with clock.standing_at(october(20)):
        caps.set_limit(by=past.org.ada, scope="organization", basis="pool", window="day", amount_nano=90 * DOLLAR)
    await past.spend((farid, october(12), MILLION), (farid, october(21), MILLION))

    past.rerate(CHEAPER)

    assert (18 * DOLLAR, 36 * DOLLAR) == (
        past.account("organization", "2026-10-21"), past.account("organization", "2026-10"),
    )  # fmt: skip
    assert [] == past.broken(CHEAPER)


async def test_it_is_audited_and_told_once_per_run(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """One audit event a transaction, one notice for the owners, each with the same run."""
    monkeypatch.setattr(rerate, "AT_ONCE", 2)
    await past.spend(*[(past.org.farid, october(11 + n), MILLION) for n in range(3)])

    past.rerate(CHEAPER)

    told = [event.after for event in AuditEvent.objects.filter(action="usage_rerated").order_by("sequence")]
    assert [(2, -4 * DOLLAR, "2026-10-11"), (1, -2 * DOLLAR, "2026-10-13")] == [
        (one["events"], one["difference_nano"], one["first_day"]) for one in told
    ]
    notice = Notice.objects.get(kind="usage_rerated")
    assert ({notice.key}, MODEL) == ({one["rerating"] for one in told}, json.loads(notice.facts)["model"])


@pytest.mark.parametrize("either_database", ["sqlite"], indirect=True)  # the tests' PostgreSQL connection is one
async def test_two_at_once_correct_once(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction looks again under the lock."""
    monkeypatch.setattr(rerate, "AT_ONCE", 3)
    await past.spend(*[(past.org.farid, october(11), MILLION) for _ in range(20)])

    def run(_: int) -> int:
        done = past.rerate(CHEAPER)
        connections["default"].close()
        return done.corrected

    with ThreadPoolExecutor(4) as pool:
        corrected = list(pool.map(run, range(4)))

    assert (20, 20, 360 * DOLLAR) == (
        sum(corrected), UsageEvent.objects.exclude(corrects=None).count(), past.account("organization", "2026-10"),
    )  # fmt: skip
    assert [] == past.broken(CHEAPER)


async def test_bad_input_changes_nothing(past: Past) -> None:
    """A model nobody knows, days in the wrong order, a day without a price, and everybody who is not the operator."""
    await past.spend((past.org.farid, october(11), MILLION))
    late = PriceBook([from_day(date(2026, 11, 1), 18)], {})
    with pytest.raises(UnknownModel, match="“gpt” has no price"):
        rerate.rerate(by=past.by, book=OLD, model="gpt", first=date(2026, 10, 1), last=date(2026, 10, 2))
    with pytest.raises(InvalidInput, match="from: 2026-10-03 lies after 2026-10-02"):
        past.rerate(OLD, first=date(2026, 10, 3), last=date(2026, 10, 2))
    with pytest.raises(UnknownModel, match="no price before 2026-11-01"):
        past.rerate(late)
    for who in past.org.everybody().values():
        with pytest.raises(NotAllowed, match="ask the operator"):
            rerate.rerate(by=who, book=CHEAPER, model=MODEL, first=date(2026, 10, 1), last=date(2026, 10, 31))

    assert (1, 20 * DOLLAR) == (UsageEvent.objects.count(), past.account("organization", "2026-10"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output_nano": -2 * DOLLAR + 1, "cost_nano": -2 * DOLLAR + 1}, "5: "),
        ({"price_version": LISTED.version}, "5: "),
        ({"corrects": "evt_nobody"}, "5: "),
        ({"id": "evt_else~1"}, "5: "),
        ({"billed_in": "2026-10"}, "4: "),
        ({"billed_in": None}, "4: "),
    ],
)
async def test_a_correction_that_was_tampered_with_is_named(past: Past, change: dict[str, Any], said: str) -> None:
    """By the invariant it breaks."""
    await past.spend((past.org.farid, october(11), MILLION))
    past.close(2026, 10, NOVEMBER)
    past.rerate(CHEAPER)
    past.close(2026, 11, datetime(2026, 12, 5, tzinfo=UTC))
    assert [] == past.broken(CHEAPER)

    UsageEvent.objects.exclude(corrects=None).update(**change)

    assert any(line.startswith(said) for line in past.broken(CHEAPER)), past.broken(CHEAPER)


async def test_members_see_the_corrections_of_their_own(past: Past) -> None:
    """An event like any other, right after the one it corrects."""
    await past.spend((past.org.farid, october(11), MILLION))
    past.rerate(CHEAPER)

    rows, _ = report.events(by=past.org.farid, member_id=past.org.farid.member_id)

    assert [("correction", -2 * DOLLAR), ("", 20 * DOLLAR)] == [(row.flags, row.cost_nano) for row in rows]
