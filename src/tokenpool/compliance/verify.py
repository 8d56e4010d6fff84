"""Every invariant of the money, checked on the data as it is: the first broken fact of each is named.

Rows are streamed, so memory stays flat. The numbers of the invariants are those of docs/verify.md.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, QuerySet, Sum, When

from tokenpool.audit import chain
from tokenpool.audit.actions import Action
from tokenpool.audit.models import AuditEvent
from tokenpool.compliance import rating
from tokenpool.invoicing.models import Invoice, InvoiceSeries
from tokenpool.kernel import clock, ids
from tokenpool.kernel.period import Month, Window, keys_at
from tokenpool.limits.decide import AccountKey
from tokenpool.limits.hierarchy import ORGANIZATION
from tokenpool.limits.models import Account, Hold
from tokenpool.limits.places import PlaceName, account_keys
from tokenpool.metering import correct
from tokenpool.metering.models import DailyUsage, FreeTime, UsageEvent
from tokenpool.metering.record import AMOUNT_COLUMNS
from tokenpool.organizations import own_prices
from tokenpool.organizations.models import Group, GroupMembership, Member, Organization
from tokenpool.pricing.book import PriceBook
from tokenpool.pricing.own import OwnBook


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant of one organization: whether it holds, and the first broken fact if not."""

    organization_id: str
    invariant: int
    title: str
    broken: str = ""

    @property
    def holds(self) -> bool:
        """True when nothing is broken."""
        return not self.broken


@dataclass(frozen=True, slots=True)
class Examined:
    """What is being checked: an organization, one month of it or all (""), and the book it is rated with.

    `kept` are the days and weeks that have accounts; none when one month is examined (a week may
    reach into two).
    """

    organization_id: str
    month: str
    book: OwnBook
    kept: frozenset[str] = frozenset()

    def events(self) -> "QuerySet[UsageEvent]":
        """Return the usage events that are examined."""
        if self.month:
            return UsageEvent.of_month(self.organization_id, Month.parse(self.month))
        return UsageEvent.objects.filter(organization_id=self.organization_id)


Check = Callable[[Examined], Iterator[str]]


def check(*, book: PriceBook, organization_id: str | None = None, month: str = "") -> Iterator[Finding]:
    """Yield a finding per organization and invariant; *month* narrows the sums to one month."""
    organizations = Organization.objects.order_by("id")
    if organization_id is not None:
        organizations = organizations.filter(id=organization_id)
    for organization in organizations:
        pool = Account.objects.filter(organization_id=organization.id, scope=ORGANIZATION)
        kept = frozenset() if month else frozenset(pool.values_list("window_key", flat=True))
        on = Examined(organization.id, month, own_prices.book_of(organization.id, book), kept)
        for number, (title, examine) in enumerate(CHECKS, start=1):
            yield Finding(organization.id, number, title, next(examine(on), ""))


def _sums(on: Examined) -> Iterator[str]:
    """Events = daily rollup = accounts, per member, seat type, model and in total."""
    (events, spent), daily = _grouped_events(on), _grouped_daily(on)
    for key in sorted(events.keys() | daily.keys()):
        if events.get(key) != daily.get(key):
            yield f"{' '.join(key)}: events sum to {events.get(key)}, the rollup says {daily.get(key)}"
    yield from _free_time(on, events)
    stored = {(row.scope, row.window_key): row.spent_nano for row in _accounts(on)}
    for key in sorted(spent.keys() | stored.keys()):
        if spent.get(key, 0) != stored.get(key, 0):
            yield f"account {key[0]} {key[1]}: events sum to {spent.get(key, 0)}, spent is {stored.get(key, 0)}"


def _free_time(on: Examined, events: dict[tuple[str, ...], tuple[int, ...]]) -> Iterator[str]:
    """The free time of tools that a month has used is what its events were let off."""
    column, free = AMOUNT_COLUMNS.index("code_execution_free_seconds"), dict[str, int]()
    for (month, *_), sums in events.items():
        free[month] = free.get(month, 0) + sums[column]
    rows = FreeTime.objects.filter(organization_id=on.organization_id)
    stored = dict((rows.filter(month=on.month) if on.month else rows).values_list("month", "used_seconds"))
    for month in sorted(free.keys() | stored.keys()):
        if free.get(month, 0) != stored.get(month, 0):
            yield f"{month}: events had {free.get(month, 0)} s of free time, written is {stored.get(month, 0)} s"


