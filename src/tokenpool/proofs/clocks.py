"""A clock that is set by a day, forward and back, in the middle of everything: limits, windows and leases hold.

Every verdict is predicted from sums in dictionaries: by the window of each hold's own admission, by
the limit that was set last, and with every hold that has not ended, however its lease looks.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tokenpool.kernel import clock, ids
from tokenpool.kernel.group_commit import Statement, Store, Transaction
from tokenpool.limits.operations import Extend, Held, Lose
from tokenpool.proofs import scratch

WINDOWS = {"month": "%Y-%m", "week": "%G-W%V", "day": "%Y-%m-%d"}
MOVES = (timedelta(days=1), timedelta(days=-1), timedelta(hours=1), timedelta(0), timedelta(0))
_LIMIT = (
    'insert into limits_spendlimit (organization_id, scope, basis, "window", id, state, amount_nano, exception, '
    "set_at, set_by, reason) values (?, 'organization', 'pool', ?, ?, 'amount', ?, ?, ?, 'a proof', '')"
)


@dataclass
class Steps:
    """What came of a run."""

    steps: int = 0
    granted: int = 0
    wrong: int = 0  # verdicts that the sums do not explain
    freed: int = 0  # holds that were not as they had been left
    doubled: int = 0  # ids
    broken_sums: int = 0

    @property
    def holds(self) -> bool:
        """True when every verdict was right and every hold is as it was left."""
        return not (self.wrong or self.freed or self.doubled or self.broken_sums)


@dataclass
class _Books:
    """What has been done, as plainly as can be."""

    standing: dict[str, int] = field(default_factory=dict)  # by window
    newest: dict[str, str] = field(default_factory=dict)
    open: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    ended: dict[str, tuple[datetime, int]] = field(default_factory=dict)

    def has_room(self, nano: int, at: datetime) -> bool:
        taken = [*self.open.values(), *self.ended.values()]
        return all(
            nano + sum(one for admitted, one in taken if admitted.strftime(form) == at.strftime(form)) <= limit
            for window, form in WINDOWS.items()
            if (limit := self.standing.get(window)) is not None
        )


async def run(store: Store, steps: int, seed: int, *, ids_by_the_clock_alone: bool = False) -> Steps:
    """Hold, settle, lose, extend and set limits *steps* times while the clock is set; perhaps with a mistake."""
    dice, books, found, now = random.Random(seed), _Books(), Steps(), scratch.NOON  # noqa: S311 - seeded
    organization_id = ids.new("org")
    await scratch.found(store, organization_id)
    for _ in range(steps):
        now += dice.choice(MOVES) + timedelta(microseconds=1)
        with clock.standing_at(now):
            if dice.random() < 0.15:  # noqa: PLR2004
                await _limit(store, organization_id, books, dice, follows=not ids_by_the_clock_alone)
            else:
                await _step(store, organization_id, books, dice, found)
    rows = await store.read("select id, state from limits_hold where organization_id = ?", (organization_id,))
    states: dict[str, str] = dict(rows)
    found.steps += steps
    found.freed += sum(states.get(one) not in ("reserved", "in_doubt") for one in books.open)
    found.freed += sum(states.get(one) != "settled" for one in books.ended)
    found.doubled += found.granted - len(books.open) - len(books.ended)
    found.broken_sums += len(await scratch.broken_sums(store, organization_id))
    return found


async def _limit(store: Store, organization_id: str, books: _Books, dice: random.Random, *, follows: bool) -> None:
    """Set a limit up or down, with an id that follows the standing one's, as `limits/caps` does."""
    window, nano = dice.choice(list(WINDOWS)), dice.randrange(4, 40) * scratch.DOLLAR
    limit_id = ids.new("spl", after=books.newest.get(window, "") if follows else "")
    row = (organization_id, window, limit_id, nano, False, str(clock.now()))

    def added() -> Transaction[None]:
        yield [Statement(_LIMIT, [row]), Statement(scratch.LIMITS_CHANGED, [(organization_id,)])]

    await store.run(added)
    books.standing[window], books.newest[window] = nano, limit_id


async def _step(store: Store, organization_id: str, books: _Books, dice: random.Random, found: Steps) -> None:
    commits, now = scratch.ledger_on(store), clock.now()
    kind = dice.choice(("hold", "hold", "settle", "lose", "extend"))
    if kind == "hold":
        hold_id, nano = ids.new("hold"), dice.randrange(1, 4) * scratch.DOLLAR // 4
        answer = await commits.submit(organization_id, scratch.ask(hold_id, nano, "user_1", "chat", now))
        found.wrong += isinstance(answer, Held) != books.has_room(nano, now)
        if isinstance(answer, Held):
            found.granted += 1
            books.open[hold_id] = (now, nano)
    elif books.open:
        hold_id = dice.choice(list(books.open))
        if kind == "lose":
            await commits.submit(organization_id, Lose(hold_id, now))
        elif kind == "extend":
            await commits.submit(organization_id, Extend(hold_id, now + timedelta(seconds=30)))
        else:
            admitted, nano = books.open.pop(hold_id)
            await commits.submit(organization_id, scratch.settle(hold_id, nano // 2, now))
            books.ended[hold_id] = (admitted, nano // 2)
