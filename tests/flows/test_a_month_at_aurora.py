"""A month at Aurora Ltd: replayed through the real ledger, closed, verified, tampered with, found out."""

import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection, connections
from django.db.models import Sum

from tokenpool.audit.models import AuditEvent
from tokenpool.compliance import verify
from tokenpool.config.wiring import ledger_commits
from tokenpool.demo import seed
from tokenpool.invoicing import close, render
from tokenpool.invoicing.models import Invoice, InvoiceSeries, MonthClose
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Conflict, InvalidInput
from tokenpool.kernel.group_commit import GroupCommit
from tokenpool.kernel.period import Month
from tokenpool.kernel.sqlite import SqliteStore
from tokenpool.limits.models import Account, Hold
from tokenpool.metering.models import DailyUsage, UsageEvent
from tokenpool.organizations.models import Gate
from tokenpool.pricing import load

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TRACES = Path(__file__).parents[3] / "shared" / "data" / "traces"


@pytest.fixture
def seeded(database: Path) -> Iterator[seed.Seeded]:
    """Return the demo's organization with a small past, at noon of 24 November 2026."""

    @asynccontextmanager
    async def open_ledger() -> AsyncIterator[GroupCommit]:
        store = SqliteStore(database)
        yield ledger_commits(store)
        await store.close()

    with clock.standing_at(NOW):
        yield seed.seed(
            open_ledger=open_ledger, book=load.standard(), owner_password="quiet exact fast 26",
            recorded=TRACES if TRACES.is_dir() else None, requests=600,
        )  # fmt: skip


def findings() -> list[str]:
    """Return what verification finds broken."""
    return [f"{one.invariant}: {one.broken}" for one in verify.check(book=load.standard()) if not one.holds]


def test_every_number_is_the_sum_of_its_events(seeded: seed.Seeded) -> None:
    """Events = rollup = accounts = invoices, to the nano-dollar; verification agrees."""
    events = dict(UsageEvent.objects.values_list("month").annotate(total=Sum("cost_nano")))

    invoices = {one.month: json.loads(one.document)["usage_nano"] for one in Invoice.objects.all()}
    assert {"2026-09", "2026-10", "2026-11"} == set(events)
    assert {month: events[month] for month in ("2026-09", "2026-10")} == invoices
    assert sum(events.values()) == DailyUsage.objects.aggregate(total=Sum("cost_nano"))["total"]
    assert events == dict(Account.objects.filter(scope="organization").values_list("window_key", "spent_nano"))
    assert events["2026-11"] == close.preview(by=seeded.owner, month=Month(2026, 11))["usage_nano"]
    assert [] == findings()
    assert 600 == seeded.requests == Hold.objects.filter(state="settled").count()


def test_a_closed_invoice_never_changes_and_has_one_number(seeded: seed.Seeded) -> None:
    """Closing again, also by twenty at once, gives the same bytes and no further number."""
    before = Invoice.objects.get(month="2026-10")

    def again(_: int) -> str:
        with clock.standing_at(NOW):
            found = close.close_month(by=seeded.owner, month=Month(2026, 10)).sha256
        connections["default"].close()
        return found

    with ThreadPoolExecutor(4) as pool:
        hashes = set(pool.map(again, range(20)))

    after = Invoice.objects.get(month="2026-10")
    assert {before.sha256} == hashes
    assert (before.document, 2, 2) == (after.document, after.number, InvoiceSeries.objects.get().last_number)
    assert before.sha256 == hashlib.sha256(after.document.encode()).hexdigest()


def test_a_closed_month_admits_nothing_more(seeded: seed.Seeded) -> None:
    """The gate opens where the last closed month ends; closing again does not move it."""
    close.close_month(by=seeded.owner, month=Month(2026, 9))

    assert clock.timestamp(Month(2026, 10).end) == Gate.objects.get().open_from_us


def test_months_that_cannot_be_closed_say_why(seeded: seed.Seeded) -> None:
    """The running one, a future one, one before the beginning."""
    for month in (Month(2026, 11), Month(2027, 1), Month(2026, 8)):
        with pytest.raises(InvalidInput, match="must lie between 2026-09 and 2026-10"):
            close.close_month(by=seeded.owner, month=month)


