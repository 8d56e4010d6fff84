"""Open holds seen from outside a request: which leases have passed, which holds are in doubt."""

from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Row, Store
from tokenpool.limits import tables
from tokenpool.limits.tables import HoldRow

_OVERDUE = (
    "select organization_id, id, state, model, price_version, amount_nano, reserved_nano, max_output, "
    "admitted_at_us, evidence from limits_hold where ended_at_us is null and lease_until_us < ? "
    "order by organization_id, id limit 500"
)
_OPEN_IN_MONTH = (
    "select count(*) from limits_hold where organization_id = ? and ended_at_us is null and admitted_at_us < ?"
)


async def overdue(store: Store) -> list[Row]:
    """Return up to 500 open holds whose lease has passed.

    Each row: organization, id, state, model, price version, amount, reserved amount, maximum
    output, admission (microseconds since 1970), evidence.
    """
    return await store.read(_OVERDUE, (clock.timestamp(clock.now()),))


async def find(store: Store, organization_id: str, hold_id: str) -> HoldRow | None:
    """Return a hold of this organization, or None."""
    query = tables.read_holds(organization_id, [hold_id])
    rows = await store.read(query.sql.replace("id in (?*)", "id = ?"), (organization_id, hold_id))
    return HoldRow.from_row(rows[0]) if rows else None


async def open_before(store: Store, organization_id: str, before_us: int) -> int:
    """Return how many holds admitted before *before_us* are still open."""
    rows = await store.read(_OPEN_IN_MONTH, (organization_id, before_us))
    return int(rows[0][0])
