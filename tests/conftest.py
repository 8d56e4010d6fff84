"""A migrated database for every test that asks for one, copied from a template; real commits, real files."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

_HOME = Path(tempfile.mkdtemp(prefix="tokenpool-tests-"))
for _name in [name for name in os.environ if name.startswith("TOKENPOOL_")]:
    del os.environ[_name]
os.environ.update(
    DJANGO_SETTINGS_MODULE="tokenpool.config.settings",
    DJANGO_ALLOW_ASYNC_UNSAFE="1",  # async tests look at the tables with the ORM between steps
    TOKENPOOL_DATA=str(_HOME),
    TOKENPOOL_SECRET_KEY="a key for tests only",
)

import django  # noqa: E402 - after the environment
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402 - after the setup

from pointing import pointing_at_file  # noqa: E402
from postgres import Server  # noqa: E402
from tokenpool.config.database import postgres_settings  # noqa: E402

_numbers = count(1)

settings.ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # scrypt is slow on purpose
settings.AUTH_PASSWORD_VALIDATORS = settings.AUTH_PASSWORD_VALIDATORS[:1]  # the list of common ones is large


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the proofs run in their long form."""
    parser.addoption("--times", type=int, default=1, help="How many times the short form each proof runs.")


def pytest_sessionfinish() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def _template() -> Path:
    call_command("migrate", verbosity=0)
    connections["default"].close()
    path = _HOME / "template.sqlite3"
    shutil.move(_HOME / "tokenpool.sqlite3", path)
    return path


@pytest.fixture
def sqlite_database(_template: Path, tmp_path: Path) -> Iterator[Path]:
    """Return the path of a fresh migrated SQLite file that Django's connection points at."""
    path = tmp_path / "tokenpool.sqlite3"
    shutil.copy(_template, path)
    with pointing_at_file(path):
        yield path


@pytest.fixture
def database(sqlite_database: Path) -> Path:
    """Return the database of a test: SQLite, unless its folder asks for both."""
    return sqlite_database


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """Return a PostgreSQL of our own whose database `template` is migrated."""
    server = Server()
    server.run("create database template")
    with pointing_at(server.url("template")):
        call_command("migrate", verbosity=0)
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture
def postgres_database(postgres_server: Server) -> Iterator[str]:
    """Return the address of a fresh migrated PostgreSQL database that Django's connection points at."""
    name = f"t{next(_numbers)}"
    postgres_server.run(f"create database {name} template template")
    with pointing_at(postgres_server.url(name)):
        yield postgres_server.url(name)
    postgres_server.run(f"drop database {name} with (force)")


@pytest.fixture(params=["sqlite", "postgres"])
def either_database(request: pytest.FixtureRequest) -> Path | str:
    """Return a fresh database, once of each kind."""
    return request.getfixturevalue(f"{request.param}_database")


@contextmanager
def pointing_at(url: str) -> Iterator[None]:
    """Point Django at a PostgreSQL database: one connection, whatever the task that asks, closed at the end."""
    connections["default"].close()
    before = connections.settings["default"], connections._connections
    connections.settings["default"] = {**before[0], **postgres_settings(url)}
    connections._connections = SimpleNamespace()
    yield
    connections["default"].close()
    connections.settings["default"], connections._connections = before