def _held(on: Examined) -> Iterator[str]:
    """Held of an account = sum of its open holds."""
    held: dict[tuple[str, str], int] = {}
    for hold in Hold.objects.filter(organization_id=on.organization_id, ended_at_us=None).iterator():
        day = keys_at(hold.admitted_at_us)[Window.DAY]
        if on.month not in ("", day[:7]):
            continue
        groups = tuple(hold.group_ids.split())
        for key in _account_keys(on, (hold.member_id, hold.seat_type, groups, day)):
            held[key] = held.get(key, 0) + hold.amount_nano
    stored = {(row.scope, row.window_key): row.held_nano for row in _accounts(on)}
    for key in sorted(held.keys() | stored.keys()):
        if held.get(key, 0) != stored.get(key, 0):
            yield f"account {key[0]} {key[1]}: open holds sum to {held.get(key, 0)}, held is {stored.get(key, 0)}"


def _endings(on: Examined) -> Iterator[str]:
    """A hold ends exactly once: settled ones have their events, all others have none; what came late replaces."""
    rows = UsageEvent.objects.filter(organization_id=on.organization_id)
    late = rows.filter(flags__startswith=correct.LATE).values_list("request_id", flat=True)
    taken_back = rows.filter(flags=correct.TAKEN_BACK).values_list("request_id", flat=True)
    for request_id in late.difference(taken_back):
        yield f"{request_id} has usage that was told late beside its estimate"
    first = rows.filter(corrects=None).exclude(flags__startswith=correct.LATE)
    costs = dict(first.values_list("request_id").annotate(cost=Sum("cost_nano")))
    for hold in Hold.objects.filter(organization_id=on.organization_id).iterator():
        cost = costs.pop(ids.twin("req", hold.id), None)
        expected = hold.settled_nano if hold.state == "settled" else None
        if cost != expected:
            yield f"{hold.id} is {hold.state} with {expected}, its events cost {cost}"
        if (hold.ended_at_us is None) != (hold.state in ("reserved", "in_doubt")):
            yield f"{hold.id} is {hold.state} but its end says {hold.ended_at_us}"
    for request_id in costs:
        yield f"{request_id} has events but no hold"


def _invoices(on: Examined) -> Iterator[str]:
    """A closed invoice is its bytes, its lines sum up, its usage is its events'; numbers run 1..n."""
    number = 0
    closed = AuditEvent.objects.filter(organization_id=on.organization_id, action=Action.INVOICE_CLOSED)
    issued = {event.subject_id: (event.after or {}).get("sha256") for event in closed}
    for invoice in Invoice.objects.filter(organization_id=on.organization_id).order_by("number"):
        number += 1
        if invoice.number != number:
            yield f"{invoice.id} has number {invoice.number}, expected {number}"
        if not hashlib.sha256(invoice.document.encode()).hexdigest() == invoice.sha256 == issued.pop(invoice.id, ""):
            yield f"{invoice.id} ({invoice.month}) is not the document that was issued"
        document = json.loads(invoice.document)
        lines = document["lines"]
        exact, cents = sum(line["amount_nano"] for line in lines), sum(line["amount_cents"] for line in lines)
        if (exact, cents) != (invoice.total_nano, invoice.total_cents):
            yield f"{invoice.id}: its lines sum to {exact} nano and {cents} cents, its total is another"
        yield from _billed(on, invoice, document)
    for invoice_id in issued:
        yield f"{invoice_id} was issued, the audit says, and is gone"
    series = InvoiceSeries.objects.filter(organization_id=on.organization_id).first()
    if (series.last_number if series else 0) != number:
        yield f"the series stands at {series.last_number if series else 0}, there are {number} invoices"


def _billed(on: Examined, invoice: Invoice, document: dict[str, Any]) -> Iterator[str]:
    """The usage lines are the month's events as they stood, the adjustments the corrections of earlier months."""
    month = Month.parse(invoice.month)
    adjusted = sum(line["amount_nano"] for line in document["lines"] if line["kind"] == "adjustment")
    told = {
        "usage": (document["usage_nano"], UsageEvent.of_month(on.organization_id, month).filter(billed_in=None)),
        "adjustments": (adjusted, UsageEvent.objects.filter(organization_id=on.organization_id, billed_in=str(month))),
    }
    for what, (billed, events) in told.items():
        found = events.aggregate(total=Sum("cost_nano", default=0))["total"]
        if billed != found:
            yield f"{invoice.id} ({invoice.month}) bills {what} of {billed}, the events sum to {found}"


