"""Calls that fail: a full or failing disk is told as unavailable, survived, and nothing promised is lost."""

from pathlib import Path

import pytest

from tokenpool.proofs import faults, power, worker

pytestmark = pytest.mark.proof


@pytest.mark.parametrize("fault", list(faults.on_sqlite(1)))
async def test_a_failing_call_is_survived(sqlite_database: Path, fault: str) -> None:
    """Ten calls of one kind fail, here and there; promises hold then, and after power loss on top at three moments."""
    with power.workshop() as folder:
        recorded = await power.on_sqlite(sqlite_database, folder, failing=fault, **power.BUSY)
        survived = await faults.survive(recorded, fault, power.sqlite, moments=2)

    assert (10, [], True) == (survived.failed, survived.wrong, survived.recovered)
    assert (7, True) == (survived.kept.states, survived.kept.holds)
    assert survived.felt > 0 or "pread64" in fault  # reads may all have been a checkpoint's


@pytest.mark.parametrize(
    ("mistake", "fault"),
    [(worker.HASTY, "fdatasync:error=EIO:when=14..59+5"), (worker.DEAF, "fsync:error=EIO:when=7..25+2")],
)
async def test_a_failure_taken_for_success_is_caught(sqlite_database: Path, mistake: str, fault: str) -> None:
    """A hold whose commit failed is no hold, a journal entry whose fsync failed is none."""
    with power.workshop() as folder:
        recorded = await power.on_sqlite(sqlite_database, folder, failing=fault, mistake=mistake, **power.BUSY)
        survived = await faults.survive(recorded, fault, power.sqlite, moments=2)

    assert (10, True) == (survived.failed, survived.kept.lost > 0)


@pytest.mark.parametrize("fault", list(faults.on_postgres(1)))
async def test_a_failing_call_of_the_server_is_survived(postgres_seed: Path, fault: str) -> None:
    """PostgreSQL ends itself and recovers; the ledger goes on, and power loss on top takes nothing promised."""
    with power.workshop() as folder:
        recorded = await power.on_postgres(postgres_seed, folder, database="template", failing=fault, turns=35)
        survived = await faults.survive(recorded, fault, power.postgres("template"), moments=1)

    assert (True, [], True, True) == (survived.failed > 0, survived.wrong, survived.recovered, survived.kept.holds)