def test_a_month_with_an_open_hold_waits_and_a_wrong_sum_parks_it(seeded: seed.Seeded) -> None:
    """Nothing is billed that does not add up."""
    with clock.standing_at(datetime(2026, 12, 5, tzinfo=UTC)):
        Hold.objects.filter(admitted_at_us__gte=clock.timestamp(NOW - timedelta(days=20))).update(ended_at_us=None)
        with pytest.raises(Conflict, match="holds of 2026-11 are still open"):
            close.close_month(by=seeded.owner, month=Month(2026, 11))
        Hold.objects.filter(ended_at_us=None).update(ended_at_us=1)
        Account.objects.filter(scope="organization", window_key="2026-11").update(spent_nano=1)
        for _ in range(2):
            with pytest.raises(Conflict, match="is parked: usage does not agree"):
                close.close_month(by=seeded.owner, month=Month(2026, 11))

    assert 1 == AuditEvent.objects.filter(action="invoice_parked").count()
    assert ("parked", 2) == (MonthClose.objects.get(month="2026-11").state, Invoice.objects.count())
    assert ["2026-11"] == [one.month for one in close.parked(by=seeded.owner)]


def test_the_due_months_close_by_themselves_after_the_grace(seeded: seed.Seeded) -> None:
    """Not at 71 hours, once at 73, never twice."""
    december = datetime(2026, 12, 1, tzinfo=UTC)
    closed = []
    for hours in (71, 73, 74):
        with clock.standing_at(december + timedelta(hours=hours)):
            closed.append(close.close_due(clock.now()))

    assert [0, 1, 0] == closed
    assert [1, 2, 3] == [one.number for one in Invoice.objects.order_by("number")]


def test_the_csv_carries_every_line_and_no_formula(seeded: seed.Seeded) -> None:
    """Names that a spreadsheet would compute are defused."""
    document = close.stored(Invoice.objects.get(month="2026-10"))
    document["annex"][0]["member"] = '=HYPERLINK("x")'

    text = render.as_csv(document)

    assert len(document["lines"]) + len(document["annex"]) + 2 == len(text.splitlines())
    assert ",\"'=HYPERLINK" in text


def test_the_csv_sums_up_in_cents_and_to_the_nano_dollar(seeded: seed.Seeded) -> None:
    """The lines are the total, rounded and exact; the annex is the usage lines."""
    document = close.stored(Invoice.objects.get(month="2026-10"))

    rows = list(csv.DictReader(io.StringIO(render.as_csv(document))))

    for column in ("amount", "amount_exact"):
        sums = {part: sum(Decimal(row[column]) for row in rows if row["part"] == part) for part in ("line", "total")}
        used = [sum(Decimal(row[column]) for row in rows if (row["part"], row["kind"]) == (part, "usage"))
                for part in ("line", "annex")]  # fmt: skip
        assert sums["line"] == sums["total"]
        assert used[0] == used[1]


@pytest.mark.parametrize(
    ("sql", "invariant"),
    [
        ("update metering_usageevent set cost_nano = cost_nano + 1, input_nano = input_nano + 1 where rowid = 5", 1),
        ("update metering_dailyusage set cost_nano = cost_nano - 1 where rowid = 3", 1),
        ("update limits_account set spent_nano = spent_nano + 1 where scope = 'seat_type:chat'", 1),
        ("update limits_account set held_nano = 7 where scope = 'organization' and window_key = '2026-11'", 2),
        ("delete from metering_usageevent where rowid = 9", 3),
        ("update limits_hold set state = 'void' where rowid = 4", 3),
        ("update invoicing_invoice set document = replace(document, 'Aurora', 'Borealis') where number = 1", 4),
        ("update invoicing_invoice set number = 5 where number = 2", 4),
        ("update invoicing_invoice set document = document || ' ', sha256 = sha256(document || ' ')", 4),
        ("delete from invoicing_invoice where number = 2; update invoicing_invoiceseries set last_number = 1", 4),
        ("update metering_usageevent set output_tokens = output_tokens + 1 where rowid = 2", 5),
        ("update metering_usageevent set price_version = 'claude-opus-5@1999-01-01' where rowid = 2", 5),
        ("update metering_usageevent set group_ids = '' where group_ids <> ''", 1),
        ("update limits_account set spent_nano = spent_nano + 1 where scope like 'group:%'", 1),
        ("update organizations_member set group_ids = '' where email = 'elena.marino@aurora.example'", 7),
        ("update organizations_member set group_ids = 'grp_x' where email = 'nora.hansen@aurora.example'", 7),
        ("delete from organizations_groupmembership where rowid = 2", 7),
        ("update organizations_groupmembership set joined = 0 where rowid = 3", 7),
        ("update audit_auditevent set actor_name = 'nobody' where sequence = 10", 6),
    ],
)
def test_tampering_is_named_by_the_invariant_it_breaks(seeded: seed.Seeded, sql: str, invariant: int) -> None:
    """One nano-dollar is enough."""
    with connection.cursor() as cursor:
        for statement in sql.split(";"):
            cursor.execute(statement)

    found = findings()

    assert any(line.startswith(f"{invariant}: ") for line in found), found
