"""Whatever four processes ask at once, the plain model explains: answer by answer, in the order of the commits."""

import pytest

from tokenpool.proofs import crew, history, mutants, scratch

pytestmark = pytest.mark.proof

ROUNDS = 2


async def test_every_answer_of_a_concurrent_history_is_the_models(address: str, times: int) -> None:
    """Two rounds of 4 processes x 8 callers x 40 operations on the same thirty holds, among changing limits."""
    store = scratch.open_store(address)
    await history.prepare(store, address)
    with crew.hired(address, history.do_as_they_like) as pipes:
        replayed = await history.run(store, pipes, range(ROUNDS * times))
    await store.close()

    assert [] == replayed.unexplained[:5]
    assert (ROUNDS * times, ROUNDS * times * 1280) == (replayed.rounds, replayed.operations)
    assert {"held", "refused", "done", "settled", "void", "in_doubt", "alive", "unknown"} <= replayed.said.keys()


async def test_a_mutants_history_is_not_explained(address: str) -> None:
    """A ledger that checks outside its transaction says something within twenty rounds that the model would not."""
    store = scratch.open_store(address)
    await history.prepare(store, address)
    with crew.hired(address, history.do_as_they_like, mutant=mutants.NAMES[0]) as pipes:
        replayed = await history.run(store, pipes, range(20), until_broken=True)
    await store.close()

    assert not replayed.holds
