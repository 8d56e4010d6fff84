"""Invoices, the organization's settings and its activity feed, for machines."""

import json
from datetime import UTC, datetime
from typing import Any

from django.http import HttpResponse
from ninja import Router

from tokenpool.api.access import KeyRequest, Strict
from tokenpool.api.usage import money
from tokenpool.compliance import activity
from tokenpool.invoicing import close, render
from tokenpool.invoicing.models import Invoice
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput, NotFound
from tokenpool.kernel.period import Month
from tokenpool.organizations import settings
from tokenpool.organizations.models import Organization

router = Router()
feed = Router()


class Change(Strict):
    """The body of `PATCH organization`."""

    name: str | None = None
    clamps_max_tokens: bool | None = None
    refusal_status: int | None = None


class Confirmation(Strict):
    """The body of `POST organization/hipaa_ready`: the organization's name, typed."""

    confirmation: str


@router.get("invoices")
def invoices(request: KeyRequest) -> dict[str, Any]:
    """List the closed invoices, newest first."""
    return {"data": [_as_invoice(one) for one in close.listed(by=request.auth)], "has_more": False}


@router.get("invoices/preview")
def preview(request: KeyRequest, month: str = "") -> dict[str, Any]:
    """Return a month's document as it stands now."""
    wanted = Month.parse(month) if month else Month.of(clock.now())
    return close.preview(by=request.auth, month=wanted)


@router.get("invoices/{invoice_id}")
def invoice(request: KeyRequest, invoice_id: str) -> HttpResponse:
    """Return a closed invoice: its summary with the document, or the bytes as `.json` or `.csv`."""
    invoice_id, _, form = invoice_id.partition(".")
    found = close.find(by=request.auth, invoice_id=invoice_id)
    if form == "json":
        return HttpResponse(found.document, content_type="application/json")
    if form == "csv":
        return HttpResponse(render.as_csv(close.stored(found)), content_type="text/csv; charset=utf-8")
    if form:
        raise NotFound("There is no such form of an invoice; there are .csv and .json.")
    body = {**_as_invoice(found), "document": close.stored(found)}
    return HttpResponse(json.dumps(body, ensure_ascii=False), content_type="application/json")


@router.patch("organization")
def change(request: KeyRequest, body: Change) -> dict[str, Any]:
    """Change the organization's settings."""
    return _as_organization(settings.change(by=request.auth, **body.dict()))


@router.post("organization/hipaa_ready")
def hipaa(request: KeyRequest, body: Confirmation) -> dict[str, Any]:
    """Make the organization HIPAA-ready, for ever."""
    return _as_organization(settings.enable_hipaa(by=request.auth, confirmation=body.confirmation))


@feed.get("activities")
def activities(request: KeyRequest) -> dict[str, Any]:
    """Return the activity feed, newest first."""
    given = request.GET
    limit = given.get("limit", "100")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 6):  # noqa: PLR2004 - far beyond the maximum
        raise InvalidInput("limit: must be a whole number.", field="limit")
    return activity.list_activities(
        by=request.auth,
        activity_types=tuple(given.getlist("activity_types[]")),
        exclude_activity_types=tuple(given.getlist("exclude_activity_types[]")),
        actor_ids=tuple(given.getlist("actor_ids[]")),
        created_at={
            name.removeprefix("created_at."): _instant(given.get(name, ""))
            for name in given
            if name.startswith("created_at.")
        },
        after_id=given.get("after_id", ""),
        before_id=given.get("before_id", ""),
        limit=int(limit),
    )


def _as_invoice(found: Invoice) -> dict[str, Any]:
    return {
        "type": "invoice",
        "id": found.id,
        "number": found.number,
        "month": found.month,
        **money("total", found.total_nano),
        "total_cents": found.total_cents,
        "sha256": found.sha256,
        "issued_at": clock.text(found.issued_at),
    }


def _as_organization(organization: Organization) -> dict[str, Any]:
    return {
        "type": "organization",
        "id": organization.id,
        "name": organization.name,
        "clamps_max_tokens": organization.clamps_max_tokens,
        "refusal_status": organization.refusal_status,
        "hipaa_ready": organization.hipaa_ready_at is not None,
    }


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput("created_at: must be an instant like 2026-11-24T00:00:00Z.", field="created_at") from error
