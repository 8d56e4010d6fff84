"""A scratch organization on a real database, driven through the ledger alone, from any number of processes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from tokenpool.kernel import ids
from tokenpool.kernel.group_commit import GroupCommit, Row, Statement, Store, Transaction
from tokenpool.kernel.postgres import PostgresStore
from tokenpool.kernel.sqlite import SqliteStore
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits import ledger
from tokenpool.limits.kept import Kept
from tokenpool.limits.operations import Attribution, Authorize, Settle, Together
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing.bound import Bound
from tokenpool.pricing.cost import Cost

DOLLAR = 1_000_000_000
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
WINDOWS = "month day week"
_WHO = "member_id, seat_type, group_ids"
_HELD = (
    f"select {_WHO}, sum(amount_nano) from limits_hold where organization_id = ? and ended_at_us is null "  # noqa: S608
    f"group by {_WHO}"
)
_SPENT = f"select {_WHO}, sum(cost_nano) from metering_usageevent where organization_id = ? group by {_WHO}"  # noqa: S608
_STORED = (
    "select scope, sum(spent_nano), sum(held_nano) from limits_account where organization_id = ? "
    "and window_key like '____-__' group by scope"
)
LIMITS_CHANGED = "update organizations_gate set limits_version = limits_version + 1 where organization_id = ?"
Decide = Callable[[str, list[object]], Transaction[list[object]]]


def open_store(address: str) -> Store:
    """Open `postgresql://…` or the path of a SQLite file; the schema is there already."""
    return PostgresStore(address) if address.startswith("postgres") else SqliteStore(address)


def ledger_on(store: Store, kept: Kept | None = None) -> GroupCommit:
    """Return the product's own ledger on *store*; *kept* is what the process knows of limits (default: nothing yet)."""
    return GroupCommit(store, partial(ledger.transaction, kept=kept or Kept()))


async def found(store: Store, organization_id: str) -> None:
    """Make the row that is an organization's lock."""
    sql = (
        "insert into organizations_gate (organization_id, version, limits_version, windows, open_from_us) "
        "values (?, 1, 1, ?, 0)"
    )
    await store.run(lambda: written([Statement(sql, [(organization_id, WINDOWS)])]))


async def limit(
    store: Store, organization_id: str, scope: str, basis: str, amount_nano: int | None, *,
    window: str = "month", state: str = "amount", exception: bool = False, also: Sequence[Statement] = (),
) -> str:  # fmt: skip
    """Add a dated row of a limit, and what is *also* to be written, under the organization's lock; return its id."""
    sql = (
        'insert into limits_spendlimit (organization_id, scope, basis, "window", id, state, amount_nano, exception, '
        "set_at, set_by, reason) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    mine = [(organization_id,)]

    def added() -> Transaction[str]:
        rows = Statement("select count(*) from limits_spendlimit where organization_id = ?", mine)
        _, counted = yield [lock(organization_id), rows]
        limit_id = f"spl_{counted[0][0]:026}"  # the newest row stands, and this one is
        row = (organization_id, scope, basis, window, limit_id, state, amount_nano, exception, str(NOON), "a proof", "")
        yield [Statement(sql, [row]), Statement(LIMITS_CHANGED, mine), *also]
        return limit_id

    return await store.run(added)


def ask(
    hold_id: str, amount_nano: int, member: str, seat: str, at: datetime = NOON, groups: tuple[str, ...] = ()
) -> Authorize:
    """Return a request for a hold of exactly *amount_nano*."""
    who = Attribution(member, seat, "chat", groups=groups)
    return Authorize(hold_id, who, "a-model", "a-model@2026", Bound(amount_nano, 0, 1), at, evidence="{}")


def together(asks: Sequence[Authorize]) -> Together:
    """Return a message batch of *asks*, which are of one member and instant."""
    names = tuple(f"r{number}" for number in range(len(asks)))
    look_at = asks[0].admitted_at + timedelta(minutes=20)
    return Together(ids.new("msgbatch"), asks[0].who, "a provider", tuple(asks), names, look_at)


def settle(hold_id: str, cost_nano: int, at: datetime = NOON) -> Settle:
    """Return a settlement that costs exactly *cost_nano*."""
    used = RatedUsage("a-model", "a-model@2026", TokenCounts(output=1), Cost(0, 0, 0, 0, cost_nano, 0))
    return Settle(hold_id, (used,), at)


async def broken_sums(store: Store, organization_id: str) -> list[str]:
    """Return every account whose held is not its open holds, or whose spent is not its events; read under the lock."""

    def examined() -> Transaction[list[list[Row]]]:
        yield [lock(organization_id)]
        return (yield [Statement(query, [(organization_id,)]) for query in (_HELD, _SPENT, _STORED)])

    holds, events, stored = await store.run(examined)
    held, spent = _by_scope(holds), _by_scope(events)
    wrong = []
    for scope, its_spent, its_held in stored:
        expected = (spent.pop(scope, 0), held.pop(scope, 0))
        if expected != (int(its_spent), int(its_held)):
            wrong.append(f"{scope}: spent {its_spent} and held {its_held}, expected {expected}")
    return wrong + [f"{scope}: no account for {nano}" for scope, nano in (held | spent).items() if nano]


def _by_scope(rows: list[Row]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for member_id, seat_type, group_ids, nano in rows:
        groups = [f"group:{group_id}" for group_id in group_ids.split()]
        for scope in ("organization", f"seat_type:{seat_type}", *groups, f"member:{member_id}"):
            sums[scope] = sums.get(scope, 0) + int(nano)
    return sums


def lock(organization_id: str) -> Statement:
    """Take the organization's lock."""
    return Statement(
        "select version from organizations_gate where organization_id = ?", [(organization_id,)], locks=True
    )


def written(statements: list[Statement]) -> Transaction[None]:
    """Write in a transaction of its own."""
    yield statements
