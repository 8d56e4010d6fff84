"""Power loss: what was promised is on the disk at every moment, and whoever syncs too little is caught."""

from pathlib import Path

import pytest

from tokenpool.proofs import power, worker
from tokenpool.proofs.disk import CHANCES

pytestmark = pytest.mark.proof

MOMENTS_CAUGHT = {"synchronous_commit=off": 4, "fsync=off": 0}  # besides the end


async def test_power_loss_takes_nothing_promised(sqlite_database: Path) -> None:
    """SQLite and the journal, 21 moments with four chances each: 84 disks, none damaged, nothing lost or half."""
    with power.workshop() as folder:
        recorded = await power.on_sqlite(sqlite_database, folder, then=20, **power.BUSY)
        kept = await power.lose(recorded, 20, power.sqlite)

    assert (21 * len(CHANCES), 0, 0, 0, 0, 0) == (
        kept.states, kept.lost, kept.doubled, kept.freed, kept.half, kept.damaged,
    )  # fmt: skip
    assert kept.acknowledged > 10_000


@pytest.mark.parametrize("mistake", [worker.NORMAL, worker.NO_FOLDER, worker.NO_SYNC])
async def test_syncing_too_little_is_caught(sqlite_database: Path, mistake: str) -> None:
    """A commit without its fsync loses promises, and so does a journal without that of its file or its folder."""
    with power.workshop() as folder:
        kept = await power.lose(
            await power.on_sqlite(sqlite_database, folder, mistake=mistake), 10, power.sqlite, chances=("none",)
        )

    assert (11, True, 0) == (kept.states, kept.lost > 10, kept.damaged)


async def test_a_failed_fsync_is_never_believed(sqlite_database: Path) -> None:
    """After a checkpoint whose fsync failed the store keeps its log, and a new process writes all of it anew."""
    kept = await power.after_a_failed_checkpoint(sqlite_database, 10)
    believed = await power.after_a_failed_checkpoint(sqlite_database, 10, mistake=worker.TRUSTING)

    assert (11, True) == (kept.states, kept.holds)
    assert believed.damaged > 0


async def test_power_loss_takes_nothing_from_postgres(postgres_seed: Path) -> None:
    """Every process of the server recorded, five moments, unsynced writes gone or torn: ten disks keep each promise."""
    with power.workshop() as folder:
        recorded = await power.on_postgres(postgres_seed, folder, database="template", turns=15)
        kept = await power.lose(recorded, 4, power.postgres("template"), chances=("none", "torn"))

    assert (10, 0, 0, 0, 0, 0) == (kept.states, kept.lost, kept.doubled, kept.freed, kept.half, kept.damaged)
    assert kept.acknowledged > 200


@pytest.mark.parametrize("mistake", list(worker.SETTINGS))
async def test_a_server_that_answers_before_it_syncs_is_caught(postgres_seed: Path, mistake: str) -> None:
    """`synchronous_commit=off` loses the last promises, `fsync=off` the whole database, also after an orderly end."""
    with power.workshop() as folder:
        recorded = await power.on_postgres(postgres_seed, folder, database="template", turns=15, mistake=mistake)
        kept = await power.lose(recorded, MOMENTS_CAUGHT[mistake], power.postgres("template"), chances=("none",))

    assert kept.lost + kept.damaged > 0
