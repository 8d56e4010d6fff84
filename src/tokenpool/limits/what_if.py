"""Which requests of a month another limit would have refused: its holds decided again in order; nothing is written.

Each hold is taken as it was reserved, kept until it ended, and settled at what it cost. Limits that
stood then let all of them through, so only those that are tried can refuse. What was refused at the
time left no hold and is not in it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from django.db.models import Q

from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.period import Month, Window, keys_at, start_of
from tokenpool.limits import caps as standing_caps
from tokenpool.limits.decide import AccountKey, Applied, Balance, Granted, Short, decide
from tokenpool.limits.hierarchy import Cap
from tokenpool.limits.models import Hold
from tokenpool.limits.places import Place, PlaceName
from tokenpool.organizations.models import Organization
from tokenpool.organizations.roles import Principal, Right
from tokenpool.pricing.book import ONE, TOKENS_PER_PRICE
from tokenpool.pricing.bound import Bound
from tokenpool.pricing.own import Prices

AT_ONCE = 2_000
FLOOR_OUTPUT = 1_024  # the smallest output worth having: clamping goes no lower
MOST_NAMED = 1_000
_FOR_EVER = 2**63


@dataclass(slots=True)
class Counts:
    """Requests, those that would have been refused or cut short, and money in nano-dollars."""

    requests: int = 0
    refused: int = 0
    cut: int = 0
    actual_nano: int = 0
    supposed_nano: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that the limit `limit_id` would have refused."""

    request_id: str
    member_id: str
    admitted_at_us: int
    model: str
    cost_nano: int
    scope: str
    basis: str


@dataclass(slots=True)
class Outcome:
    """How far the work has come, and the counts so far: complete when `done` is `of`."""

    of: int
    done: int = 0
    total: Counts = field(default_factory=Counts)
    members: dict[str, Counts] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)  # the first thousand


def limits(*, by: Principal, month: Month, book: Prices, supposed: Sequence[Cap]) -> Iterator[Outcome]:
    """Return the steps of deciding *month* again under the limits *supposed*; each yields the counts so far.

    Raises:
        NotAllowed: without the right to see everybody's spend.
        InvalidInput: a month that has not begun, no limit, or one twice.
    """
    by.require(Right.SEE_SPEND)
    if month > Month.of(clock.now()):
        raise InvalidInput(f"month: {month} has not begun.", field="month")
    if not supposed or len({(cap.scope, cap.basis, cap.window) for cap in supposed}) < len(supposed):
        raise InvalidInput("limits: give at least one limit, and each once.", field="limits")
    clamps = Organization.objects.values_list("clamps_max_tokens", flat=True).get(id=by.organization_id)
    return _Replay(by.organization_id, month, book, supposed, clamps=clamps).steps()


