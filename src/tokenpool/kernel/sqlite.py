"""The embedded store: SQLite in WAL mode with `synchronous=FULL`, inside the event loop's own turn.

A Python thread over `sqlite3` starves under a busy loop (measured: 0.2-0.7 s of queue at half
load), so statements run in 2-4 ms blocks in the loop and never wait there: when another connection
holds the write lock, the loop goes on and the transaction starts again a moment later.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import Row, Statement, Transaction

Answer = TypeVar("Answer")

_LOCK_PATIENCE_SECONDS = 5.0
_LOCK_RETRY_SECONDS = 0.0005
PRAGMAS = "pragma journal_mode=wal; pragma synchronous=full; pragma busy_timeout=0; pragma foreign_keys=on;"


class SqliteStore:
    """One connection that belongs to the event loop's thread."""

    def __init__(self, path: Path | str) -> None:
        """Open *path*; the schema is Django's migrations'."""
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self._connection.executescript(PRAGMAS)

    async def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def run(self, transaction: Callable[[], Transaction[Answer]]) -> Answer:
        """Run *transaction* under the write lock and commit with an fsync.

        Raises:
            Unavailable: the lock was not free within five seconds, or the disk refused the write.
        """
        await self._begin()
        try:
            answer = self._perform(transaction())
            self._connection.execute("commit")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            if isinstance(error, sqlite3.OperationalError):
                raise Unavailable(f"The database refused the write: {error}. Nothing was written.") from error
            raise
        return answer

    async def read(self, sql: str, row: Row = ()) -> list[Row]:
        """Return the rows of one query on the last committed state."""
        return self._connection.execute(sql, row).fetchall()

    async def _begin(self) -> None:
        """Take the write lock without ever blocking the loop."""
        deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
        while True:
            try:
                if not self._connection.in_transaction:
                    self._connection.execute("begin immediate")
                    return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise Unavailable(f"The database is busy or away ({error}).") from error
            await asyncio.sleep(_LOCK_RETRY_SECONDS)

    def _perform(self, steps: Transaction[Answer]) -> Answer:
        """Drive the generator: execute what it yields, send back the rows."""
        try:
            statements = next(steps)
            while True:
                statements = steps.send([self._execute(statement) for statement in statements])
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer

    def _execute(self, statement: Statement) -> list[Row]:
        if "?*" in statement.sql:
            sql = statement.sql.replace("in (?*)", "in (select value from json_each(?))")
            row = [json.dumps(value) if isinstance(value, list) else value for value in statement.rows[0]]
            return self._connection.execute(sql, row).fetchall()
        if len(statement.rows) == 1:
            return self._connection.execute(statement.sql, statement.rows[0]).fetchall()
        self._connection.executemany(statement.sql, statement.rows)
        return []
