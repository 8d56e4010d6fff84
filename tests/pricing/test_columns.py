"""Many events at once: every one of them to the nano-dollar as by itself."""

from array import array
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing import columns, load
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.columns import BLOCK, Costs, Counts, rate_columns
from tokenpool.pricing.cost import rate

BOOK = load.shipped()
VERSIONS = list(BOOK.versions.values())
OPUS = BOOK.price("claude-opus-5-5", date(2026, 11, 24))


def one_by_one(events: list[TokenCounts], price: ModelPrice, **modes: bool) -> list[tuple[int, ...]]:
    """Return what `rate` says of each event: the five classes and their sum."""
    costs = [rate(event, price, **modes)[:5] for event in events]
    return [(*cost, sum(cost)) for cost in costs]


@st.composite
def batches(draw: st.DrawFn) -> tuple[ModelPrice, dict[str, bool], list[TokenCounts]]:
    """Draw a version, a mode of it, and events of all sizes, often at the edge of a band."""
    price = draw(st.sampled_from(VERSIONS))
    edges = st.sampled_from([0, *(band.above + more for band in price.bands for more in (0, 1))])
    count = st.integers(0, 10**12) | st.integers(0, 300_000) | edges
    events = draw(st.lists(st.builds(TokenCounts, count, count, count, count, count), max_size=30))
    modes = {"batch": draw(st.booleans()), "us_only": draw(st.booleans()), "fast": draw(st.booleans())}
    return price, modes, events


@given(batches())
def test_each_costs_what_it_costs_alone(drawn: tuple[ModelPrice, dict[str, bool], list[TokenCounts]]) -> None:
    """Every version, mode and band; whole prices and those that have to be divided."""
    price, modes, events = drawn

    assert one_by_one(events, price, **modes) == list(
        zip(*rate_columns(Counts.of(events), price, **modes), strict=True)
    )


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_blocks_join_without_a_seam(count: int) -> None:
    """The last and the first event of a block are neighbors like all others."""
    events = [TokenCounts(number, 2 * number, 0, number % 7, 3) for number in range(count)]

    assert one_by_one(events, OPUS) == list(zip(*rate_columns(Counts.of(events), OPUS), strict=True))


@pytest.mark.parametrize("count", [2**40 - 1, 2**40, 10**14, -1])
def test_a_number_that_could_leave_its_lane_is_rated_by_itself(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its block goes event by event, the others together; nothing runs over into a neighbor."""
    alone: list[int] = []
    one_each = columns._one_by_one
    monkeypatch.setattr(
        columns, "_one_by_one", lambda block, *rest: (alone.append(len(block.input)), one_each(block, *rest))
    )
    events = [TokenCounts(1, 1, 1, 1, 1)] * BLOCK + [TokenCounts(1), TokenCounts(count), TokenCounts(1)]

    found = rate_columns(Counts.of(events), OPUS)

    assert [4000, 4000 * count, 4000] == list(found.total[-3:])
    assert ([] if count == 2**40 - 1 else [3]) == alone


def test_columns_are_machine_integers() -> None:
    """Eight bytes each, five classes and their total."""
    found = rate_columns(Counts.of([TokenCounts(1)]), OPUS)

    assert (6, {("q", 8)}) == (len(Costs._fields), {(column.typecode, column.itemsize) for column in found})
    assert array("q", [4000]) == found.total