class _Replay:
    """The state of the accounts that the tried limits read, as the month goes by."""

    def __init__(
        self, organization_id: str, month: Month, book: Prices, supposed: Sequence[Cap], *, clamps: bool
    ) -> None:
        self.organization_id, self.month, self.book, self.clamps = organization_id, month, book, clamps
        self.caps: dict[str, list[Cap]] = {}
        for cap in [*supposed, *_exceptions(organization_id, supposed)]:
            self.caps.setdefault(cap.scope, []).append(cap)
        self.since = min(start_of(cap.window, month.start) for cap in supposed)
        self.balances: defaultdict[AccountKey, Balance] = defaultdict(Balance)
        self.places: dict[PlaceName, Place] = {}
        self.running: list[tuple[int, PlaceName, int, int]] = []  # a heap: ends at, place, held, cost
        self.output_prices: dict[str, int] = {}

    def steps(self) -> Iterator[Outcome]:
        """Go through the holds in the order of their admission."""
        rows = Hold.objects.filter(
            organization_id=self.organization_id,
            admitted_at_us__gte=clock.timestamp(self.since),
            admitted_at_us__lt=clock.timestamp(self.month.end),
        ).order_by("admitted_at_us", "id")
        found = Outcome(of=rows.count())
        yield found
        holds = list(rows[:AT_ONCE])
        while holds:
            for hold in holds:
                self._admit(hold, found)
            found.done += len(holds)
            found.of = max(found.of, found.done)
            yield found
            at, last_id = holds[-1].admitted_at_us, holds[-1].id
            holds = list(rows.filter(Q(admitted_at_us__gt=at) | Q(admitted_at_us=at, id__gt=last_id))[:AT_ONCE])
        found.of = found.done
        yield found

    def _admit(self, hold: Hold, found: Outcome) -> None:
        """Decide one hold on the state as its predecessors left it."""
        self._end_until(hold.admitted_at_us)
        place = (hold.member_id, hold.seat_type, tuple(hold.group_ids.split()), _day(hold))
        cost = hold.settled_nano or 0
        if hold.admitted_at_us < clock.timestamp(self.month.start):  # it only fills a week that began before
            self._hold(hold, place, hold.reserved_nano, cost)
            return
        verdict = decide(self._limits(place), self._bound(hold), clamps=self.clamps, floor_output=FLOOR_OUTPUT)
        counts = (found.total, found.members.setdefault(hold.member_id, Counts()))
        for one in counts:
            one.requests += 1
            one.actual_nano += cost
        if isinstance(verdict, Short):
            for one in counts:
                one.refused += 1
            if len(found.refused) < MOST_NAMED:
                found.refused.append(_refused(hold, verdict, cost))
            return
        self._grant(hold, place, verdict, counts)

    def _grant(self, hold: Hold, place: PlaceName, verdict: Granted, counts: Sequence[Counts]) -> None:
        """Let a hold through; what is cut short costs at most what it holds."""
        cost = min(hold.settled_nano or 0, verdict.amount_nano)
        for one in counts:
            one.supposed_nano += cost
            one.cut += verdict.max_output < hold.max_output
        self._hold(hold, place, verdict.amount_nano, cost)

    def _hold(self, hold: Hold, place: PlaceName, amount_nano: int, cost_nano: int) -> None:
        for balance in self._balances(place):
            balance.held_nano += amount_nano
        ends_at = _FOR_EVER if hold.ended_at_us is None else hold.ended_at_us
        heappush(self.running, (ends_at, place, amount_nano, cost_nano))

    def _end_until(self, at_us: int) -> None:
        while self.running and self.running[0][0] <= at_us:
            _, place, amount_nano, cost_nano = heappop(self.running)
            for balance in self._balances(place):
                balance.held_nano -= amount_nano
                balance.spent_nano += cost_nano

    def _limits(self, place: PlaceName) -> list[Applied]:
        found = self.places.get(place)
        if found is None:
            found = self.places[place] = Place(place, ())
            found.read(self.caps)
            found.stand_on(self.balances)
        return found.limits(self.balances)

    def _balances(self, place: PlaceName) -> list[Balance]:
        """Return the accounts of a place that a tried limit reads, each once."""
        return list({id(limit.balance): limit.balance for limit in self._limits(place)}.values())

    def _bound(self, hold: Hold) -> Bound:
        """Split a reservation into its fixed part and its output, at the dearest output of its pinned price."""
        if not hold.max_output:
            return Bound(hold.reserved_nano, 0, 0)
        dearest = self._output_price(hold.price_version)
        output_price = min(dearest, hold.reserved_nano * TOKENS_PER_PRICE // hold.max_output)
        fixed = hold.reserved_nano + (-hold.max_output * output_price // TOKENS_PER_PRICE)
        return Bound(fixed, output_price, hold.max_output)

    def _output_price(self, version: str) -> int:
        """Return the most an output token can have been held at: the dearest band, US-only where it is sold."""
        if version not in self.output_prices:
            price = self.book.by_version(version)
            top, bottom = price.us_factor or ONE
            self.output_prices[version] = -(-max(band.rates.output for band in price.bands) * top // bottom)
        return self.output_prices[version]


def _exceptions(organization_id: str, supposed: Sequence[Cap]) -> list[Cap]:
    """Return members' standing exceptions as limits without an amount: they replace the `each` limits tried."""
    tried = {cap.scope for cap in supposed}
    return [
        Cap(row.id, row.scope, row.basis, Window(row.window), None, exception=True)
        for row in standing_caps.standing(organization_id)
        if row.exception and row.scope not in tried
    ]


def _refused(hold: Hold, verdict: Short, cost_nano: int) -> Refused:
    cap = verdict.binding.cap
    request_id = ids.twin("req", hold.id)
    return Refused(request_id, hold.member_id, hold.admitted_at_us, hold.model, cost_nano, cap.scope, cap.basis)


def _day(hold: Hold) -> str:
    return keys_at(hold.admitted_at_us)[Window.DAY]
