"""Limits kept between batches: never older than the lock, whoever changed them, and no more than fit."""

from pathlib import Path

import pytest

from stores import store_of
from tokenpool.limits.kept import Kept, Known
from tokenpool.limits.operations import Held, Refusal
from tokenpool.proofs import scratch

from .conftest import DOLLAR, Bench

PLACE = ("user_1", "chat", (), "2026-11-24")


@pytest.mark.parametrize(
    ("scope", "basis"), [("organization", "pool"), ("seat_type:chat", "each"), ("member:user_1", "each")]
)
async def test_a_limit_changed_by_another_process_binds_the_very_next_request(
    bench: Bench, database: Path | str, scope: str, basis: str
) -> None:
    """None, 3 dollars, 2, unlimited, 4: set through another store, each is what this ledger decides on at once."""
    there = store_of(database)

    async def change(dollars: int | None) -> None:
        state, nano = ("unlimited", None) if dollars is None else ("amount", dollars * DOLLAR)
        await scratch.limit(there, "org_a", scope, basis, nano, state=state)

    answers = [await bench.do(bench.ask(DOLLAR))]
    for dollars in (3, 2, None, 4):
        await change(dollars)
        answers += [await bench.do(bench.ask(DOLLAR)) for _ in range(2)]
    await there.close()

    assert [Held, Held, Held, Refusal, Refusal, Held, Held, Refusal, Refusal] == [type(answer) for answer in answers]
    assert [2, 2, 4, 4] == [answer.limit.limit_nano // DOLLAR for answer in answers if isinstance(answer, Refusal)]
    assert (0, 5 * DOLLAR) == bench.account("organization")


async def test_limits_are_read_once_until_one_is_changed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two members' requests before and after a change: four times, though half of them have no limit at all."""
    read: list[str] = []
    run = bench.store.run

    async def watched(transaction: object) -> object:
        def steps() -> object:
            inner = transaction()
            statements = next(inner)
            while True:
                read.extend(one.sql for one in statements if "limits_spendlimit" in one.sql)
                try:
                    statements = inner.send((yield statements))
                except StopIteration as stop:
                    return stop.value

        return await run(steps)

    monkeypatch.setattr(bench.store, "run", watched)
    for _ in range(2):
        bench.limit("member:user_1", "each", 9 * DOLLAR)
        for member in ("user_1", "user_2") * 3:
            assert isinstance(await bench.do(bench.ask(1, member)), Held)

    assert 4 == len(read)


def test_a_place_is_known_at_the_version_it_was_read_at_and_no_other() -> None:
    """Nor of another organization; that nothing limits it is known as well."""
    kept = Kept()
    kept.keep("org_a", 2, PLACE, Known((), ()))

    asked = (("org_a", 1), ("org_a", 2), ("org_a", 3), ("org_b", 2))
    assert [None, Known((), ()), None, None] == [kept.find(*one, PLACE) for one in asked]


def test_no_more_places_are_kept_than_fit() -> None:
    """Of three, in two: the one that was read first is gone."""
    kept = Kept(most=2)
    for version in (1, 2, 3):
        kept.keep("org_a", version, PLACE, Known((), ()))

    assert [False, True, True] == [bool(kept.find("org_a", version, PLACE)) for version in (1, 2, 3)]
