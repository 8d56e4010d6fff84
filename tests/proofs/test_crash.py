"""Killed at any moment, the ledger has lost nothing it had acknowledged and billed nothing twice."""

import asyncio
import signal

import pytest

from postgres import Server
from tokenpool.kernel import ids
from tokenpool.proofs import crash, scratch

pytestmark = pytest.mark.proof

KILLS = 15


async def test_a_killed_process_loses_nothing(address: str) -> None:
    """Fifteen kills on each database: every acknowledged hold and settlement is there, once."""
    store = scratch.open_store(address)
    losses = await crash.run(store, address, KILLS)
    await store.close()

    assert (KILLS, 0, 0, 0, 0) == (losses.kills, losses.lost, losses.doubled, losses.freed, losses.broken_sums)
    assert losses.acknowledged > KILLS


async def test_a_killed_database_loses_nothing(postgres_server: Server, postgres_database: str) -> None:
    """The server is killed under load three times; it comes back with everything that was acknowledged."""
    losses, store = crash.Losses(), scratch.open_store(postgres_database)
    for _ in range(3):
        organization_id = ids.new("org")
        await scratch.found(store, organization_id)
        victim = crash.Victim(postgres_database, organization_id)
        await asyncio.sleep(0.3)
        postgres_server.stop(signal.SIGQUIT)
        postgres_server.start()
        await asyncio.sleep(0.3)
        victim.kill()
        losses.kills += 1
        await crash.examine(store, organization_id, victim.acknowledged(), losses)
    await store.close()

    assert (3, 0, 0, 0, 0) == (losses.kills, losses.lost, losses.doubled, losses.freed, losses.broken_sums)
    assert losses.acknowledged > 100