def _rating(on: Examined) -> Iterator[str]:
    """Rating every event again with its pinned price version gives its stored cost, class by class."""
    yield from rating.broken(on.events(), on.book)


def _audit(on: Examined) -> Iterator[str]:
    """The audit chain verifies."""
    found = chain.verify(on.organization_id)
    if found:
        yield found.reason


def _groups(on: Examined) -> Iterator[str]:
    """What stands beside each member, and is counted and limited by, is what joining and leaving come to."""
    present = Group.objects.filter(organization_id=on.organization_id, deleted_at=None)
    rows = GroupMembership.objects.filter(organization_id=on.organization_id, group_id__in=present.values("id"))
    moves = rows.values_list("member_id", "group_id").annotate(count=Sum(Case(When(joined=True, then=1), default=-1)))
    come_to: dict[str, list[str]] = {}
    for member_id, group_id, count in moves.iterator():
        if count == 1:
            come_to.setdefault(member_id, []).append(group_id)
        elif count:
            yield f"{member_id} has joined {group_id} {count} times more than left it"
    members = Member.objects.filter(organization_id=on.organization_id).values_list("id", "group_ids")
    for member_id, group_ids in members.iterator():
        wanted = " ".join(sorted(come_to.get(member_id, ())))
        if group_ids != wanted:
            yield f"{member_id} stands in “{group_ids}”, the history comes to “{wanted}”"


def _account_keys(on: Examined, place: PlaceName) -> list[AccountKey]:
    """Return the accounts of a call: of its month, and of those days and weeks whose accounts are kept."""
    month = place[-1][:7]
    return [key for key in account_keys(place, " ".join(Window)) if key[1] == month or key[1] in on.kept]


def _accounts(on: Examined) -> Iterator[Account]:
    rows = Account.objects.filter(organization_id=on.organization_id)
    return (rows.filter(window_key=on.month) if on.month else rows).iterator()


def _grouped_events(on: Examined) -> tuple[dict[tuple[str, ...], tuple[int, ...]], dict[AccountKey, int]]:
    """Return the events' sums as the rollup groups them, and what they spent of each account."""
    sums: dict[tuple[str, ...], list[int]] = {}
    places: dict[PlaceName, int] = {}
    spent: dict[AccountKey, int] = {}
    for event in on.events().iterator(chunk_size=2000):
        day = clock.from_timestamp(event.admitted_at_us).date().isoformat()
        cell = sums.setdefault(
            (event.month, day, event.member_id, event.seat_type, event.model), [0] * len(AMOUNT_COLUMNS)
        )
        for i, name in enumerate(AMOUNT_COLUMNS):
            cell[i] += getattr(event, name)
        place = (event.member_id, event.seat_type, tuple(event.group_ids.split()), day)
        places[place] = places.get(place, 0) + event.cost_nano
    for place, nano in places.items():
        for account in _account_keys(on, place):
            spent[account] = spent.get(account, 0) + nano
    return {key: tuple(cell) for key, cell in sums.items()}, spent


def _grouped_daily(on: Examined) -> dict[tuple[str, ...], tuple[int, ...]]:
    rows = DailyUsage.objects.filter(organization_id=on.organization_id)
    rows = rows.filter(day__startswith=on.month) if on.month else rows
    names = ("day", "member_id", "seat_type", "model")
    found = rows.values(*names).annotate(**{f"sum_{name}": Sum(name) for name in AMOUNT_COLUMNS})
    return {
        (row["day"][:7], *(row[name] for name in names)): tuple(row[f"sum_{name}"] for name in AMOUNT_COLUMNS)
        for row in found.iterator()
    }


CHECKS: tuple[tuple[str, Check], ...] = (
    ("events = daily rollup = accounts", _sums),
    ("held = open holds", _held),
    ("every hold ends exactly once, with its events", _endings),
    ("invoices are the bytes that were issued, their numbers have no gap", _invoices),
    ("every event costs what its price version says", _rating),
    ("the audit chain verifies", _audit),
    ("everybody is in the groups that they joined and did not leave", _groups),
)
