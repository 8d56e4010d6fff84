"""Spend limits in Anthropic's shapes: the official SDK sets and lists them with its base URL changed alone."""

import re
from typing import Any, Literal

from ninja import Router

from tokenpool.api.access import KeyRequest, Strict
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import MAX_NANO, NANO_PER_CENT
from tokenpool.limits import caps
from tokenpool.limits.hierarchy import ORGANIZATION, member_scope, seat_type_scope
from tokenpool.limits.models import SpendLimit
from tokenpool.organizations.models import Organization
from tokenpool.organizations.roles import Right

router = Router()
WINDOWS = {"monthly": "month", "weekly": "week", "daily": "day"}
PERIODS = {window: period for period, window in WINDOWS.items()}
_SCOPE_TYPES = {"organization": "organization", "seat_type": "seat_tier", "member": "user"}


class Scope(Strict):
    """Whose limit: the organization's, a seat type's, or a member's."""

    type: Literal["organization", "seat_tier", "user"]
    seat_tier: str | None = None
    user_id: str | None = None


class Wanted(Strict):
    """The body of `POST spend_limits`: amount in whole cents as text, null for unlimited."""

    scope: Scope
    amount: str | None
    period: str = "monthly"
    basis: str | None = None
    exception: bool = False
    reason: str = ""
    expect: str | None = None


@router.get("spend_limits")
def listed(request: KeyRequest) -> dict[str, Any]:
    """List the standing limits: organization, seat types, members."""
    request.auth.require(Right.SET_LIMITS)
    wanted = set(request.GET.getlist("scope_type") + request.GET.getlist("scope_type[]"))
    rows = [as_limit(row) for row in caps.standing(request.auth.organization_id)]
    return {"data": [row for row in rows if not wanted or row["scope"]["type"] in wanted], "next_page": None}


@router.post("spend_limits")
def set_limit(request: KeyRequest, body: Wanted) -> dict[str, Any]:
    """Set a limit: the newest row of (scope, basis, period) stands."""
    scope = _scope_text(body.scope)
    if body.period not in WINDOWS:
        raise InvalidInput(f"period: must be one of {', '.join(WINDOWS)}.", field="period")
    row = caps.set_limit(
        by=request.auth,
        scope=scope,
        basis=body.basis or ("each" if body.scope.type == "user" else "pool"),
        amount_nano=None if body.amount is None else _nano(body.amount),
        exception=body.exception,
        window=WINDOWS[body.period],
        reason=body.reason,
        expect=body.expect,
    )
    return as_limit(row)


@router.get("spend_limits/{limit_id}")
def one(request: KeyRequest, limit_id: str) -> dict[str, Any]:
    """Return one limit's row."""
    return as_limit(caps.find(by=request.auth, limit_id=limit_id))


@router.delete("spend_limits/{limit_id}")
def remove(request: KeyRequest, limit_id: str) -> dict[str, Any]:
    """Set nothing at this level any more; the row must be the standing one."""
    row = caps.find(by=request.auth, limit_id=limit_id)
    caps.remove(by=request.auth, scope=row.scope, basis=row.basis, window=row.window, expect=row.id)
    return {"id": limit_id, "type": "spend_limit_deleted"}


@router.get("me")
def me(request: KeyRequest) -> dict[str, Any]:
    """Return the key's organization."""
    organization = Organization.objects.get(id=request.auth.organization_id)
    return {"id": organization.id, "type": "organization", "name": organization.name}


def as_limit(row: SpendLimit) -> dict[str, Any]:
    """Return a limit in Anthropic's shape; the amount is in cents, with decimals where a cent is not enough."""
    kind, _, name = row.scope.partition(":")
    scope: dict[str, str] = {"type": _SCOPE_TYPES[kind]}
    if kind == "seat_type":
        scope["seat_tier"] = name
    elif kind == "member":
        scope["user_id"] = name
    set_at = row.set_at.isoformat().replace("+00:00", "Z")
    return {
        "type": "spend_limit",
        "id": row.id,
        "scope": scope,
        "basis": row.basis,
        "amount": None if row.amount_nano is None else _cents(row.amount_nano),
        "currency": "USD",
        "period": PERIODS[row.window],
        "exception": row.exception,
        "is_enabled": row.state != "not_set",
        "created_at": set_at,
        "updated_at": set_at,
    }


def _scope_text(scope: Scope) -> str:
    if scope.type == "organization":
        return ORGANIZATION
    name = scope.seat_tier if scope.type == "seat_tier" else scope.user_id
    field = "scope.seat_tier" if scope.type == "seat_tier" else "scope.user_id"
    if not name:
        raise InvalidInput(f"{field}: must be given for this type of scope.", field=field)
    return seat_type_scope(name) if scope.type == "seat_tier" else member_scope(name)


def _nano(text: str) -> int:
    """Read an amount of whole cents.

    Raises:
        InvalidInput: anything but a non-negative whole number within the range.
    """
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or int(text) * NANO_PER_CENT > MAX_NANO:
        sentence = (
            f"amount: “{text[:30]}” must be a whole number of cents from 0 to {MAX_NANO // NANO_PER_CENT}, as text."
        )
        raise InvalidInput(sentence, field="amount")
    return int(text) * NANO_PER_CENT


def _cents(nano: int) -> str:
    whole, rest = divmod(nano, NANO_PER_CENT)
    return f"{whole}.{rest:07d}".rstrip("0").rstrip(".") if rest else str(whole)
