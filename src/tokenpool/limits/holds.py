"""Open holds seen from outside a request: which leases have passed, which holds are in doubt."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Store
from tokenpool.limits import tables
from tokenpool.limits.tables import HoldRow

MOST_AT_ONCE = 500
_OVERDUE = (
    "select organization_id, id, state, price_version, admitted_at_us, lease_until_us, evidence from limits_hold "
    "where ended_at_us is null and lease_until_us < ? and (organization_id, id) > (?, ?) "
    "order by organization_id, id limit ?"
)


class Overdue(NamedTuple):
    """An open hold whose lease has passed. Instants are microseconds since 1970."""

    organization_id: str
    id: str
    state: str
    price_version: str
    admitted_at_us: int
    lease_until_us: int
    evidence: str


async def overdue(store: Store) -> AsyncIterator[Overdue]:
    """Yield every open hold whose lease has passed, whatever their number, a page of 500 at a time."""
    now, last = clock.timestamp(clock.now()), ("", "")
    while rows := await store.read(_OVERDUE, (now, *last, MOST_AT_ONCE)):
        for row in rows:
            yield Overdue(*row)
        last = (rows[-1][0], rows[-1][1])
        if len(rows) < MOST_AT_ONCE:
            return


async def find(store: Store, organization_id: str, hold_id: str) -> HoldRow | None:
    """Return a hold of this organization, or None."""
    rows = await store.read(*tables.read_holds(organization_id, [hold_id]).spelled_out())
    return HoldRow.from_row(rows[0]) if rows else None


async def several(store: Store, organization_id: str, hold_ids: Sequence[str]) -> dict[str, HoldRow]:
    """Return those of *hold_ids* that are holds of this organization, by id."""
    rows = await store.read(*tables.read_holds(organization_id, list(hold_ids)).spelled_out()) if hold_ids else []
    return {row[0]: HoldRow.from_row(row) for row in rows}
