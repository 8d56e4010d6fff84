"""Group commit: what waits together commits together, and everybody hears the outcome."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tokenpool.kernel import group_commit
from tokenpool.kernel.errors import Unavailable, Undecided
from tokenpool.kernel.group_commit import GroupCommit, Statement, Transaction


class Notebook:
    """A store that writes down its batches and may be told to fail."""

    def __init__(self) -> None:
        self.fail: Exception | None = None
        self.commits = 0

    async def run(self, transaction: Callable[[], Transaction[Any]]) -> Any:
        await asyncio.sleep(0)
        if self.fail:
            raise self.fail
        steps = transaction()
        try:
            statements = next(steps)
            while True:
                statements = steps.send([[] for _ in statements])
        except StopIteration as stop:
            self.commits += 1
            return stop.value

    async def read(self, sql: str, row: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        raise AssertionError("not read")


def doubling(seen: list[tuple[str, list[int]]]) -> Callable[[str, list[int]], Transaction[list[int]]]:
    """Return a decision that doubles numbers and writes down its batches."""

    def decide(organization_id: str, operations: list[int]) -> Transaction[list[int]]:
        yield [Statement("select 1", [()])]
        seen.append((organization_id, operations))
        return [2 * number for number in operations]

    return decide


async def test_what_is_submitted_in_one_turn_rides_in_one_commit() -> None:
    """A hundred callers, one commit, a hundred answers in order."""
    seen: list[tuple[str, list[int]]] = []
    store = Notebook()
    commits = GroupCommit(store, doubling(seen))

    answers = await asyncio.gather(*(commits.submit("org_a", n) for n in range(100)))

    assert [2 * n for n in range(100)] == answers
    assert 1 == store.commits


async def test_a_batch_never_mixes_organizations() -> None:
    """One transaction touches one organization."""
    seen: list[tuple[str, list[int]]] = []
    commits = GroupCommit(Notebook(), doubling(seen))

    await asyncio.gather(*(commits.submit(f"org_{n % 2}", n) for n in range(6)))

    assert [("org_0", [0, 2, 4]), ("org_1", [1, 3, 5])] == sorted(seen)


async def test_a_batch_has_at_most_the_agreed_size() -> None:
    """A flood is committed in several batches, so the last caller's answer stays near."""
    seen: list[tuple[str, list[int]]] = []
    commits = GroupCommit(Notebook(), doubling(seen), most=4)

    await asyncio.gather(*(commits.submit("org_a", n) for n in range(10)))

    assert [4, 4, 2] == [len(batch) for _, batch in seen]


async def test_a_failed_commit_is_told_to_everybody_and_the_next_one_works() -> None:
    """Nobody waits for ever, nobody is told yes."""
    store = Notebook()
    commits = GroupCommit(store, doubling([]))
    store.fail = OSError("no space left on device")

    answers = await asyncio.gather(*(commits.submit("org_a", n) for n in range(3)), return_exceptions=True)
    store.fail = None

    assert [Unavailable] * 3 == [type(answer) for answer in answers]
    assert 14 == await commits.submit("org_a", 7)


async def test_a_caller_that_leaves_does_not_undo_the_commit() -> None:
    """Its operation was queued, so it is carried out; the others get their answers."""
    seen: list[tuple[str, list[int]]] = []
    commits = GroupCommit(Notebook(), doubling(seen))
    leaver = asyncio.create_task(commits.submit("org_a", 1))
    stayer = asyncio.create_task(commits.submit("org_a", 2))
    await asyncio.sleep(0)

    leaver.cancel()

    assert 4 == await stayer
    assert [("org_a", [1, 2])] == seen
    with pytest.raises(asyncio.CancelledError):
        await leaver


async def test_nobody_waits_for_the_database_twice() -> None:
    """When a batch of four is not taken, the six behind it hear so at once, and that nothing of theirs was written."""
    store, seen = Notebook(), list[tuple[str, list[int]]]()
    commits = GroupCommit(store, doubling(seen), most=4)
    store.fail = Undecided("The commit was not confirmed.")

    answers = await asyncio.gather(*(commits.submit("org_a", n) for n in range(10)), return_exceptions=True)

    assert [Undecided] * 4 + [Unavailable] * 6 == [type(answer) for answer in answers]
    assert {"The database is away. Nothing was written."} == {str(answer) for answer in answers[4:]}
    store.fail = None
    assert 2 == await commits.submit("org_a", 1)


async def test_under_overload_what_begins_is_shed_and_what_ends_is_not() -> None:
    """Three wait, so the fourth is not admitted; a settlement is, and everybody who waited gets an answer."""
    seen: list[tuple[str, list[int]]] = []
    commits = GroupCommit(Notebook(), doubling(seen), most_waiting=3)
    waiting = [asyncio.ensure_future(commits.admit("org_a", n)) for n in range(3)]
    elsewhere = asyncio.ensure_future(commits.admit("org_b", 7))
    await asyncio.sleep(0)

    with pytest.raises(Unavailable, match="Too many requests of this organization wait"):
        await commits.admit("org_a", 3)
    settled = await commits.submit("org_a", 50)

    assert ([0, 2, 4], 14, 100) == (await asyncio.gather(*waiting), await elsewhere, settled)
    assert 8 == await commits.admit("org_a", 4)


async def spaced(commits: GroupCommit, first: int) -> None:
    """Submit *first* operations at once, and when they are answered one more at every fifth turn of the loop."""
    await asyncio.gather(*(commits.submit("org_a", n) for n in range(first)))
    later = []
    for number in range(first, first + 3):
        for _ in range(5):
            await asyncio.sleep(0)
        later.append(asyncio.create_task(commits.submit("org_a", number)))
    await asyncio.gather(*later)


@pytest.mark.parametrize(
    ("first", "busy_seconds", "batches"),
    [
        (3, 0, [[0, 1, 2], [3], [4], [5]]),
        (4, 0, [[0, 1, 2, 3], [4, 5, 6]]),
        (4, 3_600, [[0, 1, 2, 3], [4], [5], [6]]),
    ],
)
async def test_where_many_came_the_next_ones_ride_together(
    monkeypatch: pytest.MonkeyPatch, first: int, busy_seconds: float, batches: list[list[int]]
) -> None:
    """Behind four in a busy loop the three that follow share a commit; behind three, or in a quick one, none does."""
    monkeypatch.setattr(group_commit, "BUSY_SECONDS", busy_seconds)
    monkeypatch.setattr(group_commit, "GATHER_SECONDS", 0.1)
    seen: list[tuple[str, list[int]]] = []

    await spaced(GroupCommit(Notebook(), doubling(seen)), first)

    assert batches == [operations for _, operations in seen]


async def test_those_who_ask_again_at_once_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight callers in a closed loop, three times: eight again are enough, and no pause of an hour begins."""
    monkeypatch.setattr(group_commit, "BUSY_SECONDS", 0)
    monkeypatch.setattr(group_commit, "GATHER_SECONDS", 3_600)
    seen: list[tuple[str, list[int]]] = []
    commits = GroupCommit(Notebook(), doubling(seen))

    async def caller(number: int) -> None:
        for _ in range(3):
            await commits.submit("org_a", number)

    await asyncio.gather(*map(caller, range(8)))

    assert [8, 8, 8] == [len(operations) for _, operations in seen]
