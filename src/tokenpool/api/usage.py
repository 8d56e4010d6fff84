"""Usage, limits explained, and the alerts, for machines: the figures of the Usage page."""

from datetime import UTC, datetime
from typing import Any

from ninja import Router

from tokenpool.api.access import KeyRequest
from tokenpool.api.spend_limits import as_limit
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import dollars
from tokenpool.kernel.period import Month
from tokenpool.limits import batched, explain, overview
from tokenpool.limits.lines import LimitLine
from tokenpool.limits.models import BatchRequest
from tokenpool.metering import report
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.record import AMOUNT_COLUMNS
from tokenpool.notifications import bell

router = Router()


@router.get("usage/summary")
def summary(request: KeyRequest, month: str = "", offset: int = 0, limit: int = 1000) -> dict[str, Any]:
    """Return the month to date: the pool, the seat types, the groups, and a page of members."""
    by, wanted = request.auth, Month.parse(month) if month else Month.of(clock.now())
    if wanted != Month.of(clock.now()):
        return _past(request, wanted)
    rows, found = overview.members(by=by, offset=offset, limit=limit)
    return {
        "month": str(wanted),
        "organization": {"id": by.organization_id, **_scope(overview.pool(by=by))},
        "seat_types": [
            {"seat_type": one.seat_type.key, "members": one.members, **_scope(one.balance)}
            for one in overview.seat_types(by=by)
        ],
        "groups": [{**_group(one), "members": one.members, **_scope(one.balance)} for one in overview.groups(by=by)],
        "members": [_member(row) for row in rows],
        "has_more": offset + len(rows) < found,
    }


@router.get("usage/events")
def events(request: KeyRequest) -> dict[str, Any]:
    """List usage events, newest first; filters member, month, from, to; `after_id` goes on."""
    given = request.GET
    limit = given.get("limit", "100")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 6):  # noqa: PLR2004 - far beyond the maximum
        raise InvalidInput("limit: must be a whole number.", field="limit")
    rows, more = report.events(
        by=request.auth,
        member_id=given.get("member") or None,
        month=Month.parse(given["month"]) if "month" in given else None,
        from_us=_instant(given.get("from"), "from"),
        to_us=_instant(given.get("to"), "to"),
        after_id=given.get("after_id", ""),
        limit=int(limit),
    )
    named = batched.of_requests(request.auth.organization_id, [row.request_id for row in rows])
    data = [as_event(row, named.get(row.request_id)) for row in rows]
    return {"data": data, "has_more": more, "last_id": rows[-1].id if rows else None}


@router.get("usage/events/{event_id}")
def event(request: KeyRequest, event_id: str) -> dict[str, Any]:
    """Return one usage event."""
    row = report.event(by=request.auth, event_id=event_id)
    return as_event(row, batched.of_requests(row.organization_id, [row.request_id]).get(row.request_id))


@router.get("limits/explain")
def explained(request: KeyRequest, member: str) -> dict[str, Any]:
    """Explain a member's limits: all that apply, the binding one, the last refusal."""
    found = explain.limits_of(by=request.auth, member_id=member)
    refusal = found.last_refusal
    return {
        "member_id": member,
        **money("spent", found.spent_nano),
        **money("held", found.held_nano),
        "limits": [_line(line) for line in found.lines],
        "binding_limit": _line(found.binding) if found.binding else None,
        "last_refusal": None
        if refusal is None
        else {
            "at": _time(refusal.refused_at_us),
            "limit_id": refusal.limit_id,
            "scope": refusal.scope,
            "basis": refusal.basis,
            "model": refusal.model,
            **money("limit", refusal.limit_nano),
            **money("spent", refusal.spent_nano),
            **money("held", refusal.held_nano),
            **money("asked", refusal.asked_nano),
        },
    }


@router.get("alerts")
def alerts(request: KeyRequest) -> dict[str, Any]:
    """List the latest alerts that left as e-mail, with their delivery."""
    return {
        "data": [
            {"notice_id": notice.id, "kind": notice.kind, "to": email, "state": row.state, "attempts": row.attempts}
            for row, notice, email in bell.deliveries(by=request.auth)
        ]
    }


