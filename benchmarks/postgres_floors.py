"""The ledger on PostgreSQL as people write it first: by a function call per operation, or by the steps of an ORM.

Both lock the organization's row, read the limits and balances, and write the same tables as the product.
"""

import asyncio
import random
import time
from typing import Any

import psycopg

from callers import BOUND, MONTH, NOW, PRICE, USAGE
from tokenpool.kernel import clock, ids
from tokenpool.limits import tables
from tokenpool.limits.operations import Attribution
from tokenpool.limits.tables import HoldRow
from tokenpool.metering import record, rollup

Connection = psycopg.AsyncConnection[Any]
NANO, COST = BOUND.amount(), USAGE[0].cost.total
_ROOM = """select coalesce(min(l.amount_nano - coalesce(a.spent_nano + a.held_nano, 0)), 1::bigint << 62)
  from limits_spendlimit l left join limits_account a on a.organization_id = l.organization_id
   and a.window_key = {month} and a.scope = case l.basis when 'each' then 'member:' || {member} else l.scope end
  where l.organization_id = {org} and l.scope in ('organization', 'seat_type:' || {seat}, 'member:' || {member})
   and l.state = 'amount' and not exists (select 1 from limits_spendlimit n where n.organization_id = l.organization_id
   and n.scope = l.scope and n.basis = l.basis and n."window" = l."window" and n.id > l.id)"""
_MOVE = """insert into limits_account (organization_id, scope, window_key, spent_nano, held_nano)
  values ({org}, {scope}, {month}, {spent}, greatest({held}::bigint, 0))
  on conflict (organization_id, scope, window_key) do update
  set spent_nano = limits_account.spent_nano + {spent}, held_nano = limits_account.held_nano + {held}"""
_END = """update limits_hold set state = 'settled', settled_nano = {cost}, ended_at_us = {at}
  where organization_id = {org} and id = {hold}"""


def _row_insert(sql: str) -> str:
    """Return one of the product's statements with `%s` for its parameters."""
    return sql.replace("?", "%s")


def _hold_row(organization_id: str, hold_id: str, member: str, seat: str) -> tuple[str, Any]:
    at_us = clock.timestamp(NOW)
    row = HoldRow(
        hold_id,
        "reserved",
        Attribution(member, seat, "chat"),
        PRICE.model,
        PRICE.version,
        NANO,
        NANO,
        512,
        at_us,
        at_us,
    )
    statement = tables.write_holds(organization_id, [row])
    return _row_insert(statement.sql), statement.rows[0]


def _usage_rows(organization_id: str, hold_id: str, member: str, seat: str) -> list[tuple[str, Any]]:
    at_us = clock.timestamp(NOW)
    settled = record.Recorded(hold_id, member, seat, "chat", "", "", "", "", (), at_us, at_us, "", USAGE)
    events = record.insert(organization_id, [settled])
    daily = rollup.add(events.rows)
    return [(_row_insert(one.sql), one.rows[0]) for one in (events, daily)]


async def functions(connection: Connection) -> None:
    """Create the two functions of the floor “one call per operation”."""
    names = {"org": "p_org", "member": "p_member", "seat": "p_seat", "month": f"'{MONTH}'", "hold": "p_hold"}
    move = "; ".join(
        _MOVE.format(scope=scope, spent="p_spent", held="p_held", **names)
        for scope in ("'organization'", "'seat_type:' || p_seat", "'member:' || p_member")
    )
    hold_sql, hold = _hold_row("p_org", "p_hold", "p_member", "p_seat")
    usage = "; ".join(_literal(*one) for one in _usage_rows("p_org", "hold_p", "p_member", "p_seat"))
    await connection.execute(f"""
        create or replace function floor_move(p_org text, p_seat text, p_member text, p_spent bigint, p_held bigint)
        returns void language plpgsql as $$ begin {move}; end $$""")
    await connection.execute(f"""
        create or replace function floor_hold(p_org text, p_member text, p_seat text, p_hold text, p_nano bigint)
        returns boolean language plpgsql as $$ begin
          perform 1 from organizations_gate where organization_id = p_org for update;
          if ({_ROOM.format(**names)}) < p_nano then return false; end if;
          perform floor_move(p_org, p_seat, p_member, 0, p_nano);
          {_literal(hold_sql, hold)};
          return true;
        end $$""")
    await connection.execute(f"""
        create or replace function floor_settle(p_org text, p_member text, p_seat text, p_hold text, p_event text,
          p_nano bigint, p_cost bigint)
        returns void language plpgsql as $$ begin
          perform 1 from organizations_gate where organization_id = p_org for update;
          {_END.format(cost="p_cost", at="1", **names)};
          {usage};
          perform floor_move(p_org, p_seat, p_member, p_cost, -p_nano);
        end $$""")


