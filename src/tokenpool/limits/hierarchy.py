"""Which scopes a call belongs to, which caps of theirs apply to it, and which account each cap reads.

Scopes are text that sorts and stores well: `organization`, `seat_type:chat`, `group:grp_…`,
`member:user_…`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tokenpool.kernel.period import Window

ORGANIZATION = "organization"


@dataclass(frozen=True, slots=True)
class Cap:
    """A standing spend limit; `amount_nano` None is explicitly unlimited."""

    limit_id: str
    scope: str
    basis: str  # pool: the scope together; each: every member of it alone
    window: Window
    amount_nano: int | None
    exception: bool = False


def seat_type_scope(key: str) -> str:
    """Return the scope of all members of a seat type."""
    return f"seat_type:{key}"


def group_scope(group_id: str) -> str:
    """Return the scope of all members of a group."""
    return f"group:{group_id}"


def member_scope(member_id: str) -> str:
    """Return the scope of one member."""
    return f"member:{member_id}"


def scopes_of(*, member_id: str, seat_type: str, groups: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the scopes a call belongs to, in the one order in which they are locked and read."""
    return (ORGANIZATION, seat_type_scope(seat_type), *map(group_scope, groups), member_scope(member_id))


def applicable(caps: Mapping[str, Sequence[Cap]], scopes: Sequence[str]) -> Iterator[tuple[Cap, str]]:
    """Yield every cap that applies to a call in *scopes* with the scope of the account it reads.

    A member's own limit marked as an exception replaces the `each` limits of seat type and group,
    never a `pool` limit and never the organization's (design: spend limits).
    """
    member = scopes[-1]
    own = caps.get(member, ())
    excepted = any(cap.exception for cap in own)
    for scope in scopes[:-1]:
        for cap in caps.get(scope, ()):
            if cap.basis == "pool":
                yield cap, scope
            elif scope == ORGANIZATION or not excepted:
                yield cap, member
    for cap in own:
        yield cap, member
