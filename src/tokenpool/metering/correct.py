"""Correcting what an event has cost: one more event with the difference, never an edit.

The events of a chain (the original, then its corrections in order) sum to what the original's tokens
cost under the last one's price version, class by class. An estimate whose real usage is told late is
taken back: its chain sums to nothing from then on, and what was used is in events of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from tokenpool.kernel import clock, ids
from tokenpool.kernel.group_commit import Statement
from tokenpool.kernel.period import Month
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.rate import rate_event
from tokenpool.metering.record import AMOUNT_COLUMNS, COLUMNS, RatedUsage, amounts, event_id
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.cost import COST_CLASSES, Cost

FLAG, LATE = "correction", "late"
TAKEN_BACK = f"{FLAG} {LATE}"
_COLUMNS = (*COLUMNS, "corrects", "billed_in")
_INSERT = f"insert into metering_usageevent ({', '.join(_COLUMNS)}) values ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - our own names
_INHERITED = (
    "organization_id",
    "request_id",
    "member_id",
    "seat_type",
    "product",
    "cost_center",
    "project",
    "session_id",
    "agent_id",
    "group_ids",
    "month",
    "admitted_at_us",
)
_OF_ITS_USAGE = ("part", "model", "batch", "us_only", "fast")


def earlier(organization_id: str, event_ids: Sequence[str]) -> Mapping[str, list[UsageEvent]]:
    """Return the corrections of events, each event's in order; events without any are absent."""
    found: dict[str, list[UsageEvent]] = {}
    open_chains, number = list(event_ids), 1
    while open_chains:
        named = [_id(event_id, number) for event_id in open_chains]
        rows = list(UsageEvent.objects.filter(organization_id=organization_id, id__in=named))
        open_chains = []
        for row in rows:
            original = str(row.corrects)
            found.setdefault(original, []).append(row)
            open_chains.append(original)
        number += 1
    return found


def billed_in(organization_id: str, month: Month) -> list[UsageEvent]:
    """Return the corrections of earlier months that the invoice of *month* carries, in the order of their ids."""
    rows = UsageEvent.objects.filter(organization_id=organization_id, billed_in=str(month))
    return list(rows.order_by("id"))


def correcting(
    event: UsageEvent, before: Sequence[UsageEvent], price: ModelPrice, *, at: datetime, billed_in: str | None
) -> UsageEvent | None:
    """Return the event that brings *event* to its cost under *price*, or None when that is what it costs already.

    *before* are its corrections so far, in order. *billed_in* is the month whose invoice carries the
    difference, None for the event's own.
    """
    wanted = cost_of([event, *before], price)
    difference = [want - have for want, have in zip(wanted, billed([event, *before]), strict=True)]
    if not any(difference):
        return None
    return UsageEvent(
        **{name: getattr(event, name) for name in _INHERITED + _OF_ITS_USAGE},
        id=_id(event.id, len(before) + 1),
        price_version=price.version,
        settled_at_us=clock.timestamp(at),
        flags=FLAG,
        corrects=event.id,
        billed_in=billed_in,
        **{f"{name}_nano": nano for name, nano in zip(COST_CLASSES, difference, strict=True)},
        cost_nano=sum(difference),
    )


def taking_back(
    event: UsageEvent, before: Sequence[UsageEvent], *, at: datetime, billed_in: str | None
) -> UsageEvent | None:
    """Return the event that brings the estimate *event* and its corrections *before* to nothing, None if one did so."""
    chain = [event, *before]
    if was_taken_back(chain):
        return None
    return UsageEvent(
        **{name: getattr(event, name) for name in _INHERITED + _OF_ITS_USAGE},
        id=_id(event.id, len(chain)),
        price_version=chain[-1].price_version,
        settled_at_us=clock.timestamp(at),
        flags=TAKEN_BACK,
        corrects=event.id,
        billed_in=billed_in,
        **{name: -sum(getattr(one, name) for one in chain) for name in AMOUNT_COLUMNS},
    )


def told_late(
    estimate: UsageEvent, usage: Sequence[RatedUsage], flags: str, *, at: datetime, billed_in: str | None
) -> list[UsageEvent]:
    """Return the events of what was really used by the request of an *estimate* that is taken back, one per model."""
    hold_id = ids.twin("hold", estimate.request_id)
    return [
        UsageEvent(
            **{name: getattr(estimate, name) for name in _INHERITED},
            id=event_id(hold_id, part),
            part=part,
            model=one.model,
            price_version=one.price_version,
            batch=one.batch,
            us_only=one.us_only,
            fast=one.fast,
            settled_at_us=clock.timestamp(at),
            flags=f"{LATE} {flags}".strip(),
            billed_in=billed_in,
            **dict(zip(AMOUNT_COLUMNS, amounts(one), strict=True)),
        )
        for part, one in enumerate(usage, start=1)
    ]


def late_of(estimate: UsageEvent) -> list[UsageEvent]:
    """Return the events of what was used instead of an *estimate* that was taken back."""
    same = {name: getattr(estimate, name) for name in ("organization_id", "month", "member_id", "admitted_at_us")}
    rows = UsageEvent.objects.filter(**same, request_id=estimate.request_id).order_by("part")
    return [row for row in rows if is_late(row)]


def is_late(event: UsageEvent) -> bool:
    """Tell whether an event was told in the place of an estimate."""
    return event.flags.startswith(LATE)


def was_taken_back(chain: Iterable[UsageEvent]) -> bool:
    """Tell whether a chain's estimate was taken back."""
    return any(one.flags == TAKEN_BACK for one in chain)


def cost_of(chain: Sequence[UsageEvent], price: ModelPrice) -> Cost:
    """Return what the usage of a chain costs under *price*: nothing once it was taken back."""
    return Cost() if was_taken_back(chain) else rate_event(chain[0], price)


def insert(events: Sequence[UsageEvent]) -> Statement:
    """Insert correcting events; an id that exists fails the whole transaction."""
    return Statement(_INSERT, [tuple(getattr(event, name) for name in _COLUMNS) for event in events])


def billed(chain: Iterable[UsageEvent]) -> list[int]:
    """Return what the events of a chain have cost together, in nano-dollars per class."""
    rows = [[getattr(event, f"{name}_nano") for name in COST_CLASSES] for event in chain]
    return [sum(column) for column in zip(*rows, strict=True)]


def _id(event_id: str, number: int) -> str:
    return f"{event_id}~{number}"
