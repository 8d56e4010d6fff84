"""The proofs run on both databases, each test on a fresh one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres import Server
from tokenpool.proofs import power


@pytest.fixture
def address(either_database: Path | str) -> str:
    """Return the address of a fresh migrated database."""
    return str(either_database)


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """Return how many times the short form a proof is to run: `pytest tests/proofs --times 50`."""
    return int(request.config.getoption("--times"))


@pytest.fixture(scope="session")
def postgres_seed(postgres_server: Server) -> Iterator[Path]:
    """Return the folder of a server that was stopped in order; its database `template` is migrated."""
    with power.workshop() as folder:
        postgres_server.stop()
        shutil.copytree(postgres_server.folder / "data", folder / "data")
        postgres_server.start()
        yield folder
