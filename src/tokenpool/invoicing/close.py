"""Closing a month: open -> final, with the number, the bytes and a last check in one transaction.

New requests belong to the next month already; a month is closed when none of its holds is open. If
the last check fails, the month is parked with its reason and nothing is billed. All of it happens
under the organization's lock, and the gate refuses admissions before the end of a closed month: a
request that was under way while its month was closed asks again, and counts in the next.
"""

import hashlib
import json
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Sum

from tokenpool.audit.actions import Action
from tokenpool.invoicing import document
from tokenpool.invoicing.models import Invoice, InvoiceSeries, MonthClose
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotFound
from tokenpool.kernel.money import dollars
from tokenpool.kernel.period import Month
from tokenpool.limits.hierarchy import ORGANIZATION
from tokenpool.limits.models import Account, Hold
from tokenpool.metering.models import UsageEvent
from tokenpool.notifications.outbox import raise_notice
from tokenpool.organizations import trail
from tokenpool.organizations.models import Gate, Organization
from tokenpool.organizations.roles import Principal, Right, system

GRACE = timedelta(hours=72)


def preview(*, by: Principal, month: Month) -> document.Document:
    """Return the document of *month* as it stands now: the running month's preview.

    Raises:
        NotAllowed: without the right to see invoices.
        InvalidInput: a month before the organization existed, or a future one.
    """
    by.require(Right.SEE_SPEND)
    _check_month(by, month, latest=Month.of(clock.now()))
    return document.compose(by=by, month=month, number=None, at=clock.now())


def listed(*, by: Principal) -> list[Invoice]:
    """Return the closed invoices, newest first."""
    by.require(Right.SEE_SPEND)
    return list(Invoice.objects.filter(organization_id=by.organization_id).order_by("-number"))


def find(*, by: Principal, invoice_id: str) -> Invoice:
    """Return one closed invoice.

    Raises:
        NotFound: absent, or another organization's.
    """
    by.require(Right.SEE_SPEND)
    invoice = Invoice.objects.filter(organization_id=by.organization_id, id=invoice_id).first()
    if invoice is None:
        raise NotFound("There is no such invoice.")
    return invoice


def parked(*, by: Principal) -> list[MonthClose]:
    """Return the months whose closing was stopped by the last check, with the reason."""
    by.require(Right.SEE_SPEND)
    return list(MonthClose.objects.filter(organization_id=by.organization_id, state="parked").order_by("month"))


def close_month(*, by: Principal, month: Month) -> Invoice:
    """Close *month* and return its invoice; closing it again returns the same one.

    Raises:
        NotAllowed: without the operator's or primary owner's right.
        InvalidInput: the running or a future month, or one before the organization existed.
        Conflict: holds of the month are open, or the last check failed and the month is parked.
    """
    by.require(Right.OWN)
    _check_month(by, month, latest=Month.of(clock.now()).previous())
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        series, _ = InvoiceSeries.objects.get_or_create(organization_id=by.organization_id)
        done = Invoice.objects.filter(organization_id=by.organization_id, month=str(month)).first()
        if done is not None:
            return done
        if count := _open_holds(by, month):
            raise Conflict(
                f"{count} holds of {month} are still open; they end by themselves, at the latest after 24 hours, "
                "those of message batches after 72."
            )
        composed = document.compose(by=by, month=month, number=series.last_number + 1, at=clock.now())
        reason = _disagreement(by, month, composed)
        if reason is None:
            return _issue(by, month, series, composed)
        if not MonthClose.objects.filter(organization_id=by.organization_id, month=str(month), reason=reason).exists():
            trail.note(by, Action.INVOICE_PARKED, ("month", str(month)), after={"reason": reason})
        _mark(by, month, "parked", reason)
    raise Conflict(f"{month} is parked: {reason}. Nothing was billed; run `tokenpool verify`.")


def close_due(now: datetime) -> int:
    """Close every month whose grace of 72 hours has passed, in every organization; return how many were."""
    last = Month.of(now - GRACE).previous()
    closed = 0
    for organization in Organization.objects.order_by("id"):
        by = system(organization.id)
        month = Month.of(organization.created_at)
        done = set(MonthClose.objects.filter(organization_id=organization.id).values_list("month", flat=True))
        while month <= last:
            if str(month) not in done and not _open_holds(by, month):
                try:
                    close_month(by=by, month=month)
                    closed += 1
                except Conflict:
                    break  # parked, and told so in the audit and on the invoices page
            month = month.next()
    return closed


def _issue(by: Principal, month: Month, series: InvoiceSeries, composed: document.Document) -> Invoice:
    """Store the bytes, take the number, tell the owners: all in the caller's transaction."""
    text = document.canonical(composed)
    series.last_number += 1
    series.save(update_fields=["last_number"])
    invoice = Invoice.objects.create(
        organization_id=by.organization_id,
        id=ids.new("inv"),
        month=str(month),
        number=series.last_number,
        total_nano=composed["total_nano"],
        total_cents=composed["total_cents"],
        document=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        issued_at=clock.now(),
    )
    _mark(by, month, "final")
    closed = Gate.objects.filter(organization_id=by.organization_id, open_from_us__lt=clock.timestamp(month.end))
    closed.update(open_from_us=clock.timestamp(month.end))
    facts = {"month": str(month), "number": invoice.number, "total_nano": invoice.total_cents * 10_000_000}
    trail.note(by, Action.INVOICE_CLOSED, ("invoice", invoice.id), after={**facts, "sha256": invoice.sha256})
    raise_notice(organization_id=by.organization_id, key=f"invoice:{month}", kind="invoice_ready", facts=facts)
    return invoice


def _disagreement(by: Principal, month: Month, composed: document.Document) -> str | None:
    """Return how events, account and document differ, or None when they agree to the nano-dollar."""
    events = UsageEvent.of_month(by.organization_id, month).aggregate(total=Sum("cost_nano", default=0))["total"]
    account = Account.objects.filter(
        organization_id=by.organization_id, scope=ORGANIZATION, window_key=str(month)
    ).first()
    spent = account.spent_nano if account else 0
    annex = sum(row["amount_nano"] for row in composed["annex"])
    if events == spent == annex == composed["usage_nano"]:
        return None
    told = {"events": events, "account": spent, "annex": annex, "usage lines": composed["usage_nano"]}
    return "usage does not agree: " + ", ".join(f"{name} {dollars(nano)}" for name, nano in told.items())


def _open_holds(by: Principal, month: Month) -> int:
    before = clock.timestamp(month.end)
    rows = Hold.objects.filter(organization_id=by.organization_id, ended_at_us=None, admitted_at_us__lt=before)
    return rows.count()


def _mark(by: Principal, month: Month, state: str, reason: str = "") -> None:
    facts = {"state": state, "reason": reason[:400], "changed_at": clock.now()}
    MonthClose.objects.update_or_create(organization_id=by.organization_id, month=str(month), defaults=facts)


def _check_month(by: Principal, month: Month, *, latest: Month) -> None:
    first = Month.of(Organization.objects.values_list("created_at", flat=True).get(id=by.organization_id))
    if latest < first:
        raise InvalidInput(f"month: {first} is the first and has not ended; nothing can be closed.", field="month")
    if not first <= month <= latest:
        raise InvalidInput(f"month: must lie between {first} and {latest}, not {month}.", field="month")


def stored(invoice: Invoice) -> document.Document:
    """Return the document as it was issued."""
    found: document.Document = json.loads(invoice.document)
    return found
