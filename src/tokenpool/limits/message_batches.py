"""Message batches as stored: written with their holds, read by their owners, looked at until they are over.

Each of its requests has a hold of its own; a batch says only where they are and whom to ask about them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Statement, Store, Transaction
from tokenpool.limits.operations import Together

MOST_AT_ONCE = 100
LOST = "estimated batch_lost"  # how a hold ends whose result has not come in time
_COLUMNS = (
    "organization_id, id, member_id, upstream, upstream_id, state, requests, created_at_us, look_at_us, "
    "deleted_at_us, document"
)
_SHOWN = "organization_id = ? and member_id = ? and deleted_at_us is null and state <> 'refused'"
_TYPES = (*("text",) * 6, *("bigint",) * 4, "text")


class BatchRow(NamedTuple):
    """A message batch as stored; see `models.MessageBatch`. Instants are microseconds since 1970."""

    organization_id: str
    id: str
    member_id: str
    upstream: str
    upstream_id: str
    state: str
    requests: int
    created_at_us: int
    look_at_us: int | None
    deleted_at_us: int | None
    document: str


def insert(organization_id: str, ask: Together) -> list[Statement]:
    """Write a batch that was admitted, and what its client calls its requests."""
    created_at_us, look_at_us = clock.timestamp(ask.admitted_at), clock.timestamp(ask.look_at)
    batch = (
        organization_id, ask.batch_id, ask.who.member_id, ask.upstream, "", "sending", len(ask.requests),
        created_at_us, look_at_us, None, "",
    )  # fmt: skip
    marks = ", ".join("?" * len(_TYPES))
    named = zip(ask.requests, ask.custom_ids, strict=True)
    return [
        Statement(f"insert into limits_messagebatch ({_COLUMNS}) values ({marks})", [batch], _TYPES),  # noqa: S608 - our own names
        Statement(
            "insert into limits_batchrequest (organization_id, hold_id, batch_id, custom_id) values (?, ?, ?, ?)",
            [(organization_id, one.hold_id, ask.batch_id, custom_id) for one, custom_id in named],
            ("text",) * 4,
        ),
    ]


async def find(store: Store, organization_id: str, member_id: str, batch_id: str) -> BatchRow | None:
    """Return a batch of this member, None when there is none or it was deleted."""
    sql = f"select {_COLUMNS} from limits_messagebatch where {_SHOWN} and id = ?"  # noqa: S608 - our own names
    rows = await store.read(sql, (organization_id, member_id, batch_id))
    return BatchRow(*rows[0]) if rows else None


async def page(
    store: Store, organization_id: str, member_id: str, *, after: str = "", before: str = "", most: int
) -> list[BatchRow]:
    """Return at most *most* of a member's batches, newest first, older than *after* or just newer than *before*."""
    bound, order = ("and id > ?", "id") if before else ("and id < ?" if after else "", "id desc")
    cursor = tuple(one for one in (before or after,) if one)
    sql = f"select {_COLUMNS} from limits_messagebatch where {_SHOWN} {bound} order by {order} limit ?"  # noqa: S608
    rows = await store.read(sql, (organization_id, member_id, *cursor, most))
    return [BatchRow(*row) for row in (reversed(rows) if before else rows)]


async def due(store: Store, now_us: int) -> list[BatchRow]:
    """Return the batches of all organizations that are to be looked at, those that wait longest first."""
    sql = f"select {_COLUMNS} from limits_messagebatch where look_at_us <= ? order by look_at_us limit ?"  # noqa: S608
    return [BatchRow(*row) for row in await store.read(sql, (now_us, MOST_AT_ONCE))]


async def claim(store: Store, row: BatchRow, look_at_us: int) -> bool:
    """Put the next look at a batch off until *look_at_us*; return False when another process has done so."""

    def steps() -> Transaction[bool]:
        sql = "select look_at_us from limits_messagebatch where organization_id = ? and id = ?"
        (found,) = yield [Statement(sql, [(row.organization_id, row.id)], locks=True)]
        if not found or found[0][0] != row.look_at_us:
            return False
        yield [_set(row, "look_at_us = ?", look_at_us)]
        return True

    return await store.run(steps)


async def adopt(store: Store, row: BatchRow, upstream_id: str, document: str, look_at_us: int) -> None:
    """Write down under which id the provider has a batch, once."""
    columns = "upstream_id = ?, document = ?, look_at_us = ?, state = 'open'"
    await _write(store, _set(row, columns, upstream_id, document, look_at_us, where="upstream_id = ''"))


async def doubt(store: Store, row: BatchRow, look_at_us: int) -> None:
    """Write down that it is not known whether the provider has a batch."""
    where = "state = 'sending'"
    await _write(store, _set(row, "state = 'unconfirmed', look_at_us = ?", look_at_us, where=where))


async def describe(store: Store, row: BatchRow, document: str) -> None:
    """Write down what the provider says of a batch now."""
    if document != row.document:
        await _write(store, _set(row, "document = ?", document))


async def hurry(store: Store, row: BatchRow) -> None:
    """Let a batch that is not over be looked at as soon as possible."""
    await _write(store, _set(row, "look_at_us = 0", where="look_at_us is not null"))


async def finish(store: Store, row: BatchRow, state: str) -> None:
    """Look at a batch never again: it is `settled`, or was `refused`."""
    await _write(store, _set(row, "state = ?, look_at_us = null", state))


async def delete(store: Store, row: BatchRow) -> None:
    """Show a batch to nobody any more."""
    await _write(store, _set(row, "deleted_at_us = ?", clock.timestamp(clock.now())))


async def requests_of(store: Store, row: BatchRow) -> dict[str, str]:
    """Return what the client of a batch calls its requests, by hold."""
    sql = "select hold_id, custom_id from limits_batchrequest where organization_id = ? and batch_id = ?"
    return dict(await store.read(sql, (row.organization_id, row.id)))


async def open_holds(store: Store, row: BatchRow) -> list[str]:
    """Return the holds of a batch that are open."""
    sql = (
        "select h.id from limits_batchrequest r join limits_hold h "
        "on h.organization_id = r.organization_id and h.id = r.hold_id "
        "where r.organization_id = ? and r.batch_id = ? and h.ended_at_us is null order by h.id"
    )
    return [str(hold_id) for (hold_id,) in await store.read(sql, (row.organization_id, row.id))]


async def known(store: Store, upstream: str, upstream_ids: Sequence[str]) -> set[str]:
    """Return those ids of a provider's batches that are written down, of whatever organization."""
    sql = "select upstream_id from limits_messagebatch where upstream = ? and upstream_id in (?*)"
    query = Statement(sql, [(upstream, list(upstream_ids))]).spelled_out()
    return {str(found) for (found,) in await store.read(*query)} if upstream_ids else set()


def _set(row: BatchRow, columns: str, *values: object, where: str = "1 = 1") -> Statement:
    sql = f"update limits_messagebatch set {columns} where organization_id = ? and id = ? and {where}"  # noqa: S608
    return Statement(sql, [(*values, row.organization_id, row.id)])


async def _write(store: Store, statement: Statement) -> None:
    def steps() -> Transaction[None]:
        yield [statement]

    await store.run(steps)
