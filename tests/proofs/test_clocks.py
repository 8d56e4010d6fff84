"""The clock is set by a day, forward and back: verdicts, holds and the newest limit stay right."""

import pytest

from tokenpool.proofs import clocks, scratch

pytestmark = pytest.mark.proof


async def test_a_clock_that_is_set_moves_no_money(address: str) -> None:
    """Five hundred steps: every verdict is explained by the sums, no hold is lost, freed or doubled."""
    store = scratch.open_store(address)
    found = await clocks.run(store, 500, seed=1)
    await store.close()

    assert (500, 0, 0, 0, 0) == (found.steps, found.wrong, found.freed, found.doubled, found.broken_sums)
    assert found.granted > 50


async def test_a_limit_that_is_newest_by_the_clock_alone_is_caught(address: str) -> None:
    """An older limit wins after a step back, and a verdict is wrong."""
    store = scratch.open_store(address)
    found = await clocks.run(store, 500, seed=1, ids_by_the_clock_alone=True)
    await store.close()

    assert found.wrong > 0
