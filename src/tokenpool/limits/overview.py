"""The Usage page's figures: the pool, the seat types, and the table of spend limits by member."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce, Concat

from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.period import Month, Window, end_of
from tokenpool.limits import caps
from tokenpool.limits.decide import Balance
from tokenpool.limits.explain import Explanation, LimitLine, by_scope, explain_all, line_of
from tokenpool.limits.hierarchy import ORGANIZATION, member_scope, seat_type_scope
from tokenpool.limits.models import Account
from tokenpool.metering import report
from tokenpool.organizations import seats
from tokenpool.organizations.members import FARTHEST
from tokenpool.organizations.models import Member, SeatType
from tokenpool.organizations.roles import Principal, Right

SORTS = {
    "name": "name",
    "email": "email",
    "seat_type": "seat_type",
    "spent": "spent_nano",
    "held": "held_nano",
}
MOST = 1000


@dataclass(frozen=True, slots=True)
class ScopeBalance:
    """A scope's month: spent, held, and its pool and each limits where set."""

    spent_nano: int
    held_nano: int
    pool: LimitLine | None
    each: LimitLine | None
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class SeatTypeBalance:
    """A seat type, how many members hold it, and its month."""

    seat_type: SeatType
    members: int
    balance: ScopeBalance


@dataclass(frozen=True, slots=True)
class MemberBalance:
    """One row of the table: the member's explanation and last admission (microseconds since 1970)."""

    explanation: Explanation
    last_active_us: int | None


def pool(*, by: Principal, month: Month | None = None) -> ScopeBalance:
    """Return the organization's shared pool in *month* (default: the running one).

    Raises:
        NotAllowed: without the right to see everybody's spend.
    """
    by.require(Right.SEE_SPEND)
    return _scope_balance(by.organization_id, ORGANIZATION, month)


def seat_types(*, by: Principal, month: Month | None = None) -> list[SeatTypeBalance]:
    """Return every seat type of the plan with its members and its month."""
    by.require(Right.SEE_SPEND)
    found = []
    for seat_type in seats.types(by.organization_id):
        holders = Member.objects.filter(organization_id=by.organization_id, removed_at=None, seat_type=seat_type.key)
        balance = _scope_balance(by.organization_id, seat_type_scope(seat_type.key), month)
        found.append(SeatTypeBalance(seat_type, holders.count(), balance))
    return found


def members(
    *,
    by: Principal,
    text: str = "",
    seat_type: str | None = None,
    sort: str = "spent",
    descending: bool = True,
    offset: int = 0,
    limit: int = 50,
    month: Month | None = None,
) -> tuple[list[MemberBalance], int]:
    """Return a page of members with their spend in *month* (default: the running one) and limits, and how many match.

    *seat_type* filters by key; the empty string finds members without a seat. Removed members are
    listed while they have spent something in the month.

    Raises:
        NotAllowed: without the right to see everybody's spend.
        InvalidInput: an unknown *sort*, or a page out of range.
    """
    by.require(Right.SEE_SPEND)
    if sort not in SORTS:
        raise InvalidInput(f"sort: must be one of {', '.join(SORTS)}.", field="sort")
    if not 1 <= limit <= MOST or not 0 <= offset <= FARTHEST:
        raise InvalidInput(f"limit: must lie between 1 and {MOST}, offset between 0 and {FARTHEST}.", field="limit")
    instant = _instant_in(month)
    key = str(Month.of(instant))
    account = Account.objects.filter(
        organization_id=by.organization_id,
        window_key=key,
        scope=Concat(Value(member_scope("")), OuterRef("id")),
    )
    rows = Member.objects.filter(organization_id=by.organization_id).annotate(
        spent_nano=Coalesce(Subquery(account.values("spent_nano")), 0),
        held_nano=Coalesce(Subquery(account.values("held_nano")), 0),
    )
    rows = rows.filter(Q(removed_at=None) | Q(spent_nano__gt=0))
    if text:
        rows = rows.filter(Q(name__icontains=text) | Q(email__icontains=text))
    if seat_type is not None:
        rows = rows.filter(seat_type=seat_type) if seat_type else rows.filter(seat_type=None)
    column = F(SORTS[sort])
    order = column.desc(nulls_last=True) if descending else column.asc(nulls_last=True)
    page = list(rows.order_by(order, "id")[offset : offset + limit])
    active = report.last_active(by=by, member_ids=[member.id for member in page])
    explained = explain_all(by.organization_id, page, at=instant)
    return [MemberBalance(one, active.get(one.member.id)) for one in explained], rows.count()


def _instant_in(month: Month | None) -> datetime:
    """Return now, or the beginning of a *month* that is not the running one."""
    now = clock.now()
    return now if month is None or month == Month.of(now) else month.start


def _scope_balance(organization_id: str, scope: str, month: Month | None) -> ScopeBalance:
    instant = _instant_in(month)
    key = str(Month.of(instant))
    row = Account.objects.filter(organization_id=organization_id, scope=scope, window_key=key).first()
    balance = Balance(row.spent_nano, row.held_nano) if row else Balance()
    standing = by_scope(caps.standing(organization_id)).get(scope, ())
    limits = {row.basis: row for row in standing if row.window == Window.MONTH}
    accounts = {(scope, key): balance}
    lines = {basis: line_of(r, scope, accounts, instant) for basis, r in limits.items()}
    return ScopeBalance(
        balance.spent_nano,
        balance.held_nano,
        lines.get("pool"),
        lines.get("each"),
        end_of(Window.MONTH, instant),
    )