def as_event(row: UsageEvent, in_batch: BatchRequest | None) -> dict[str, Any]:
    """Return a usage event as the API shows it; *in_batch* is its place in a message batch, if it has one."""
    names = ("id", "request_id", "member_id", "seat_type", "product", "cost_center", "project", "session_id")
    return {
        **{name: getattr(row, name) for name in (*names, "agent_id", "model")},
        "price_version": row.price_version,
        "admitted_at": _time(row.admitted_at_us),
        "settled_at": _time(row.settled_at_us),
        **{name: getattr(row, name) for name in AMOUNT_COLUMNS},
        "cost": dollars(row.cost_nano),
        "groups": row.group_ids.split(),
        "flags": row.flags.split(),
        "batch_id": in_batch.batch_id if in_batch else None,
        "custom_id": in_batch.custom_id if in_batch else None,
        "corrects": row.corrects,
        "billed_in": row.billed_in or row.month,
    }


def money(name: str, nano: int | None) -> dict[str, Any]:
    """Return an amount in nano-dollars and, beside it, in dollars."""
    return {f"{name}_nano": nano, name: None if nano is None else dollars(nano)}


def _past(request: KeyRequest, month: Month) -> dict[str, Any]:
    """Return a past month: what was spent, by seat type, by group and by member."""
    by = request.auth

    def grouped(dimension: str) -> list[tuple[str, int]]:
        rows = report.grouped(by=by, month=month, dimensions=(dimension,))
        return [(row[dimension], row["cost_nano"]) for row in rows]

    total = report.month_totals(by=by, month=month)["cost_nano"]
    return {
        "month": str(month),
        "organization": {"id": by.organization_id, **money("spent", total), **money("held", 0), "limits": []},
        "seat_types": [{"seat_type": key, **money("spent", nano)} for key, nano in grouped("seat_type")],
        "groups": [
            {**_group(one), **money("spent", one.balance.spent_nano)} for one in overview.groups(by=by, month=month)
        ],
        "members": [{"id": key, **money("spent", nano)} for key, nano in grouped("member_id")],
        "has_more": False,
    }


def _scope(balance: overview.ScopeBalance) -> dict[str, Any]:
    lines = [line for line in (balance.pool, balance.each) if line]
    return {
        **money("spent", balance.spent_nano),
        **money("held", balance.held_nano),
        "limits": [as_limit(line.row) for line in lines],
        **money("left", balance.pool.left_nano if balance.pool else None),
        "resets_at": clock.text(balance.resets_at),
    }


def _group(one: overview.GroupBalance) -> dict[str, Any]:
    return {"id": one.group.id, "name": one.group.name, "deleted": one.group.deleted_at is not None}


def _member(row: overview.MemberBalance) -> dict[str, Any]:
    found = row.explanation
    return {
        "id": found.member.id,
        "email": found.member.email,
        "name": found.member.name,
        "seat_type": found.member.seat_type,
        "groups": found.member.groups,
        **money("spent", found.spent_nano),
        **money("held", found.held_nano),
        "limits": [_line(line) for line in found.lines],
        **money("left", found.binding.left_nano if found.binding else None),
        "binding_limit": found.binding.row.id if found.binding else None,
        "last_active_at": None if row.last_active_us is None else _time(row.last_active_us),
    }


def _line(line: LimitLine) -> dict[str, Any]:
    return {
        **as_limit(line.row),
        **money("limit", line.amount_nano),
        **money("spent", line.spent_nano),
        **money("held", line.held_nano),
        **money("left", line.left_nano),
        "resets_at": clock.text(line.resets_at),
        "replaced_by_exception": line.replaced,
    }


def _instant(text: str | None, field: str) -> int | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{field}: must be an instant like 2026-11-24T00:00:00Z.", field=field) from error
    return clock.timestamp(at.replace(tzinfo=UTC) if at.tzinfo is None else at)


def _time(microseconds: int) -> str:
    return clock.text(clock.from_timestamp(microseconds), "microseconds")
