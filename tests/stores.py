"""The store of a test's database, whichever kind it is."""

from pathlib import Path

from tokenpool.kernel.group_commit import Store
from tokenpool.kernel.postgres import PostgresStore
from tokenpool.kernel.sqlite import SqliteStore


def store_of(database: Path | str) -> Store:
    """Return a store on a SQLite file or a PostgreSQL address."""
    return SqliteStore(database) if isinstance(database, Path) else PostgresStore(database)
