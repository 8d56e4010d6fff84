"""The race for the last dollar: many clients, a limit that fits exactly some of them, an observer."""

import asyncio
import random

import pytest

from tokenpool.limits.operations import Held, Refusal

from .conftest import DOLLAR, Bench, settle

CLIENTS, FITTING, ROUNDS = 64, 20, 50
LEVELS = [("organization", "pool"), ("seat_type:chat", "pool"), ("member:user_1", "each"), ("seat_type:chat", "each")]


@pytest.mark.parametrize(("scope", "basis"), LEVELS)
async def test_twenty_of_sixty_four_pass_fifty_times_over(bench: Bench, scope: str, basis: str) -> None:
    """At each level: 20 pass, 44 are refused, and spent + held never stands above the limit."""
    limit_nano = 0
    for round_number in range(ROUNDS):
        before = bench.account(scope if basis == "pool" else "member:user_1")[0]
        limit_nano = before + FITTING * DOLLAR
        bench.limit(scope, basis, limit_nano)
        answers = await asyncio.gather(
            *(_client(bench, random.Random(round_number * 100 + n), limit_nano) for n in range(CLIENTS))
        )

        assert [FITTING, CLIENTS - FITTING] == [answers.count(kind) for kind in (Held, Refusal)]
    spent, held = bench.account("organization")
    assert (ROUNDS * FITTING * DOLLAR, 0) == (spent, held)


async def _client(bench: Bench, chance: random.Random, limit_nano: int) -> type:
    """Ask for one dollar at a random moment; settle at exactly one dollar after everybody has asked."""
    await asyncio.sleep(chance.random() * 0.002)
    ask = bench.ask(DOLLAR)
    answer = await bench.do(ask)
    spent, held = bench.account("member:user_1")
    assert spent + held <= limit_nano
    await asyncio.sleep(0.02)
    if isinstance(answer, Held):
        await bench.do(settle(ask.hold_id, 50_000))
    return type(answer)
