"""The shared store: PostgreSQL, any number of processes, each step of a transaction one pipelined round trip.

The locked row of the organization is the only guard, so what decides is the same as embedded. The
commit rides with the last writes: an answer is given only after the server has said it is durable.
Whoever does not get one in time hears so, whatever the server is doing: the line is cut.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tokenpool.kernel.errors import Unavailable, Undecided
from tokenpool.kernel.group_commit import Row, Statement, Transaction

Answer = TypeVar("Answer")
Found_co = TypeVar("Found_co", covariant=True)
Connection = psycopg.AsyncConnection[Row]

CONNECTIONS = 8
PATIENCE_SECONDS = 5.0


class PostgresStore:
    """A small pool of connections; organizations commit side by side, one organization in order."""

    def __init__(self, url: str) -> None:
        """*url* is `postgresql://user@host/database`; nothing is opened before the first use."""
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=CONNECTIONS,
            reconnect_timeout=1,  # then whoever asks next tries anew: no growing pause outlives the outage
            configure=_prepare,
            open=False,
            kwargs={"autocommit": True, "connect_timeout": int(PATIENCE_SECONDS)},
        )
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def run(self, transaction: Callable[[], Transaction[Answer]]) -> Answer:
        """Run *transaction* atomically; its rows are on the server's disk when this returns.

        Raises:
            Unavailable: the server is away, does not answer in time, or refused the transaction.
            Undecided: the line broke, or the time was over, after the commit had been sent.
        """
        return await self._attempted(lambda: _Transaction(transaction()))

    async def read(self, sql: str, row: Row = ()) -> list[Row]:
        """Return the rows of one query on the last committed state.

        Raises:
            Unavailable: the server is away.
        """
        return await self._attempted(lambda: _Query(sql, row))

    async def _attempted(self, attempt: Callable[[], "_Work[Answer]"]) -> Answer:
        """Do the work; again when its connection turned out to be dead before anything could be committed."""
        await self._open()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            work = attempt()
            try:
                async with self._pool.connection(max(0.0, deadline - time.monotonic())) as connection:
                    with _cut(connection, deadline):
                        return await work.perform(connection)
            except (psycopg.OperationalError, PoolTimeout) as error:
                if work.may_be_done:
                    sentence = f"The database did not confirm the commit ({_first(error)}); send the same ids again."
                    raise Undecided(sentence) from error
                if not work.may_repeat or time.monotonic() > deadline:
                    raise Unavailable(f"The database is away ({_first(error)}). Nothing was written.") from error

    async def _open(self) -> None:
        if self._pool.closed:
            async with self._opening:
                await self._pool.open()


class _Work(Protocol[Found_co]):
    """What is done on one connection."""

    may_repeat: bool  # true once a dead connection was met before anything could have been committed
    may_be_done: bool  # true between the sending of the commit and its answer

    async def perform(self, connection: Connection) -> Found_co:
        """Do it."""
        ...


class _Query:
    """A single read."""

    def __init__(self, sql: str, row: Row) -> None:
        self._sql, self._row = sql, row
        self.may_repeat = self.may_be_done = False

    async def perform(self, connection: Connection) -> list[Row]:
        try:
            cursor = await connection.execute(_translated(self._sql, (), locks=False), self._row)
            return await cursor.fetchall()
        finally:
            self.may_repeat = connection.broken


class _Transaction(Generic[Answer]):
    """The steps of a transaction."""

    def __init__(self, steps: Transaction[Answer]) -> None:
        self._steps = steps
        self.may_repeat = self.may_be_done = False

    async def perform(self, connection: Connection) -> Answer:
        """Drive the generator; roll back whatever goes wrong."""
        try:
            async with connection.pipeline():
                await connection.execute("begin")
                answer = await _drive(connection, self._steps)
                self.may_be_done = True
                await connection.execute("commit")
        except BaseException:
            self.may_be_done = self.may_be_done and connection.broken
            self.may_repeat = connection.broken and not self.may_be_done
            if not connection.closed:
                await connection.rollback()
            raise
        return answer


async def _prepare(connection: Connection) -> None:
    """Let the server end what a gateway that stands still holds up, or waits for without end."""
    for name in ("idle_in_transaction_session_timeout", "lock_timeout"):
        await connection.execute(f"set {name} = '{PATIENCE_SECONDS}s'")


@contextmanager
def _cut(connection: Connection, deadline: float) -> Iterator[None]:
    """Shut the line when *deadline* comes: whoever waits on it gets an error at once, as if the server had died."""

    def shut() -> None:
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as line:
            line.shutdown(socket.SHUT_RDWR)

    descriptor = connection.fileno()
    timer = asyncio.get_running_loop().call_later(deadline - time.monotonic(), shut)
    try:
        yield
    finally:
        timer.cancel()


async def _drive(connection: Connection, steps: Transaction[Answer]) -> Answer:
    try:
        statements = next(steps)
        while True:
            cursors = [await _send(connection, statement) for statement in statements]
            rows = [await cursor.fetchall() if cursor else [] for cursor in cursors]
            statements = steps.send(rows)
    except StopIteration as stop:
        answer: Answer = stop.value
        return answer


async def _send(connection: Connection, statement: Statement) -> psycopg.AsyncCursor[Row] | None:
    """Queue *statement*; return the cursor of a query, None for a write (nobody waits for it)."""
    sql = _translated(statement.sql, statement.types, locks=statement.locks)
    if statement.types:
        columns = zip(*statement.rows, strict=True)
        await connection.execute(sql, [_array(column) for column in columns])
        return None
    cursor = None
    for row in statement.rows:
        cursor = await connection.execute(sql, row)
    return cursor if sql.lstrip().startswith("select") else None


def _array(column: tuple[Any, ...]) -> str:
    """Return the literal of an array; psycopg's own takes ten times as long, a third of a batch."""
    return "{" + ",".join([_element(value) for value in column]) + "}"


def _element(value: Any) -> str:  # noqa: ANN401 - whatever a column holds
    if not isinstance(value, str):
        return "null" if value is None else str(value)
    if '"' in value or "\\" in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


@lru_cache(maxsize=512)
def _translated(sql: str, types: tuple[str, ...], *, locks: bool) -> Any:  # noqa: ANN401 - psycopg wants literal strings
    """Return *sql* in the server's dialect: numbered by position, lists as arrays, rows unnested."""
    if types:
        marks = f"values ({', '.join('?' * len(types))})"
        arrays = ", ".join(f"?::{name}[]" for name in types)
        sql = sql.replace(marks, f"select * from unnest({arrays})")  # noqa: S608 - marks and our own types
    sql = sql.replace("in (?*)", "= any(?)").replace("?", "%s")
    return sql + " for update" if locks else sql
