"""A database that stands still or restarts under load: answers in time, none false, and back at once."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenpool.kernel.errors import InvalidInput
from tokenpool.proofs import outage, power
from tokenpool.proofs.outage import Outage
from tokenpool.proofs.server import Server

pytestmark = pytest.mark.proof


@pytest.fixture(scope="module")
def server(postgres_seed: Path) -> Iterator[Server]:
    """Return a server that nobody else works on; its database `template` is migrated."""
    with power.workshop() as folder:
        shutil.copytree(postgres_seed, folder / "server")
        server = Server(folder / "server")
        yield server
        server.stop()


def check(found: Outage) -> None:
    """Everybody was answered within two seconds, though the patience is one, and the next hold came within five."""
    assert ([], True) == (found.wrong, found.kept.holds)
    assert found.unavailable > 0
    assert found.slowest_ms < 2000
    assert found.back_ms < 5000


async def test_a_paused_writer_holds_up_sqlite_no_longer_than_the_patience(sqlite_database: Path) -> None:
    """Another process stands still with the write lock for 1.5 s: settlements go to the journal, nobody holds."""
    path = str(sqlite_database)
    found = await outage.endure(path, sqlite_database.parent / "settlements", outage.lock(path), 1.5)

    check(found)
    assert (0, True) == (found.granted, found.journaled > 0)


async def test_a_paused_server_is_unavailable(server: Server, tmp_path: Path) -> None:
    """Every process of PostgreSQL stands still for a second and a half: settlements go to the journal, nobody holds."""
    found = await outage.endure(server.url("template"), tmp_path, outage.pause(server), 1.5)

    check(found)
    assert (0, True) == (found.granted, found.journaled > 0)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGQUIT])
async def test_a_restart_loses_nothing(server: Server, tmp_path: Path, kind: signal.Signals) -> None:
    """Stopped fast or at once, away for 1.3 seconds, and started again."""
    check(await outage.endure(server.url("template"), tmp_path, outage.restart(server, kind), 1.3))


async def test_a_full_disk_is_unavailable_until_it_has_room(sqlite_database: Path) -> None:
    """Database and journal on a disk without a free byte for half a second: what was told is so, nothing is half."""
    try:
        with outage.small_disk() as folder:
            path = Path(shutil.copy(sqlite_database, folder))
            found = await outage.endure(str(path), folder / "settlements", outage.fill(folder), 0.5)
    except InvalidInput as error:
        pytest.skip(error.message)

    check(found)
