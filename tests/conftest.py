"""A migrated database for every test that asks for one, copied from a template; real commits, real files."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

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

settings.ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # scrypt is slow on purpose
settings.AUTH_PASSWORD_VALIDATORS = settings.AUTH_PASSWORD_VALIDATORS[:1]  # the list of common ones is large


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
def database(_template: Path, tmp_path: Path) -> Iterator[Path]:
    """Return the path of a fresh migrated SQLite file that Django's connection points at."""
    path = tmp_path / "tokenpool.sqlite3"
    shutil.copy(_template, path)
    connections["default"].close()
    before = connections["default"].settings_dict["NAME"]
    connections["default"].settings_dict["NAME"] = str(path)
    yield path
    connections["default"].close()
    connections["default"].settings_dict["NAME"] = before
