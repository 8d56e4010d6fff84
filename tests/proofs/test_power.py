"""Power loss: what was promised is on the disk at every moment, and whoever syncs too little is caught."""

from pathlib import Path

import pytest

from tokenpool.proofs import power, worker
from tokenpool.proofs.disk import CHANCES
from tokenpool.proofs.promises import Kept

pytestmark = pytest.mark.proof

BUSY = {"turns": 50, "reader": True, "checkpoint_pages": 120}


async def test_power_loss_takes_nothing_promised(sqlite_database: Path) -> None:
    """SQLite and the journal, 21 moments with four chances each: 84 disks, none damaged, nothing lost or half."""
    with power.workshop() as folder:
        recorded = await power.on_sqlite(sqlite_database, folder, then=20, **BUSY)
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
    """The first whole checkpoint after a long reader fails: the store keeps its log, a new process writes it anew."""
    with power.workshop() as folder:
        (folder / "clean").mkdir()
        clean = await power.on_sqlite(sqlite_database, folder / "clean", **BUSY)
        failing = f"fdatasync:error=EIO:when={power.after_the_reader(clean)}"
        outcomes = dict[str, Kept]()
        for mistake in ("", worker.TRUSTING):
            (folder / f"x{mistake}").mkdir()
            recorded = await power.on_sqlite(
                sqlite_database, folder / f"x{mistake}", failing=failing, mistake=mistake, then=20, **BUSY
            )
            outcomes[mistake] = await power.lose(recorded, 20, power.sqlite, chances=("none",))

    assert (21, True) == (outcomes[""].states, outcomes[""].holds)
    assert outcomes[worker.TRUSTING].damaged > 0


async def test_power_loss_takes_nothing_from_postgres(postgres_seed: Path) -> None:
    """Every process of the server recorded, five moments, unsynced writes gone or torn: ten disks keep each promise."""
    with power.workshop() as folder:
        recorded = await power.on_postgres(postgres_seed, folder, database="template", turns=15)
        kept = await power.lose(recorded, 4, power.postgres("template"), chances=("none", "torn"))

    assert (10, 0, 0, 0, 0, 0) == (kept.states, kept.lost, kept.doubled, kept.freed, kept.half, kept.damaged)
    assert kept.acknowledged > 200


@pytest.mark.parametrize("mistake", list(worker.SETTINGS))
async def test_a_server_that_answers_before_it_syncs_is_caught(postgres_seed: Path, mistake: str) -> None:
    """`synchronous_commit=off` loses promises, `fsync=off` the whole database."""
    with power.workshop() as folder:
        recorded = await power.on_postgres(postgres_seed, folder, database="template", turns=15, mistake=mistake)
        kept = await power.lose(recorded, 2, power.postgres("template"), chances=("none",))

    assert kept.lost + kept.damaged > 0
