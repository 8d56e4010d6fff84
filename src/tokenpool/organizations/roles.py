"""Who may do what: the one table of rights, and the principal that every page, endpoint and verb asks.

The tenant comes from the principal alone: verbs take `by: Principal` and never an organization id.
"""

from dataclasses import dataclass
from enum import StrEnum

from tokenpool.kernel.errors import NotAllowed


class Role(StrEnum):
    """The five roles of an organization; exactly one member is the primary owner."""

    PRIMARY_OWNER = "primary_owner"
    OWNER = "owner"
    ADMIN = "admin"
    BILLING = "billing"
    MEMBER = "member"


class Right(StrEnum):
    """What can be allowed."""

    SEE_OWN = "see_own"  # own spend, limits and requests; own keys
    SEE_SPEND = "see_spend"  # everybody's spend, invoices
    SEE_MEMBERS = "see_members"
    MANAGE_MEMBERS = "manage_members"  # invite, remove, assign seat types, keep groups, mint keys for others
    SET_LIMITS = "set_limits"  # and alert settings, cost centers
    CHANGE_ROLES = "change_roles"  # never the primary owner's
    SEE_AUDIT = "see_audit"
    CHANGE_SETTINGS = "change_settings"
    OWN = "own"  # admin, meter and compliance keys, HIPAA-ready, transfer, full export
    HOLD = "hold"  # the hold API and usage events
    SET_PRICES = "set_prices"  # the organization's own prices, and re-rating: the operator's alone


_EVERYBODY = frozenset({Right.SEE_OWN})
_ADMIN = _EVERYBODY | {Right.SEE_MEMBERS, Right.MANAGE_MEMBERS}
_OWNER = _ADMIN | {
    Right.SEE_SPEND,
    Right.SET_LIMITS,
    Right.CHANGE_ROLES,
    Right.SEE_AUDIT,
    Right.CHANGE_SETTINGS,
}

RIGHTS_OF_ROLE: dict[Role, frozenset[Right]] = {
    Role.MEMBER: _EVERYBODY,
    Role.BILLING: _EVERYBODY | {Right.SEE_SPEND},
    Role.ADMIN: _ADMIN,
    Role.OWNER: _OWNER,
    Role.PRIMARY_OWNER: _OWNER | {Right.OWN},
}
RIGHTS_OF_KEY: dict[str, frozenset[Right]] = {
    "admin": _OWNER | {Right.OWN},
    "meter": frozenset({Right.HOLD}),
    "compliance": frozenset({Right.SEE_AUDIT}),
    "product": frozenset(),
}
_WHO = {
    Right.SEE_SPEND: "an owner or a billing member",
    Right.SEE_MEMBERS: "an admin or an owner",
    Right.MANAGE_MEMBERS: "an admin or an owner",
    Right.SET_LIMITS: "an owner",
    Right.CHANGE_ROLES: "an owner",
    Right.SEE_AUDIT: "an owner, or use a compliance key",
    Right.CHANGE_SETTINGS: "an owner",
    Right.OWN: "the primary owner",
    Right.HOLD: "the primary owner for a meter key",
    Right.SET_PRICES: "the operator",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts, in which organization, with which rights. *actor_type* is the audit's word for it."""

    organization_id: str
    actor_type: str  # user_actor, admin_api_key_actor, system_actor, operator_actor
    actor_id: str
    name: str  # as the audit shows it: an e-mail address or a key's name
    rights: frozenset[Right]
    member_id: str = ""
    role: Role | None = None

    def may(self, right: Right) -> bool:
        """Tell whether this principal has *right*."""
        return right in self.rights

    def require(self, right: Right) -> None:
        """Do nothing if this principal has *right*.

        Raises:
            NotAllowed: it has not; the sentence says whom to ask.
        """
        if right not in self.rights:
            raise NotAllowed(
                f"This needs the right “{right.value.replace('_', ' ')}”; ask {_WHO.get(right, 'an owner')}."
            )


def system(organization_id: str, name: str = "Tokenpool") -> Principal:
    """Return the principal of what happens by itself or from the operator's command line."""
    return Principal(organization_id, "system_actor", "system", name, frozenset(Right))


def operator(organization_id: str, name: str) -> Principal:
    """Return the principal of the person *name* who runs this installation, at its command line."""
    return Principal(organization_id, "operator_actor", "operator", name, frozenset(Right))
