"""Which database: a PostgreSQL address, or else the SQLite file in the data folder. Django and the ledger agree."""

from typing import Any

from psycopg.conninfo import conninfo_to_dict

from tokenpool.config.environment import Environment
from tokenpool.kernel.group_commit import Store
from tokenpool.kernel.postgres import PostgresStore
from tokenpool.kernel.sqlite import SqliteStore


def open_store(environment: Environment) -> Store:
    """Return the store that the ledger decides on."""
    if environment.database_url:
        return PostgresStore(environment.database_url)
    return SqliteStore(environment.database_path)


def django_settings(environment: Environment) -> dict[str, Any]:
    """Return the entry of Django's `DATABASES`."""
    if environment.database_url:
        return postgres_settings(environment.database_url)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(environment.database_path),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "pragma journal_mode=wal; pragma synchronous=full; pragma wal_autocheckpoint=10000;",
        },
    }


def postgres_settings(url: str) -> dict[str, Any]:
    """Return Django's settings of the PostgreSQL database at *url*; what Django has no name for is an option."""
    parts = dict(conninfo_to_dict(url))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": parts,
    }
