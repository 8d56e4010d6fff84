"""Free time of tools: what is left is taken off, part by part, and never more than is left."""

from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.allowance import may_have_cost, taken_off
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing.book import HourPrice
from tokenpool.pricing.cost import Cost, time_cost

HOURLY = HourPrice(nano_per_hour=50_000_000, least_seconds=300, free_seconds=5_580_000)


def ran(seconds: int, tokens_nano: int = 0) -> RatedUsage:
    """Return usage of a container for *seconds*, rated as if nothing were free."""
    cost = Cost(input=tokens_nano, code_execution=time_cost(HOURLY, seconds))
    return RatedUsage("m", "m@2026-01-01", TokenCounts(code_execution_seconds=seconds), cost, hourly=HOURLY)


def test_what_is_left_is_taken_off_and_the_rest_is_billed() -> None:
    """An hour with half an hour left costs 25,000,000; the tokens beside it cost what they cost."""
    (part,), used = taken_off([ran(3600, tokens_nano=7)], 5_580_000 - 1800)

    assert (1800, 25_000_007, 5_580_000) == (part.free_seconds, part.cost.total, used)


def test_a_short_use_takes_its_five_minutes_of_free_time() -> None:
    """One second counts 300, free or not."""
    (part,), used = taken_off([ran(1)], 0)

    assert (300, 0, 300) == (part.free_seconds, part.cost.total, used)


def test_usage_without_a_tools_time_passes_as_it_is() -> None:
    """The same object, nothing used."""
    plain = RatedUsage("m", "m@2026-01-01", TokenCounts(1), Cost(5))

    parts, used = taken_off([plain], 17)

    assert (17, True) == (used, parts[0] is plain)


@given(st.lists(st.integers(0, 10**6), max_size=8), st.integers(0, 6_000_000))
def test_never_more_is_free_than_is_left(uses: list[int], used: int) -> None:
    """However the month's uses are cut, the free seconds sum to what was left or to all of them."""
    billed = sum(max(300, seconds) if seconds else 0 for seconds in uses)

    parts, after = taken_off([ran(seconds) for seconds in uses], used)

    assert min(billed, max(0, 5_580_000 - used)) == after - used == sum(part.free_seconds for part in parts)
    assert may_have_cost([ran(seconds) for seconds in uses], sum(part.cost.total for part in parts))


def test_what_a_usage_may_have_cost_lies_between_all_free_and_nothing_free() -> None:
    """7 to 50,000,007 for an hour and 7 nano-dollars of tokens; without time exactly its cost."""
    usage = [ran(3600, tokens_nano=7)]

    assert [False, True, True, False, False] == [
        may_have_cost(usage, nano) for nano in (6, 7, 50_000_007, 50_000_008, None)
    ]
    assert [False, True, False] == [
        may_have_cost([RatedUsage("m", "v", TokenCounts(1), Cost(5))], nano) for nano in (4, 5, 6)
    ]
