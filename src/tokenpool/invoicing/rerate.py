"""Re-rating: a price that was wrong gives correcting events with the differences, and nothing else.

Events, rollup and accounts move in one transaction under the organization's lock, in the window the
usage belongs to. What a closed invoice has billed stays as it is: the difference is an adjustment of
the first month after it that has no invoice yet. Doing it again finds nothing to do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from tokenpool.audit.actions import Action
from tokenpool.invoicing import corrections
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import InvalidInput
from tokenpool.metering import correct
from tokenpool.metering.models import UsageEvent
from tokenpool.notifications.outbox import raise_notice
from tokenpool.organizations import own_prices, trail
from tokenpool.organizations.models import Gate
from tokenpool.organizations.roles import Principal, Right
from tokenpool.pricing.book import PriceBook
from tokenpool.pricing.own import OwnBook

AT_ONCE = 250  # events in one transaction: requests wait for it no longer than for a batch of their own


@dataclass(slots=True)
class Rerated(corrections.Sums):
    """What a re-rating has found: events looked at, and what corrections came to."""

    examined: int = 0


def rerate(
    *,
    by: Principal,
    book: PriceBook,
    model: str,
    first: date,
    last: date,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Rerated:
    """Bring every event of *model* admitted from *first* to *last* (UTC days) to the price that stands for its day now.

    With *dry_run* nothing is written. *progress* is told how many more events have been looked at.

    Raises:
        NotAllowed: anybody but the operator.
        UnknownModel: no such model, or no price on a day of its usage.
        InvalidInput: days in the wrong order.
    """
    by.require(Right.SET_PRICES)
    if first > last:
        raise InvalidInput(f"from: {first} lies after {last}.", field="from")
    run = _Run(by, own_prices.book_of(by.organization_id, book), ids.new("rerate"), book.history(model)[0].model)
    found = Rerated()
    for events in _chunks(affected(by=by, model=run.model, first=first, last=last)):
        fresh = run.corrections(events)
        if fresh and not dry_run:
            fresh = run.write([event for event in events if event.id in {one.corrects for one in fresh}])
        found.examined += len(events)
        found.take(fresh)
        progress(len(events))
    return found


def affected(*, by: Principal, model: str, first: date, last: date) -> "QuerySet[UsageEvent]":
    """Return the original events of *model* (its own name) that a re-rating looks at."""
    by.require(Right.SET_PRICES)
    return UsageEvent.objects.filter(
        organization_id=by.organization_id,
        model=model,
        corrects=None,
        admitted_at_us__gte=_midnight(first),
        admitted_at_us__lt=_midnight(last + timedelta(days=1)),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """One re-rating of one organization."""

    by: Principal
    book: OwnBook
    id: str
    model: str

    def corrections(self, events: Sequence[UsageEvent]) -> list[UsageEvent]:
        """Return the correcting events that *events* need as things stand."""
        issued = corrections.issued(self.by.organization_id)
        before, at = correct.earlier(self.by.organization_id, [event.id for event in events]), clock.now()
        fresh = []
        for event in events:
            price = self.book.price(self.model, clock.from_timestamp(event.admitted_at_us).date())
            billed_in = corrections.billed_in(event.month, issued)
            made = correct.correcting(event, before.get(event.id, ()), price, at=at, billed_in=billed_in)
            if made is not None:
                fresh.append(made)
        return fresh

    def write(self, events: Sequence[UsageEvent]) -> list[UsageEvent]:
        """Correct *events* under the organization's lock, and return the correcting events.

        The closing of a month takes the same lock, so which month bills a difference is certain until the commit.
        """
        with transaction.atomic():
            gate = Gate.objects.select_for_update().get(organization_id=self.by.organization_id)
            fresh = self.corrections(events)
            if fresh:
                corrections.write(fresh, gate.windows)
                self._tell(fresh)
        return fresh

    def _tell(self, fresh: Sequence[UsageEvent]) -> None:
        """Write the audit event of one transaction, and one notice for the whole run."""
        sums = corrections.Sums()
        sums.take(fresh)
        facts = {"rerating": self.id, "events": sums.corrected, "difference_nano": sums.difference_nano}
        days = sorted(clock.from_timestamp(event.admitted_at_us).date().isoformat() for event in fresh)
        told = {**facts, "by_invoice": sums.by_invoice, "first_day": days[0], "last_day": days[-1]}
        trail.note(self.by, Action.USAGE_RERATED, ("model", self.model), after=told)
        notice = {"organization_id": self.by.organization_id, "key": self.id, "kind": "usage_rerated"}
        raise_notice(**notice, facts={"model": self.model})


def _chunks(rows: "QuerySet[UsageEvent]") -> Iterator[list[UsageEvent]]:
    """Yield the rows in the order of their admission, a chunk at a time, each read when it is wanted."""
    found = list(rows.order_by("admitted_at_us", "id")[:AT_ONCE])
    while found:
        yield found
        at, last_id = found[-1].admitted_at_us, found[-1].id
        later = rows.filter(Q(admitted_at_us__gt=at) | Q(admitted_at_us=at, id__gt=last_id))
        found = list(later.order_by("admitted_at_us", "id")[:AT_ONCE])


def _midnight(day: date) -> int:
    return clock.timestamp(datetime.combine(day, time(), UTC))
