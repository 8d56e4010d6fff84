"""Killed at any moment, the ledger has lost nothing it had acknowledged and billed nothing twice."""

import pytest

from tokenpool.proofs import crash, scratch

pytestmark = pytest.mark.proof

KILLS = 5


async def test_a_killed_process_loses_nothing(address: str, times: int) -> None:
    """Five kills on each database: every acknowledged hold and settlement is there, once."""
    store = scratch.open_store(address)
    losses = await crash.run(store, address, KILLS * times)
    await store.close()

    assert (KILLS * times, 0, 0, 0, 0) == (losses.kills, losses.lost, losses.doubled, losses.freed, losses.broken_sums)
    assert losses.acknowledged > KILLS
