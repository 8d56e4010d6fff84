"""Reading usage back for people: sums of a month by whatever dimension, and the events behind them.

Every figure is a sum of the same rollup that moves with each settlement; nothing is cached.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Max, Min, Q, QuerySet, Sum

from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput, NotFound
from tokenpool.kernel.period import Month
from tokenpool.metering.models import DailyUsage, UsageEvent
from tokenpool.metering.record import AMOUNT_COLUMNS
from tokenpool.organizations.roles import Principal, Right

SUMS = ("requests", *AMOUNT_COLUMNS)
DIMENSIONS = ("member_id", "seat_type", "product", "cost_center", "model")
MOST_EVENTS = 1000


def month_totals(*, by: Principal, month: Month, member_id: str | None = None) -> dict[str, int]:
    """Return the month's sums of requests, tokens per class and nano-dollars per class.

    Raises:
        NotAllowed: somebody else's usage without the right to see it.
    """
    rows = _visible(by, month, member_id)
    found = rows.aggregate(**{name: Sum(name, default=0) for name in SUMS})
    return {name: int(found[name]) for name in SUMS}


def grouped(
    *, by: Principal, month: Month, dimensions: tuple[str, ...], member_id: str | None = None
) -> list[dict[str, Any]]:
    """Return the month's sums per value of *dimensions* (of `day` and `DIMENSIONS`), in their order."""
    unknown = set(dimensions) - {*DIMENSIONS, "day"}
    if unknown:
        raise InvalidInput(f"group by: unknown dimension {min(unknown)}.", field="group_by")
    rows = _visible(by, month, member_id).values(*dimensions).order_by(*dimensions)
    return list(rows.annotate(**{name: Sum(name, default=0) for name in SUMS}))


def last_active(*, by: Principal, member_ids: list[str]) -> Mapping[str, int]:
    """Return each member's last admission as microseconds since 1970; members without usage are absent."""
    by.require(Right.SEE_SPEND)
    rows = UsageEvent.objects.filter(organization_id=by.organization_id, member_id__in=member_ids)
    return {row["member_id"]: row["at"] for row in rows.values("member_id").annotate(at=Max("admitted_at_us"))}


def events(
    *,
    by: Principal,
    member_id: str | None = None,
    month: Month | None = None,
    model: str = "",
    product: str = "",
    from_us: int | None = None,
    to_us: int | None = None,
    after_id: str = "",
    limit: int = 50,
) -> tuple[list[UsageEvent], bool]:
    """Return usage events, newest first, and whether more follow; *after_id* continues a page.

    Raises:
        NotAllowed: somebody else's usage without the right to see it.
        InvalidInput: *limit* outside 1 to 1,000.
    """
    if not 1 <= limit <= MOST_EVENTS:
        raise InvalidInput(f"limit: must lie between 1 and {MOST_EVENTS}.", field="limit")
    _require(by, member_id)
    rows = UsageEvent.objects.filter(organization_id=by.organization_id)
    filters: dict[str, object] = {}
    if member_id is not None:
        filters["member_id"] = member_id
    if model:
        filters["model"] = model
    if product:
        filters["product"] = product
    if from_us is not None:
        filters["admitted_at_us__gte"] = from_us
    if to_us is not None:
        filters["admitted_at_us__lt"] = to_us
    chosen = (rows if month is None else _in(month, by, member_id)).filter(**filters)
    if after_id:
        at_us = rows.filter(id=after_id).values_list("admitted_at_us", flat=True).first() or 0
        chosen = chosen.filter(Q(admitted_at_us__lt=at_us) | Q(admitted_at_us=at_us, id__lt=after_id))
    found = list(chosen.order_by("-admitted_at_us", "-id")[: limit + 1])
    return found[:limit], len(found) > limit


def event(*, by: Principal, event_id: str) -> UsageEvent:
    """Return one usage event.

    Raises:
        NotFound: absent, another organization's, or somebody else's without the right to see it.
    """
    row = UsageEvent.objects.filter(organization_id=by.organization_id, id=event_id).first()
    if row is None or not (by.may(Right.SEE_SPEND) or row.member_id == by.member_id):
        raise NotFound("There is no such usage event.")
    return row


def _in(month: Month, by: Principal, member_id: str | None) -> "QuerySet[UsageEvent]":
    """Return a month's events, those of a member between the first and the last day it used anything.

    Events are found by their time alone; the days keep a member's few from being sought among everybody's.
    """
    rows = UsageEvent.of_month(by.organization_id, month)
    if member_id is None:
        return rows
    used = _visible(by, month, member_id).aggregate(first=Min("day"), last=Max("day"))
    if used["first"] is None:
        return rows.none()
    first, last = (datetime.fromisoformat(used[name]).replace(tzinfo=UTC) for name in ("first", "last"))
    until = clock.timestamp(last + timedelta(days=1))
    return rows.filter(admitted_at_us__gte=clock.timestamp(first), admitted_at_us__lt=until)


def _visible(by: Principal, month: Month, member_id: str | None) -> "QuerySet[DailyUsage]":
    _require(by, member_id)
    rows = DailyUsage.objects.filter(
        organization_id=by.organization_id,
        day__in=[f"{month}-{day:02}" for day in range(1, month.days + 1)],  # each is sought with its member
    )
    return rows if member_id is None else rows.filter(member_id=member_id)


def _require(by: Principal, member_id: str | None) -> None:
    """Let members read their own usage; everybody else's needs the right."""
    if member_id is None or member_id != by.member_id:
        by.require(Right.SEE_SPEND)
