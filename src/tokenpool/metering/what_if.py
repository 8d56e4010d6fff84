"""What a month would have cost at other prices: every event rated again, exactly; nothing is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput, UnknownModel
from tokenpool.kernel.period import Month
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.rate import rate_event
from tokenpool.organizations.roles import Principal, Right
from tokenpool.pricing.book import ModelPrice, PriceBook
from tokenpool.pricing.own import OwnPrices, OwnRow

AT_ONCE = 2_000
BILLED, LIST = "billed", "list"


@dataclass(slots=True)
class Sums:
    """Requests, what they cost, and what they would have cost, in nano-dollars."""

    requests: int = 0
    actual_nano: int = 0
    supposed_nano: int = 0

    @property
    def difference_nano(self) -> int:
        """What would have been paid more; less when negative."""
        return self.supposed_nano - self.actual_nano

    def add(self, event: UsageEvent, supposed_nano: int) -> None:
        """Count an event; the second model of a request and corrections are no requests of their own."""
        self.requests += event.part == 0 and event.corrects is None
        self.actual_nano += event.cost_nano
        self.supposed_nano += supposed_nano


@dataclass(slots=True)
class Outcome:
    """How far the work has come, and the sums so far: complete when `done` is `of`."""

    of: int
    done: int = 0
    total: Sums = field(default_factory=Sums)
    members: dict[str, Sums] = field(default_factory=dict)
    models: dict[str, Sums] = field(default_factory=dict)


def prices(
    *, by: Principal, month: Month, book: PriceBook, rows: Sequence[OwnRow], base: str = BILLED
) -> Iterator[Outcome]:
    """Return the steps of rating *month* again with the own prices *rows* over *book*; each yields the sums so far.

    What no row decides stays at what it was billed, or is rated at its day's list price (*base* `list`).

    Raises:
        NotAllowed: without the right to see everybody's spend.
        InvalidInput: a month that has not begun, an unknown base, two rows for one scope.
    """
    by.require(Right.SEE_SPEND)
    if month > Month.of(clock.now()):
        raise InvalidInput(f"month: {month} has not begun.", field="month")
    if base not in (BILLED, LIST):
        raise InvalidInput(f"base: must be {BILLED} or {LIST}.", field="base")
    scopes = [row.scope for row in rows]
    if twice := next((scope for scope in scopes if scopes.count(scope) > 1), None):
        raise InvalidInput(f"rows: {twice} stands twice.", field="rows")
    return _steps(by.organization_id, month, _Supposed(book, OwnPrices(rows), base))


def last_day(month: Month) -> date:
    """Return the last UTC day of *month*, today while it runs: the day whose list a supposed price is checked by."""
    return min(month.start.replace(day=month.days), clock.now()).date()


@dataclass(slots=True)
class _Supposed:
    """The prices that are tried."""

    book: PriceBook
    own: OwnPrices
    base: str
    known: dict[tuple[str, date], ModelPrice | None] = field(default_factory=dict)

    def cost_nano(self, event: UsageEvent) -> int:
        """Return what *event* would have cost; nothing, where it corrects a price: it has no tokens."""
        key = (event.model, clock.from_timestamp(event.admitted_at_us).date())
        if key not in self.known:
            self.known[key] = self._price(*key)
        price = self.known[key]
        if price is None:
            return event.cost_nano
        return rate_event(event, price).total

    def _price(self, model: str, day: date) -> ModelPrice | None:
        """Return the price to rate at, None where what was billed stays."""
        try:
            listed = self.book.price(model, day)
        except UnknownModel:  # what the book no longer knows is not asked for
            return None
        if self.base == BILLED and self.own.row_for(listed, day) is None:
            return None
        return self.own.on(listed, day)


def _steps(organization_id: str, month: Month, supposed: _Supposed) -> Iterator[Outcome]:
    rows = UsageEvent.of_month(organization_id, month).order_by("id")
    found, last_id = Outcome(of=rows.count()), ""
    yield found
    while events := list(rows.filter(id__gt=last_id)[:AT_ONCE]):
        for event in events:
            nano = supposed.cost_nano(event)
            found.total.add(event, nano)
            found.members.setdefault(event.member_id, Sums()).add(event, nano)
            found.models.setdefault(event.model, Sums()).add(event, nano)
        found.done += len(events)
        found.of, last_id = max(found.of, found.done), events[-1].id
        yield found
    found.of = found.done
    yield found
