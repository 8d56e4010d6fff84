"""Limits as people read them: for any member which apply, which one binds, and why the last refusal happened.

Reads the rows that the ledger decides on, so what is shown is what is enforced.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tokenpool.kernel import clock
from tokenpool.kernel.errors import NotFound
from tokenpool.kernel.period import Window, end_of, key_of, keys_at
from tokenpool.limits import caps
from tokenpool.limits.decide import Balance
from tokenpool.limits.hierarchy import Cap, applicable, scopes_of
from tokenpool.limits.models import Account, LastRefusal, SpendLimit
from tokenpool.organizations.models import Member
from tokenpool.organizations.roles import Principal, Right


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One limit with its three numbers: spent, held, left. `row` carries who set it, when and why."""

    row: SpendLimit
    spent_nano: int
    held_nano: int
    resets_at: datetime
    replaced: bool = False  # by the member's exception

    @property
    def amount_nano(self) -> int | None:
        """The amount; None when explicitly unlimited."""
        return self.row.amount_nano

    @property
    def left_nano(self) -> int | None:
        """Room below the limit, never shown below zero; None when unlimited."""
        if self.row.amount_nano is None:
            return None
        return max(0, self.row.amount_nano - self.spent_nano - self.held_nano)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that decides about a member's next request."""

    member: Member
    spent_nano: int
    held_nano: int
    lines: list[LimitLine]
    binding: LimitLine | None
    last_refusal: LastRefusal | None

    @property
    def own(self) -> LimitLine | None:
        """The member's own monthly limit, if one is set."""
        own = (line for line in self.lines if line.row.scope.startswith("member:"))
        return next((line for line in own if line.row.window == Window.MONTH), None)


def limits_of(*, by: Principal, member_id: str) -> Explanation:
    """Explain one member's limits now.

    Raises:
        NotAllowed: another member's without the right to see spend.
        NotFound: no such member.
    """
    if member_id != by.member_id:
        by.require(Right.SEE_SPEND)
    member = Member.objects.filter(organization_id=by.organization_id, id=member_id).first()
    if member is None:
        raise NotFound("There is no such member.")
    return explain_all(by.organization_id, [member])[0]


def explain_all(organization_id: str, members: Sequence[Member], *, at: datetime | None = None) -> list[Explanation]:
    """Explain the limits of *members* by what is spent in the windows of *at* (default: now), in few queries."""
    instant = at or clock.now()
    standing = by_scope(caps.standing(organization_id))
    scopes = {scope for member in members for scope in _scopes(member)}
    accounts = balances(organization_id, scopes, instant)
    refusals = LastRefusal.objects.filter(organization_id=organization_id, member_id__in=[m.id for m in members])
    last = {refusal.member_id: refusal for refusal in refusals}
    return [_explain(member, standing, accounts, last.get(member.id), instant) for member in members]


def by_scope(rows: Iterable[SpendLimit]) -> dict[str, list[SpendLimit]]:
    """Group standing limits by scope."""
    grouped: dict[str, list[SpendLimit]] = {}
    for row in rows:
        grouped.setdefault(row.scope, []).append(row)
    return grouped


def balances(organization_id: str, scopes: Iterable[str], instant: datetime) -> Mapping[tuple[str, str], Balance]:
    """Return the balances of *scopes* in the windows that contain *instant*, by (scope, window key)."""
    keys = list(keys_at(clock.timestamp(instant)).values())
    rows = Account.objects.filter(organization_id=organization_id, scope__in=list(scopes), window_key__in=keys)
    return {(row.scope, row.window_key): Balance(row.spent_nano, row.held_nano) for row in rows}


def line_of(
    row: SpendLimit,
    scope: str,
    accounts: Mapping[tuple[str, str], Balance],
    instant: datetime,
    *,
    replaced: bool = False,
) -> LimitLine:
    """Join a standing limit with the balance of the account it reads (*scope*'s)."""
    window = Window(row.window)
    balance = accounts.get((scope, key_of(window, instant)), Balance())
    return LimitLine(row, balance.spent_nano, balance.held_nano, end_of(window, instant), replaced)


def _explain(
    member: Member,
    standing: Mapping[str, list[SpendLimit]],
    accounts: Mapping[tuple[str, str], Balance],
    refusal: LastRefusal | None,
    instant: datetime,
) -> Explanation:
    scopes = _scopes(member)
    rows = {row.id: row for scope in scopes for row in standing.get(scope, ())}
    in_force = dict(_in_force(rows, scopes))
    own_scope = scopes[-1]
    lines = []
    for row in rows.values():
        reads = in_force.get(row.id, own_scope if row.basis == "each" else row.scope)
        lines.append(line_of(row, reads, accounts, instant, replaced=row.id not in in_force))
    binding = min((line for line in lines if not line.replaced and line.left_nano is not None), key=_left, default=None)
    month = accounts.get((own_scope, key_of(Window.MONTH, instant)), Balance())
    return Explanation(member, month.spent_nano, month.held_nano, lines, binding, refusal)


def _in_force(rows: Mapping[str, SpendLimit], scopes: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Yield (limit id, scope of the account it reads) of the limits that apply, by the ledger's own rule."""
    grouped: dict[str, list[Cap]] = {}
    for row in rows.values():
        cap = Cap(row.id, row.scope, row.basis, Window(row.window), row.amount_nano, row.exception)
        grouped.setdefault(row.scope, []).append(cap)
    for cap, scope in applicable(grouped, scopes):
        yield cap.limit_id, scope


def _scopes(member: Member) -> tuple[str, ...]:
    return scopes_of(member_id=member.id, seat_type=member.seat_type or "")


def _left(line: LimitLine) -> int:
    return line.left_nano or 0
