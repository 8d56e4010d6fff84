"""Four processes of eight callers at each level: no overspend, no false refusal, and mutants are caught."""

import pytest

from tokenpool.proofs import mutants, race, scratch

pytestmark = pytest.mark.proof

SEEDS = 30


async def test_no_interleaving_overspends(address: str, times: int) -> None:
    """Thirty seeds, every level binding in turn: exactly twenty dollars pass each time, and no batch in part."""
    store = scratch.open_store(address)
    with race.racers(address) as pipes:
        tally = await race.run(store, pipes, range(SEEDS * times))
    await store.close()

    rounds = SEEDS * times
    assert (rounds, 20 * rounds) == (tally.rounds, tally.granted)
    assert tally.refused > 44 * rounds
    assert (0, 0, 0) == (tally.over_nano, tally.falsely_refused, tally.broken_sums)
    assert tally.observations > SEEDS


@pytest.mark.parametrize("mutant", mutants.NAMES)
async def test_a_mutant_is_caught(address: str, mutant: str) -> None:
    """A ledger with one mistake overspends within a hundred rounds: the race has teeth."""
    store = scratch.open_store(address)
    with race.racers(address, mutant=mutant) as pipes:
        tally = await race.run(store, pipes, range(100), until_broken=True)
    await store.close()

    assert not tally.holds
