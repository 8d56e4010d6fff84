"""The preview: what the ledger would answer, on both databases, and not a row of it."""

import pytest

from tokenpool.limits.models import Account, Hold, LastRefusal
from tokenpool.limits.operations import Held
from tokenpool.limits.preview import preview
from tokenpool.metering.habit import habit
from tokenpool.pricing.bound import Bound

from .conftest import DOLLAR, NOW, PRICE, Bench, settle


@pytest.mark.parametrize("left_nano", [-1, 0, 999_999, 1_000_000, 30_000_000, 10**11])
async def test_it_decides_as_the_ledger_does_right_after(bench: Bench, left_nano: int) -> None:
    """Granted, clamped or refused, with the same numbers, whichever limit has the least room."""
    spent = bench.ask(DOLLAR)
    await bench.do(spent)
    await bench.do(settle(spent.hold_id, 100))
    await bench.do(bench.ask(5_000_000))
    bench.limit("organization", "pool", 900 * DOLLAR)
    least = bench.limit("member:user_1", "each", 2_000_000 + 5_000_000 + left_nano)
    ask = bench.ask(0, bound=Bound(1_000_000, 20_000_000_000, 2000), clamps=True)
    before = [list(model.objects.values()) for model in (Account, Hold, LastRefusal)]

    found = await preview(bench.store, bench.organization_id, ask)

    assert before == [list(model.objects.values()) for model in (Account, Hold, LastRefusal)]
    answer = await bench.do(ask)
    if isinstance(answer, Held):
        assert isinstance(found.answer, Held)
        assert (answer.amount_nano, answer.max_output, answer.fullest) == (
            found.answer.amount_nano, found.answer.max_output, found.answer.fullest,
        )  # fmt: skip
    else:
        assert (answer, answer.limit, answer.affordable_output) == (  # type: ignore[attr-defined]
            found.answer, found.binding, found.affordable_output,
        )  # fmt: skip
    assert found.binding is not None
    assert (least.id, 2_000_000, 5_000_000, left_nano) == (
        found.binding.limit_id, found.binding.spent_nano, found.binding.held_nano, found.binding.left_nano,
    )  # fmt: skip


async def test_without_limits_everything_passes(bench: Bench) -> None:
    """And all that was asked for would fit."""
    found = await preview(bench.store, bench.organization_id, bench.ask(DOLLAR, bound=Bound(1, 1, 77)))

    assert (None, 77) == (found.binding, found.affordable_output)


async def test_a_habit_is_the_average_of_thirty_days(bench: Bench) -> None:
    """Ten and thirteen tokens are twelve, rounded up; another organization's are nobody's here."""
    for output in (10, 13):
        ask = bench.ask(DOLLAR)
        await bench.do(ask)
        await bench.do(settle(ask.hold_id, output))

    mine = await habit(bench.store, "org_a", "user_1", model=PRICE.model, today=NOW.date())
    theirs = await habit(bench.store, "org_b", "user_1", model=PRICE.model, today=NOW.date())

    assert mine is not None
    assert ("model", 2, 12, None) == (
        mine.basis, mine.requests, mine.expect(100, most_output=50, caches=True).output, theirs,
    )  # fmt: skip
    assert 7 == mine.expect(100, most_output=7, caches=False).output
