"""The Usage page's figures: the pool, the seat types, the groups, and the table of spend limits by member."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce, Concat

from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.period import Month, Window, end_of
from tokenpool.limits.explain import Explanation, explain_all
from tokenpool.limits.hierarchy import ORGANIZATION, group_scope, member_scope, seat_type_scope
from tokenpool.limits.lines import LimitLine, read
from tokenpool.limits.models import Account
from tokenpool.metering import report
from tokenpool.organizations import groups as group_rows
from tokenpool.organizations import seats
from tokenpool.organizations.members import FARTHEST
from tokenpool.organizations.models import Group, Member, SeatType
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
class GroupBalance:
    """A group, how many members it has, and its month."""

    group: Group
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
    return _balances(by.organization_id, [ORGANIZATION], month)[0]


def seat_types(*, by: Principal, month: Month | None = None) -> list[SeatTypeBalance]:
    """Return every seat type of the plan with its members and its month."""
    by.require(Right.SEE_SPEND)
    types = seats.types(by.organization_id)
    rows = Member.objects.filter(organization_id=by.organization_id, removed_at=None).values_list("seat_type")
    holders = dict(rows.annotate(count=Count("id")))
    balances = _balances(by.organization_id, [seat_type_scope(one.key) for one in types], month)
    return [
        SeatTypeBalance(one, holders.get(one.key, 0), balance) for one, balance in zip(types, balances, strict=True)
    ]


def groups(*, by: Principal, month: Month | None = None) -> list[GroupBalance]:
    """Return every group by name with its members and its month; deleted ones while they have spent something in it.

    Members of several groups count in each, so the sum may exceed the organization's.
    """
    by.require(Right.SEE_SPEND)
    key, spent = str(Month.of(_instant_in(month))), Account.objects.filter(organization_id=by.organization_id)
    spent = spent.filter(window_key=key, scope__startswith=group_scope("")).exclude(spent_nano=0, held_nano=0)
    known = [scope.partition(":")[2] for scope in spent.values_list("scope", flat=True)]
    rows = Group.objects.filter(organization_id=by.organization_id).filter(Q(deleted_at=None) | Q(id__in=known))
    found = sorted(rows, key=lambda group: (group.name.casefold(), group.id))
    sizes = group_rows.sizes(by.organization_id)
    balances = _balances(by.organization_id, [group_scope(one.id) for one in found], month)
    return [
        GroupBalance(one, 0 if one.deleted_at else sizes.get(one.id, 0), balance)
        for one, balance in zip(found, balances, strict=True)
    ]


def members(
    *,
    by: Principal,
    text: str = "",
    seat_type: str | None = None,
    group: str | None = None,
    sort: str = "spent",
    descending: bool = True,
    offset: int = 0,
    limit: int = 50,
    month: Month | None = None,
) -> tuple[list[MemberBalance], int]:
    """Return a page of members with their spend in *month* (default: the running one) and limits, and how many match.

    *seat_type* filters by key, *group* by id; the empty string finds members without a seat, or in no
    group. Removed members are listed while they have spent something in the month.

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
    if group is not None:
        rows = rows.filter(group_rows.among(group))
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


def _balances(organization_id: str, scopes: Sequence[str], month: Month | None) -> list[ScopeBalance]:
    """Return the month of each of *scopes*, in their order."""
    standing = read(organization_id, scopes, _instant_in(month))
    resets_at = end_of(Window.MONTH, standing.instant)
    found = []
    for scope in scopes:
        balance = standing.balance(scope)
        rows = [row for row in standing.limits.get(scope, ()) if row.window == Window.MONTH]
        lines = {row.basis: standing.line(row, scope) for row in rows}
        found.append(
            ScopeBalance(balance.spent_nano, balance.held_nano, lines.get("pool"), lines.get("each"), resets_at)
        )
    return found
