"""The embedded store: SQLite in WAL mode with `synchronous=FULL`, inside the event loop's own turn.

A Python thread over `sqlite3` starves under a busy loop (measured: 0.2-0.7 s of queue at half
load), so statements run in 2-4 ms blocks in the loop and never wait there: when another connection
holds the write lock, the loop goes on and the transaction starts again a moment later.

SQLite brings the log into the main file when this store says so, and the store looks at what became
of it: after a failed fsync of the main file nothing there is believed any more
(docs/decisions/0019-a-failed-fsync.md).
"""

import asyncio
import ctypes
import json
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tokenpool.kernel.errors import Unavailable, Undecided
from tokenpool.kernel.group_commit import Row, Statement, Transaction

Answer = TypeVar("Answer")

_LOCK_PATIENCE_SECONDS = 5.0
_LOCK_RETRY_SECONDS = 0.0005
PRAGMAS = (
    "pragma journal_mode=wal; pragma synchronous=full; pragma busy_timeout=0; pragma foreign_keys=on; "
    "pragma wal_autocheckpoint=0; select 1 from sqlite_master;"  # a query: now the log is there
)
_DISTRUST = (
    "the disk failed to store the database (%s): nothing is lost, its log goes on and grows; "
    "look after the disk, then start Tokenpool anew"
)
_REFUSED = "the disk did not take the database (%s): nothing is lost, its log grows until it does"
_FSYNC_ERRORS = ("SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC")
CHECKPOINT_PAGES = 1000  # 4 MB of log

logger = logging.getLogger("tokenpool.database")


class SqliteStore:
    """One connection that belongs to the event loop's thread."""

    def __init__(self, path: Path | str) -> None:
        """Open *path*; the schema is Django's migrations'.

        Raises:
            Unavailable: it cannot be opened, or the names in its folder cannot be made durable.
        """
        self._path, self._distrusts_disk = path, False
        self._changes, self._most_changes = 0, CHECKPOINT_PAGES // 4  # committed since the last checkpoint; of one
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
            self._connection.executescript(PRAGMAS)
            _sync_folder(Path(path).parent)  # SQLite too syncs the log's name, but goes on when that fails
        except (sqlite3.OperationalError, OSError) as error:
            raise Unavailable(f"The database {path} cannot be opened: {error}.") from error

    async def close(self) -> None:
        """Close the connection; the last one to close brings the log into the main file."""
        self._connection.close()

    async def run(self, transaction: Callable[[], Transaction[Answer]]) -> Answer:
        """Run *transaction* under the write lock and commit with an fsync.

        Raises:
            Unavailable: the lock was not free within five seconds, or the disk refused the write.
            Undecided: the disk failed during the commit.
        """
        await self._begin()
        before = self._connection.total_changes
        try:
            answer = self._perform(transaction())
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.OperationalError):
                raise Unavailable(f"The database refused the write: {error}. Nothing was written.") from error
            raise
        try:
            self._connection.execute("commit")
        except sqlite3.Error as error:
            self._roll_back()
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise Undecided(f"The disk failed in the commit ({error}); the same ids may be sent again.") from error
        self._changes += self._connection.total_changes - before
        if self._changes >= self._most_changes:
            self._checkpoint()
        return answer

    async def read(self, sql: str, row: Row = ()) -> list[Row]:
        """Return the rows of one query on the last committed state.

        Raises:
            Unavailable: the disk does not give them.
        """
        try:
            return self._connection.execute(sql, row).fetchall()
        except sqlite3.OperationalError as error:
            raise Unavailable(f"The database cannot be read: {error}.") from error

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

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("rollback")

    def _checkpoint(self) -> None:
        """Bring the log into the main file; once its fsync has failed, keep the log instead."""
        changes, self._changes = self._changes, 0
        try:
            if not self._distrusts_disk:
                _, pages, _ = self._connection.execute("pragma wal_checkpoint(passive)").fetchone()
                if pages > 0:  # else somebody else is at it
                    likely = changes * CHECKPOINT_PAGES // pages
                    self._most_changes = max(10, min(likely, 2 * self._most_changes, 4 * CHECKPOINT_PAGES))
        except sqlite3.Error as error:
            self._distrusts_disk = error.sqlite_errorname in _FSYNC_ERRORS
            logger.critical(_DISTRUST if self._distrusts_disk else _REFUSED, error.sqlite_errorname)
        if self._distrusts_disk:
            self._most_changes = 0  # until it is kept
            with suppress(sqlite3.Error):
                self._keep_log()

    def _keep_log(self) -> None:
        """Stand on the present state to the end of the process, so that nobody starts the log anew.

        What this and earlier checkpoints wrote may be called clean by the kernel and done by SQLite, and is not on
        the disk. The log has all of it; the next process reads it from the beginning and writes everything again.
        """
        reader = sqlite3.connect(self._path, isolation_level=None)
        reader.execute("begin")
        reader.execute("select 1 from sqlite_master").fetchone()
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(reader))  # closed by the kernel: closing would be a checkpoint
        self._most_changes = sys.maxsize

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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