_PARAMETERS = {"p_org", "p_hold", "p_member", "p_seat"}


def _literal(sql: str, row: Any) -> str:  # noqa: ANN401 - whatever the product binds
    """Return *sql* with its values written out; names of parameters stay names."""
    for value in row:
        if value in _PARAMETERS:
            text = value
        elif value in ("evt_p", "req_p"):
            text = "p_event"
        else:
            text = "null" if value is None else f"'{value}'"
        sql = sql.replace("%s", text, 1)
    return sql


async def one_call(connection: Connection, organization_id: str, member: str, seat: str) -> None:
    """Hold and settle by two calls."""
    hold_id = ids.new("hold")
    who = (organization_id, member, seat, hold_id)
    await connection.execute("select floor_hold(%s, %s, %s, %s, %s)", (*who, NANO))
    event = (ids.twin("evt", hold_id), NANO, COST)
    await connection.execute("select floor_settle(%s, %s, %s, %s, %s, %s, %s)", (*who, *event))


async def orm_like(connection: Connection, organization_id: str, member: str, seat: str) -> None:
    """Hold and settle by one statement after the other, as an ORM does."""
    hold_id = ids.new("hold")
    marks = {"org": "%(org)s", "member": "%(member)s", "seat": "%(seat)s", "month": "%(month)s", "hold": "%(hold)s"}
    facts = {"org": organization_id, "member": member, "seat": seat, "month": MONTH, "hold": hold_id}
    lock = "select version from organizations_gate where organization_id = %(org)s for update"
    scopes = ("organization", f"seat_type:{seat}", f"member:{member}")
    move = _MOVE.format(scope="%(scope)s", spent="%(spent)s", held="%(held)s", **marks)
    async with connection.transaction():
        await connection.execute(lock, facts)
        await connection.execute(_ROOM.format(**marks), facts)
        for scope in scopes:
            await connection.execute(move, {**facts, "scope": scope, "spent": 0, "held": NANO})
        await connection.execute(*_hold_row(organization_id, hold_id, member, seat))
    async with connection.transaction():
        await connection.execute(lock, facts)
        await connection.execute(_END.format(cost="%(cost)s", at="1", **marks), {**facts, "cost": COST})
        for sql, row in _usage_rows(organization_id, hold_id, member, seat):
            await connection.execute(sql, row)
        for scope in scopes:
            await connection.execute(move, {**facts, "scope": scope, "spent": COST, "held": -NANO})


async def measure(url: str, organization_id: str, way: Any, connections: int, seconds: float) -> float:  # noqa: ANN401
    """Return requests per second of *connections* that each hold and settle one after the other."""
    until, done = time.perf_counter() + seconds, 0

    async def worker() -> None:
        nonlocal done
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while time.perf_counter() < until:
                member = random.randrange(1000)
                seat = "chat" if member % 2 else "chat_claude_code"
                await way(connection, organization_id, f"user_{member}", seat)
                done += 1

    await asyncio.gather(*(worker() for _ in range(connections)))
    return done / seconds
