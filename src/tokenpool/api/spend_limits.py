"""Spend limits in Anthropic's shapes: the official SDK sets and lists them with its base URL changed alone."""

import re
from typing import Any, Literal

from django.http import QueryDict
from ninja import Router

from tokenpool.api.access import KeyRequest, Strict
from tokenpool.api.pages import after, paged
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import MAX_NANO, NANO_PER_CENT, divide_half_away
from tokenpool.kernel.period import Window
from tokenpool.limits import caps, explain
from tokenpool.limits.explain import Explanation
from tokenpool.limits.hierarchy import ORGANIZATION, group_scope, member_scope, seat_type_scope
from tokenpool.limits.models import SpendLimit
from tokenpool.organizations.models import Organization
from tokenpool.organizations.roles import Right

router = Router()
WINDOWS = {"monthly": "month", "weekly": "week", "daily": "day"}
PERIODS = {window: period for period, window in WINDOWS.items()}
MOST_USERS = 100
_MILLICENT = NANO_PER_CENT // 1000
_SCOPE_TYPES = {"organization": "organization", "seat_type": "seat_tier", "group": "rbac_group", "member": "user"}
_NAMES = {"seat_tier": "seat_tier", "rbac_group": "rbac_group_id", "user": "user_id"}
_SCOPE_OF = {"seat_tier": seat_type_scope, "rbac_group": group_scope, "user": member_scope}


class Scope(Strict):
    """Whose limit: the organization's, a seat type's, a group's, or a member's."""

    type: Literal["organization", "seat_tier", "rbac_group", "user"]
    seat_tier: str | None = None
    rbac_group_id: str | None = None
    user_id: str | None = None


class Wanted(Strict):
    """The body of `POST spend_limits`: amount in whole cents as text, null for unlimited."""

    scope: Scope
    amount: str | None
    currency: str | None = None  # the organization's, if it is said at all
    period: str = "monthly"
    basis: str | None = None
    exception: bool = False
    reason: str = ""
    expect: str | None = None


@router.get("spend_limits")
def listed(request: KeyRequest) -> dict[str, Any]:
    """List the limits in force: organization, seat types, groups, present members."""
    request.auth.require(Right.SET_LIMITS)
    wanted = set(_many(request.GET, "scope_type"))
    rows = [as_limit(row) for row in caps.in_force(request.auth.organization_id)]
    return {"data": [row for row in rows if not wanted or row["scope"]["type"] in wanted], "next_page": None}


@router.post("spend_limits")
def set_limit(request: KeyRequest, body: Wanted) -> dict[str, Any]:
    """Set a limit: the newest row of (scope, basis, period) stands."""
    scope = scope_text(body.scope)
    currency = Organization.objects.values_list("currency", flat=True).get(id=request.auth.organization_id)
    if body.currency not in (None, currency):
        raise InvalidInput(f"currency: this organization's limits are in {currency}; leave it out.", field="currency")
    if body.period not in WINDOWS:
        raise InvalidInput(f"period: must be one of {', '.join(WINDOWS)}.", field="period")
    row = caps.set_limit(
        by=request.auth,
        scope=scope,
        basis=body.basis or ("each" if body.scope.type == "user" else "pool"),
        amount_nano=None if body.amount is None else nano_of_cents(body.amount),
        exception=body.exception,
        window=WINDOWS[body.period],
        reason=body.reason,
        expect=body.expect,
    )
    return as_limit(row)


@router.get("spend_limits/effective")
def effective(request: KeyRequest, limit: int = 20, page: str = "") -> dict[str, Any]:
    """List the lowest limit on each member alone and their spend, per period that has one; pools bind besides."""
    given = request.GET
    periods, user_ids = _many(given, "period"), _many(given, "user_ids")
    if set(periods) - set(WINDOWS):
        raise InvalidInput(f"period: must be one of {', '.join(WINDOWS)}.", field="period")
    if len(user_ids) > MOST_USERS:
        raise InvalidInput(f"user_ids: at most {MOST_USERS}.", field="user_ids")
    after_id = after(page, "user", limit)
    found, more = explain.page(by=request.auth, member_ids=user_ids, after_id=after_id, limit=limit)
    windows = [window for period, window in WINDOWS.items() if not periods or period in periods]
    rows = [row for one in found for window in windows if (row := _as_row(one, window))]
    return paged(rows, found[-1].member.id if found else "", more=more)


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
    set_at = clock.text(row.set_at)
    return {
        "type": "spend_limit",
        "id": row.id,
        "scope": _as_scope(row.scope),
        "basis": row.basis,
        "amount": None if row.amount_nano is None else _cents(row.amount_nano),
        "currency": "USD",
        "period": PERIODS[row.window],
        "exception": row.exception,
        "is_enabled": row.state != "not_set",
        "created_at": set_at,
        "updated_at": set_at,
    }


def scope_text(scope: Scope) -> str:
    """Return a scope as the rooms write it.

    Raises:
        InvalidInput: a type that needs a name, without it.
    """
    if scope.type == "organization":
        return ORGANIZATION
    field = _NAMES[scope.type]
    if not (name := getattr(scope, field)):
        raise InvalidInput(f"scope.{field}: must be given for this type of scope.", field=f"scope.{field}")
    return _SCOPE_OF[scope.type](name)


def _as_scope(text: str) -> dict[str, str]:
    kind, _, name = text.partition(":")
    found = _SCOPE_TYPES[kind]
    return {"type": found} | ({_NAMES[found]: name} if name else {})


def _as_row(found: Explanation, window: str) -> dict[str, Any] | None:
    """Return the lowest limit on a member alone in *window*, and which limit binds; None when there is none."""
    lowest, binding = found.lowest(Window(window)), found.binding_in(Window(window))
    if lowest is None:
        return None
    return {
        "actor": {
            "type": "user_actor",
            "user_id": found.member.id,
            "name": found.member.name,
            "email_address": found.member.email,
            "deleted": False,
        },
        "scope": {"type": "user", "user_id": found.member.id},
        "source": _as_scope(lowest.row.scope),
        "spend_limit_id": lowest.row.id,
        "amount": None if lowest.amount_nano is None else _cents(lowest.amount_nano),
        "currency": "USD",
        "period": PERIODS[window],
        "period_to_date_spend": _cents(divide_half_away(lowest.spent_nano, _MILLICENT) * _MILLICENT),
        "binding_spend_limit_id": binding.row.id if binding else None,
    }


def _many(given: QueryDict, name: str) -> list[str]:
    return given.getlist(name) + given.getlist(f"{name}[]")


def nano_of_cents(text: str) -> int:
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
