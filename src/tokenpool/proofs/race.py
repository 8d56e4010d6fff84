"""The race for the last dollar: processes with many callers each, every level binding in turn, an observer.

Before each race everybody meets another limit at the same place, larger or smaller in turn; it is changed
while nobody asks. Whoever went on with what it knew of limits would let too many pass, or too few.

Some callers begin with a message batch of a few dollars, which is held as a whole or not at all. Whoever
asks for one dollar last must get it while there is one, so the limit is filled to the last.
"""

import asyncio
import random
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tokenpool.kernel import ids
from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import GroupCommit, Store
from tokenpool.limits.kept import Kept
from tokenpool.limits.operations import Held
from tokenpool.proofs import crew, scratch

LEVELS = (
    ("organization", "pool"),
    ("seat_type:chat", "pool"),
    ("seat_type:chat", "each"),
    ("group:grp_1", "pool"),
    ("group:grp_1", "each"),
    ("member:user_1", "each"),
    ("organization", "each"),
)
ASKS, FITTING = 2, 20
BEFORE = (2 * FITTING, FITTING // 2)  # dollars of the limit that everybody has met when the race begins
_MEET = -1  # in the place of a seed
_KEPT = Kept()  # what this process knows of limits
BATCHES = (0, 0, 2, 3)  # dollars asked for as a whole, before the others


@dataclass
class Tally:
    """What a race came to, in dollars. *over_nano* is the largest sum ever seen above a limit."""

    rounds: int = 0
    granted: int = 0
    refused: int = 0
    over_nano: int = 0
    falsely_refused: int = 0
    observations: int = 0
    broken_sums: int = 0

    @property
    def holds(self) -> bool:
        """True when nothing was overspent, falsely refused or summed wrongly."""
        return not (self.over_nano or self.falsely_refused or self.broken_sums)


def racers(address: str, *, mutant: str = "") -> AbstractContextManager[list[Connection]]:
    """Return the processes that race on the database at *address* whenever they are told."""
    return crew.hired(address, race, mutant=mutant)


async def run(store: Store, pipes: list[Connection], seeds: range, *, until_broken: bool = False) -> Tally:
    """Race once per seed, the levels in turn; stop at the first breach when *until_broken*."""
    tally = Tally()
    for seed in seeds:
        await _round(store, pipes, seed, tally)
        if until_broken and not tally.holds:
            break
    return tally


async def _round(store: Store, pipes: list[Connection], seed: int, tally: Tally) -> None:
    scope, basis = LEVELS[seed % len(LEVELS)]
    organization_id, limit_nano = ids.new("org"), FITTING * scratch.DOLLAR
    await scratch.found(store, organization_id)
    await scratch.limit(store, organization_id, scope, basis, BEFORE[seed % len(BEFORE)] * scratch.DOLLAR)
    crew.tell(pipes, organization_id, _MEET)
    for pipe in pipes:
        pipe.recv()
    await scratch.limit(store, organization_id, scope, basis, limit_nano)
    account = scope if basis == "pool" else "member:user_1"
    crew.tell(pipes, organization_id, seed)
    while not crew.done(pipes):
        tally.over_nano = max(tally.over_nano, await _counted(store, organization_id, account) - limit_nano)
        tally.observations += 1
        await asyncio.sleep(0.002)
    granted, refused = (sum(part) for part in zip(*(pipe.recv() for pipe in pipes), strict=True))
    tally.rounds += 1
    tally.granted, tally.refused = tally.granted + granted, tally.refused + refused
    tally.over_nano = max(tally.over_nano, (granted - FITTING) * scratch.DOLLAR, 0)
    tally.falsely_refused += max(0, min(FITTING, granted + refused) - granted)
    tally.broken_sums += len(await scratch.broken_sums(store, organization_id))


async def _counted(store: Store, organization_id: str, account: str) -> int:
    sql = (
        "select spent_nano + held_nano from limits_account where organization_id = ? and scope = ? "
        "and window_key = '2026-11'"
    )
    rows = await store.read(sql, (organization_id, account))
    return int(rows[0][0]) if rows else 0


async def race(store: Store, organization_id: str, seed: int, number: int) -> tuple[int, int]:
    """Ask from many callers at once in this process; return how many dollars were granted and how many were not."""
    commits = scratch.ledger_on(store, _KEPT)
    if seed == _MEET:
        too_much = scratch.ask(ids.new("hold"), 1000 * scratch.DOLLAR, "user_1", "chat", groups=("grp_1",))
        await commits.submit(organization_id, too_much)
        return 0, 0
    chances = [random.Random(seed * 1000 + number * 100 + caller) for caller in range(crew.CALLERS)]  # noqa: S311 - seeded
    found = await asyncio.gather(*(_caller(commits, organization_id, chance) for chance in chances))
    granted, refused = (sum(part) for part in zip(*found, strict=True))
    return granted, refused


async def _caller(commits: GroupCommit, organization_id: str, chance: random.Random) -> tuple[int, int]:
    """Ask again and again; settle what was granted at its whole amount; return the dollars granted and refused."""
    granted = refused = 0
    for dollars in (chance.choice(BATCHES), *[1] * ASKS):
        await asyncio.sleep(chance.random() * 0.004)
        hold_ids = [ids.new("hold") for _ in range(dollars)]
        asks = [scratch.ask(one, scratch.DOLLAR, "user_1", "chat", groups=("grp_1",)) for one in hold_ids]
        if not asks:
            continue
        with suppress(Unavailable):  # a mutant's write may be refused by a constraint; its sums tell of it
            answer = await commits.submit(organization_id, scratch.together(asks) if dollars > 1 else asks[0])
            if not isinstance(answer, Held):
                refused += dollars
                continue
            granted += dollars
            await asyncio.sleep(chance.random() * 0.004)
            ends = [scratch.settle(one, scratch.DOLLAR) for one in hold_ids]
            await asyncio.gather(*(commits.submit(organization_id, end) for end in ends))
    return granted, refused
