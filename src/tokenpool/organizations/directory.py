"""From a secret to the facts a request is decided on; cached, and never staler than the gate's version.

The cache key is the full hash. A look-up compares the gate's version with one cheap read, and the
ledger compares it in any case inside the transaction, so a seat that was lost is lost at once.
"""

import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import date

from tokenpool.kernel import clock
from tokenpool.kernel.errors import NotAuthenticated, NotFound
from tokenpool.kernel.group_commit import Row, Store
from tokenpool.organizations.api_keys import hash_key, looks_like_key
from tokenpool.organizations.device_tokens import ENDED, looks_like_token
from tokenpool.organizations.seats import includes
from tokenpool.pricing.own import NONE, OwnPrices, OwnRow

MOST_CACHED = 100_000
UNKNOWN_KEY = "This key is not known here or was revoked; make a new one under Keys."

_COLUMNS = """
select k.organization_id, k.id, k.kind, k.product, k.member_id, m.email, m.name, m.seat_type, m.cost_center,
       m.group_ids, s.name, s.products, s.hipaa_covered, o.hipaa_ready_at is not null, o.clamps_max_tokens,
       o.refusal_status, g.version, w.name, w.email, """
_KEYS = """
from organizations_apikey k
join organizations_organization o on o.id = k.organization_id
join organizations_gate g on g.organization_id = k.organization_id
left join organizations_member m
  on m.organization_id = k.organization_id and m.id = k.member_id and m.removed_at is null
left join organizations_seattype s on s.plan_id = o.plan_id and s.key = m.seat_type
left join organizations_member w on w.organization_id = k.organization_id and w.role = 'primary_owner'
"""
_FACTS = f"{_COLUMNS} 0 {_KEYS} where k.key_hash = ? and k.revoked_at is null"
_DEVICE_FACTS = (
    f"{_COLUMNS} t.expires_us {_KEYS} join organizations_devicetoken t on t.organization_id = k.organization_id "
    "and t.key_id = k.id where t.token_hash = ? and t.kind = 'access' and k.revoked_at is null"
)
_MEMBER = """
select g.organization_id, '', 'member', cast(? as varchar(20)), m.id, m.email, m.name, m.seat_type, m.cost_center,
       m.group_ids, s.name, s.products, s.hipaa_covered, o.hipaa_ready_at is not null, o.clamps_max_tokens,
       o.refusal_status, g.version, w.name, w.email, 0
from organizations_member m
join organizations_organization o on o.id = m.organization_id
join organizations_gate g on g.organization_id = m.organization_id
left join organizations_seattype s on s.plan_id = o.plan_id and s.key = m.seat_type
left join organizations_member w on w.organization_id = m.organization_id and w.role = 'primary_owner'
where m.organization_id = ? and (m.id = ? or m.email = ?) and m.removed_at is null
"""
_GROUP = "select name from organizations_group where organization_id = ? and id = ?"
_VERSION = "select version from organizations_gate where organization_id = ?"
_OWN_PRICES = (
    "select id, scope, effective_from, ppm, amounts, ended from organizations_ownprice where organization_id = ?"
)


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What a request with this credential is decided on, true at `version`."""

    organization_id: str
    key_id: str
    kind: str
    product: str
    member_id: str
    member_email: str
    member_name: str
    seat_type: str | None
    seat_type_name: str
    cost_center: str
    groups: tuple[str, ...]  # ids, ascending
    entitled: bool  # the seat type opens the key's product (and is covered, while HIPAA-ready)
    hipaa_ready: bool
    clamps: bool
    refusal_status: int
    version: int
    ask: str  # whom to ask: the primary owner's name and address
    own_prices: OwnPrices = NONE
    expires_us: int = 0  # of a device's access token; 0: never

    @property
    def is_over(self) -> bool:
        """True once the token has expired."""
        return 0 < self.expires_us <= clock.timestamp(clock.now())


class Directory:
    """The facts behind credentials, kept in memory as long as they are true."""

    def __init__(self, store: Store) -> None:
        """Read from *store*, the one the ledger decides on."""
        self._store = store
        self._cached: OrderedDict[str, KeyFacts] = OrderedDict()
        self._prices: OrderedDict[str, tuple[int, OwnPrices]] = OrderedDict()  # by organization, with their version

    async def find(self, secret: str) -> KeyFacts:
        """Return the facts of *secret*.

        Raises:
            NotAuthenticated: not a key, unknown, revoked, expired, or its member was removed.
        """
        is_device = looks_like_token(secret)
        if not is_device and not looks_like_key(secret):
            raise NotAuthenticated(UNKNOWN_KEY)
        digest = hash_key(secret)
        known = self._cached.get(digest)
        if known is not None:
            version = await self._store.read(_VERSION, (known.organization_id,))
            if version and version[0][0] == known.version and not known.is_over:
                return known
        if is_device:
            return await self._read(digest, _DEVICE_FACTS, ENDED)
        return await self._read(digest, _FACTS, UNKNOWN_KEY)

    def last_known(self, secret: str) -> KeyFacts | None:
        """Return the facts of *secret* as last read, which nobody has proved since; None: look for them."""
        known = self._cached.get(hash_key(secret))
        return None if known is None or known.is_over else known

    async def member(self, organization_id: str, member: str, product: str) -> KeyFacts:
        """Return the facts of a call on behalf of *member* (id or e-mail address) with *product*.

        Raises:
            NotFound: nobody of this organization.
        """
        known = "\0" not in member  # PostgreSQL takes no such text, not even to look for it
        rows = await self._store.read(_MEMBER, (product, organization_id, member, member)) if known else []
        if not rows:
            raise NotFound("member: there is no such member; give an id or an e-mail address.", field="member")
        return await self._with_prices(_facts(rows[0]))

    async def own_prices(self, organization_id: str) -> OwnPrices:
        """Return the own prices of an organization as they stand now."""
        version = await self._store.read(_VERSION, (organization_id,))
        return await self._prices_at(organization_id, version[0][0]) if version else NONE

    async def _with_prices(self, facts: KeyFacts) -> KeyFacts:
        return replace(facts, own_prices=await self._prices_at(facts.organization_id, facts.version))

    async def _prices_at(self, organization_id: str, version: int) -> OwnPrices:
        """Return own prices at least as new as *version*; what is newer, the ledger finds out under the lock."""
        known = self._prices.get(organization_id)
        if known is None or known[0] != version:
            rows = await self._store.read(_OWN_PRICES, (organization_id,))
            known = self._prices[organization_id] = (version, OwnPrices(_own_row(row) for row in rows))
            if len(self._prices) > MOST_CACHED:
                self._prices.popitem(last=False)
        return known[1]

    async def group_name(self, organization_id: str, group_id: str) -> str:
        """Return a group's name, a deleted one's too; read when a refusal has to say it."""
        rows = await self._store.read(_GROUP, (organization_id, group_id))
        return str(rows[0][0]) if rows else group_id

    async def _read(self, digest: str, sql: str, unknown: str) -> KeyFacts:
        rows = await self._store.read(sql, (digest,))
        facts = _facts(rows[0]) if rows else None
        if facts is None or facts.is_over or (facts.kind == "product" and not facts.member_email):
            self._cached.pop(digest, None)
            raise NotAuthenticated(unknown)
        facts = self._cached[digest] = await self._with_prices(facts)
        if len(self._cached) > MOST_CACHED:
            self._cached.popitem(last=False)
        return facts


def _facts(row: Row) -> KeyFacts:
    (organization_id, key_id, kind, product, member_id, email, name, seat_type, cost_center, group_ids, seat_name,
     products, covered, hipaa_ready, clamps, refusal_status, version, owner_name, owner_email,
     expires_us) = row  # fmt: skip
    opened = json.loads(products) if isinstance(products, str) else (products or [])
    return KeyFacts(
        organization_id=organization_id,
        key_id=key_id,
        kind=kind,
        product=product,
        member_id=member_id,
        member_email=email or "",
        member_name=name or "",
        seat_type=seat_type,
        seat_type_name=seat_name or "no seat",
        cost_center=cost_center or "",
        groups=tuple((group_ids or "").split()),
        entitled=includes(opened, product, is_covered=bool(covered), is_hipaa_ready=bool(hipaa_ready)),
        hipaa_ready=bool(hipaa_ready),
        clamps=bool(clamps),
        refusal_status=refusal_status,
        version=version,
        ask=f"{owner_name} ({owner_email})",
        expires_us=expires_us,
    )


def _own_row(row: Row) -> OwnRow:
    row_id, scope, effective_from, ppm, amounts, ended = row
    named = json.loads(amounts) if isinstance(amounts, str) else amounts
    return OwnRow(row_id, scope, date.fromisoformat(effective_from), ppm, named, bool(ended))
