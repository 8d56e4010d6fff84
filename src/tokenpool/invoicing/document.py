"""The document of a month as JSON: what is previewed, and what is issued as bytes and never changes."""

import json
from datetime import datetime
from typing import Any

from tokenpool.invoicing.statement import USAGE_CLASSES, Adjustment, HeldSeat, SeatFee, Statement, UsageSum, build
from tokenpool.kernel import clock
from tokenpool.kernel.money import dollars
from tokenpool.kernel.period import Month
from tokenpool.metering import correct, report
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import seats
from tokenpool.organizations.models import Member, Organization
from tokenpool.organizations.roles import Principal

Document = dict[str, Any]
FORMAT = "tokenpool-invoice/1"
COUNTERS = {"web_search": "web_search_requests", "code_execution": "code_execution_seconds"}  # all others: tokens


def compose(*, by: Principal, month: Month, number: int | None, at: datetime) -> Document:
    """Return the document of *month*; a preview has no number, and *at* is the instant it speaks of."""
    organization = Organization.objects.get(id=by.organization_id)
    statement = _statement(by, month, at)
    names = dict(Member.objects.filter(organization_id=by.organization_id).values_list("id", "name"))
    return {
        "format": FORMAT,
        "number": number,
        "status": "preview" if number is None else "final",
        "month": str(month),
        "period": {"from": _text(month.start), "until": _text(month.end)},
        "composed_at": _text(at),
        "currency": organization.currency,
        "customer": {"organization_id": organization.id, "name": organization.name},
        "lines": _lines(statement),
        "annex": _annex(statement, names),
        "adjustments": _adjustments(statement, names),
        "total_nano": statement.total_nano,
        "total_cents": statement.total_cents,
        "total": _cents(statement.total_cents),
        "usage_nano": sum(line.amount_nano for line in statement.lines if line.kind == "usage"),
    }


def canonical(document: Document) -> str:
    """Return the one text of a document: sorted names, no spaces; its hash is the document's identity."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _statement(by: Principal, month: Month, at: datetime) -> Statement:
    fees = [
        SeatFee(one.key, one.name, one.fee_nano, one.hipaa_surcharge_nano) for one in seats.types(by.organization_id)
    ]
    days = seats.seat_days(by.organization_id, month, until=at)
    held = [HeldSeat(one.member_id, one.seat_type, one.days, one.hipaa_days) for one in days]
    return build(
        seat_fees=fees,
        held=held,
        usage=_usage(by, month),
        days_in_month=month.days,
        adjustments=_adjusted(by, month),
    )


def _adjusted(by: Principal, month: Month) -> list[Adjustment]:
    """Return what the corrections billed in *month* came to: of usage whose own month was closed before them."""
    found: dict[tuple[str, str, str], list[UsageEvent]] = {}
    for event in correct.billed_in(by.organization_id, month):
        found.setdefault((event.member_id, event.model, event.month), []).append(event)
    return [
        Adjustment(*key, tuple(event.id for event in events), sum(event.cost_nano for event in events))
        for key, events in found.items()
    ]


def _usage(by: Principal, month: Month) -> list[UsageSum]:
    found = []
    for row in report.grouped(by=by, month=month, dimensions=("member_id", "model")):
        for usage_class in USAGE_CLASSES:
            counter = COUNTERS.get(usage_class, f"{usage_class}_tokens")
            amount = row[f"{usage_class}_nano"]
            found.append(UsageSum(row["member_id"], row["model"], usage_class, row[counter], amount))
    return found


def _lines(statement: Statement) -> list[Document]:
    return [
        {
            "kind": line.kind,
            "item": line.item,
            "name": line.name,
            "usage_class": line.usage_class,
            "quantity": line.quantity,
            "amount_nano": line.amount_nano,
            "amount_exact": dollars(line.amount_nano),
            "amount_cents": cents,
            "amount": _cents(cents),
        }
        for line, cents in zip(statement.lines, statement.line_cents, strict=True)
    ]


def _annex(statement: Statement, names: dict[str, str]) -> list[Document]:
    return [
        {
            "member_id": row.member_id,
            "member": names.get(row.member_id, row.member_id),
            "model": row.model,
            "usage_class": row.usage_class,
            "quantity": row.quantity,
            "amount_nano": row.amount_nano,
            "amount_exact": dollars(row.amount_nano),
            "amount_cents": cents,
            "amount": _cents(cents),
        }
        for row, cents in zip(statement.annex, statement.annex_cents, strict=True)
    ]


def _adjustments(statement: Statement, names: dict[str, str]) -> list[Document]:
    return [
        {
            "member_id": row.member_id,
            "member": names.get(row.member_id, row.member_id),
            "model": row.model,
            "month": row.month,
            "events": list(row.events),
            "amount_nano": row.amount_nano,
            "amount_exact": dollars(row.amount_nano),
            "amount_cents": cents,
            "amount": _cents(cents),
        }
        for row, cents in zip(statement.adjustments, statement.adjustment_cents, strict=True)
    ]


def _cents(cents: int) -> str:
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def _text(instant: datetime) -> str:
    return clock.text(instant, "seconds")
