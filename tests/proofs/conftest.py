"""The proofs run on both databases, each test on a fresh one."""

from pathlib import Path

import pytest


@pytest.fixture
def address(either_database: Path | str) -> str:
    """Return the address of a fresh migrated database."""
    return str(either_database)


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """Return how many times the short form a proof is to run: `pytest tests/proofs --times 50`."""
    return int(request.config.getoption("--times"))
