"""The real server is killed under load, wherever it hurts, and nothing that was promised is lost."""

from pathlib import Path

import pytest

from postgres import Server
from tokenpool.proofs import kills, mutants
from tokenpool.proofs.points import POINTS

pytestmark = pytest.mark.proof


def test_a_kill_at_every_labelled_point_loses_nothing(address: str, tmp_path: Path, times: int) -> None:
    """Half of the points on each database, and four random moments: no promise lost, nothing twice, nothing freed.

    The long form kills at every point on both. The server is ready within five seconds, also from nothing.
    """
    url = address if "://" in address else ""
    points = list(POINTS) if times > 1 else list(POINTS)[bool(url) :: 2]
    labels = [*points, *[kills.RANDOM_MOMENT] * 3, kills.AWAY_MOMENT]

    tolls = [kills.run(tmp_path, url, labels, seed=seed) for seed in range(1, times + 1)]

    assert [] == [toll for toll in tolls if not toll.holds]
    for toll in tolls:
        assert set(points) <= set(toll.kills)
        assert len(labels) <= toll.kills.total()
        assert min(toll.findings.promises, toll.findings.exact, toll.findings.batched) > 10
        assert min(toll.findings.estimated, toll.findings.late) > 0
        assert max(toll.slowest_start_seconds, toll.cold_start_seconds) < 10  # 1 to 3 s, but others may work here


@pytest.mark.parametrize(
    ("mutant", "labels"),
    [
        (mutants.SERVERS[0], ["written, before the commit"] * 3),
        (mutants.SERVERS[1], [kills.AWAY_MOMENT] * 2),
        (mutants.SERVERS[2], ["last event, before the settlement"] * 2),
        (mutants.SERVERS[3], ["batch: taken, its confirmation not written"]),
    ],
)
def test_a_mutant_is_found_out(sqlite_database: Path, tmp_path: Path, mutant: str, labels: list[str]) -> None:
    """A server that does not await its settlement, writes no journal, or frees what it lost, breaks a promise."""
    for seed in range(1, 4):  # on a busy machine a moment can be missed
        found = kills.run(tmp_path, "", labels, mutant=mutant, seed=seed).findings
        if found.lost or found.freed:
            break

    assert bool(found.freed) == (mutant in mutants.SERVERS[2:])
    assert bool(found.lost) == (mutant in mutants.SERVERS[:2])


def test_a_killed_database_loses_nothing(
    postgres_server: Server, postgres_database: str, tmp_path: Path, times: int
) -> None:
    """PostgreSQL and all its processes are killed under load, twice; the server is ready within five seconds."""

    def blow() -> None:
        postgres_server.kill()
        postgres_server.start()

    toll = kills.strike(tmp_path, postgres_database, blow, 2 * times)

    assert toll.holds, toll.findings
    assert toll.kills["the database"] == 2 * times
    assert toll.findings.exact > 10
    assert toll.slowest_start_seconds < 5
