"""Limits as people read them: for any member which apply, which one binds, and why the last refusal happened.

Reads the rows that the ledger decides on, so what is shown is what is enforced.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tokenpool.kernel import clock
from tokenpool.kernel.errors import NotFound
from tokenpool.kernel.period import Window
from tokenpool.limits.hierarchy import Cap, applicable, scopes_of
from tokenpool.limits.lines import LimitLine, Standing, read
from tokenpool.limits.models import LastRefusal, SpendLimit
from tokenpool.organizations.models import Member
from tokenpool.organizations.roles import Principal, Right


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

    def lowest(self, window: Window) -> LimitLine | None:
        """The lowest limit on the member alone (own, or for each member) in *window*; unlimited counts last."""
        alone = [line for line in self._in_force(window) if line.row.basis == "each"]
        return min(alone, key=_amount, default=None)

    def binding_in(self, window: Window) -> LimitLine | None:
        """The limit with the least room in *window*, whoever it is shared with."""
        return min((line for line in self._in_force(window) if line.left_nano is not None), key=_left, default=None)

    def _in_force(self, window: Window) -> list[LimitLine]:
        return [line for line in self.lines if line.row.window == window and not line.replaced]


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
    scopes = {scope for member in members for scope in _scopes(member)}
    standing = read(organization_id, scopes, at or clock.now())
    refusals = LastRefusal.objects.filter(organization_id=organization_id, member_id__in=[m.id for m in members])
    last = {refusal.member_id: refusal for refusal in refusals}
    return [_explain(member, standing, last.get(member.id)) for member in members]


def page(
    *, by: Principal, member_ids: Sequence[str] = (), after_id: str = "", limit: int = 20
) -> tuple[list[Explanation], bool]:
    """Explain the limits of present members (of *member_ids* when given) by id, and tell whether more follow.

    Raises:
        NotAllowed: without the right to see everybody's spend.
    """
    by.require(Right.SEE_SPEND)
    rows = Member.objects.filter(organization_id=by.organization_id, removed_at=None, id__gt=after_id)
    if member_ids:
        rows = rows.filter(id__in=member_ids)
    found = list(rows.order_by("id")[: limit + 1])
    return explain_all(by.organization_id, found[:limit]), len(found) > limit


def _explain(member: Member, standing: Standing, refusal: LastRefusal | None) -> Explanation:
    scopes = _scopes(member)
    rows = {row.id: row for scope in scopes for row in standing.limits.get(scope, ())}
    in_force = dict(_in_force(rows, scopes))
    own_scope = scopes[-1]
    lines = []
    for row in rows.values():
        reads = in_force.get(row.id, own_scope if row.basis == "each" else row.scope)
        lines.append(standing.line(row, reads, replaced=row.id not in in_force))
    binding = min((line for line in lines if not line.replaced and line.left_nano is not None), key=_left, default=None)
    month = standing.balance(own_scope)
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
    return scopes_of(member_id=member.id, seat_type=member.seat_type or "", groups=member.groups)


def _left(line: LimitLine) -> int:
    return line.left_nano or 0


def _amount(line: LimitLine) -> tuple[bool, int]:
    return line.amount_nano is None, line.amount_nano or 0
