"""Correcting what an event has cost: one more event with the difference, never an edit.

The events of a chain (the original, then its corrections in order) sum to what the original's tokens
cost under the last one's price version, class by class.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Statement
from tokenpool.kernel.period import Month
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.rate import rate_event
from tokenpool.metering.record import COLUMNS
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.cost import COST_CLASSES

FLAG = "correction"
_COLUMNS = (*COLUMNS, "corrects", "billed_in")
_INSERT = f"insert into metering_usageevent ({', '.join(_COLUMNS)}) values ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - our own names
_INHERITED = (
    "organization_id",
    "request_id",
    "part",
    "member_id",
    "seat_type",
    "product",
    "cost_center",
    "project",
    "session_id",
    "agent_id",
    "group_ids",
    "model",
    "batch",
    "us_only",
    "fast",
    "month",
    "admitted_at_us",
)


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
    wanted = rate_event(event, price)
    difference = [want - have for want, have in zip(wanted, billed([event, *before]), strict=True)]
    if not any(difference):
        return None
    return UsageEvent(
        **{name: getattr(event, name) for name in _INHERITED},
        id=_id(event.id, len(before) + 1),
        price_version=price.version,
        settled_at_us=clock.timestamp(at),
        flags=FLAG,
        corrects=event.id,
        billed_in=billed_in,
        **{f"{name}_nano": nano for name, nano in zip(COST_CLASSES, difference, strict=True)},
        cost_nano=sum(difference),
    )


def insert(events: Sequence[UsageEvent]) -> Statement:
    """Insert correcting events; an id that exists fails the whole transaction."""
    return Statement(_INSERT, [tuple(getattr(event, name) for name in _COLUMNS) for event in events])


def billed(chain: Iterable[UsageEvent]) -> list[int]:
    """Return what the events of a chain have cost together, in nano-dollars per class."""
    rows = [[getattr(event, f"{name}_nano") for name in COST_CLASSES] for event in chain]
    return [sum(column) for column in zip(*rows, strict=True)]


def _id(event_id: str, number: int) -> str:
    return f"{event_id}~{number}"
