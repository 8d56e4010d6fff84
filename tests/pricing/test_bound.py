"""The bound: no usage within the shape costs more, and what is affordable is exact."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.errors import Unbounded
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing import load
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.bound import Bound, Shape, largest_cost
from tokenpool.pricing.cost import billed_seconds, rate

DAY = date(2026, 11, 24)
BOOK = load.standard()
VERSIONS = [price for model in BOOK.models(DAY) for price in BOOK.history(model.model)]


@st.composite
def usages(draw: st.DrawFn) -> tuple[ModelPrice, Shape, TokenCounts]:
    """Draw a version of a price, a shape, and a usage that lies within it; often at the edge of a band."""
    price = draw(st.sampled_from(VERSIONS))
    edge = st.sampled_from([0, 99_999, 100_000, 100_001, 199_999, 200_000, 200_001])
    parts = draw(st.lists(st.integers(0, 300_000) | edge, min_size=4, max_size=4))
    cache_5m, cache_1h = draw(st.booleans()), draw(st.booleans())
    reads, writes_5m, writes_1h = parts[1], parts[2], parts[3]
    if not (cache_5m or cache_1h):
        reads = writes_5m = 0
    searches = draw(st.integers(0, 20)) if price.web_search_nano else 0
    output = draw(st.integers(0, 128_000))
    counts = TokenCounts(parts[0], reads, writes_5m, writes_1h if cache_1h else 0, output, searches)
    shape = Shape(
        input_tokens=counts.prompt + draw(st.just(0) | st.integers(0, 50_000)),
        max_output=counts.output + draw(st.integers(0, 1_000)),
        cache_5m=cache_5m,
        cache_1h=cache_1h,
        us_only=price.us_factor is not None and draw(st.booleans()),
        fast=bool(price.fast) and draw(st.booleans()),
        fast_possible=draw(st.booleans()),
        web_searches=searches,
    )
    return price, shape, counts


@given(usages())
def test_no_usage_within_the_shape_costs_more_than_the_bound(drawn: tuple[ModelPrice, Shape, TokenCounts]) -> None:
    """Bands, cache classes, factors, searches, and the provider falling back from fast mode."""
    price, shape, counts = drawn

    bound = largest_cost(shape, price).amount()

    assert rate(counts, price, us_only=shape.us_only, fast=shape.fast or shape.fast_possible).total <= bound
    assert rate(counts, price, us_only=shape.us_only, fast=False).total <= bound


@given(usages(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_batch_and_a_tools_time_stay_within_their_bound(
    drawn: tuple[ModelPrice, Shape, TokenCounts], seconds: int, free: int
) -> None:
    """At the batch's own rates, and whatever of the time turns out to be free."""
    price, shape, counts = drawn
    if not price.batch or price.code_execution is None:
        return
    shape = replace(shape, batch=True, fast=False, code_execution_seconds=seconds)
    counts = replace(counts, code_execution_seconds=seconds)
    free = min(free, billed_seconds(price.code_execution, seconds))

    cost = rate(counts, price, batch=True, us_only=shape.us_only, free_seconds=free)

    assert cost.total <= largest_cost(shape, price).amount()


@given(st.integers(0, 10**12), st.integers(1, 10**11), st.integers(0, 10**6), st.integers(0, 10**13))
def test_what_is_affordable_fits_and_one_token_more_does_not(fixed: int, price: int, most: int, left: int) -> None:
    """The answer `affordable_max_tokens` is exact."""
    bound = Bound(fixed, price, most)

    tokens = bound.affordable_output(left)

    assert tokens == 0 or bound.amount(tokens) <= left
    assert tokens == most or bound.amount(tokens + 1) > left


def test_a_prompt_that_can_reach_the_dearer_band_is_bounded_by_it() -> None:
    """Haiku 5.5 costs five times as much above 100,000 prompt tokens."""
    price = BOOK.price("claude-haiku-5-5", DAY)

    bounds = [largest_cost(Shape(tokens, 1_000), price).amount() for tokens in (100_000, 100_001)]

    assert [10_500_000, 52_500_500] == bounds


@pytest.mark.parametrize(
    ("asked", "model", "field"),
    [
        ({"fast": True}, "claude-haiku-4-5", "speed"),
        ({"us_only": True}, "claude-haiku-4-5", "inference_geo"),
        ({"batch": True}, "deepseek-v3.2-exp", "batch"),
        ({"web_searches": 1}, "gemini-3.8-flash", "tools"),
        ({"code_execution_seconds": 1}, "gpt-6-sol", "tools"),
    ],
)
def test_what_has_no_price_is_refused_by_name(asked: dict[str, int], model: str, field: str) -> None:
    """Fast mode, US-only inference, batches, searches and containers, each of a model that does not sell it."""
    with pytest.raises(Unbounded, match=f"^{field}: .* has no price for {model}; leave it out") as refused:
        largest_cost(Shape(100, 100, **asked), BOOK.price(model, DAY))

    assert field == refused.value.field


def test_an_account_whose_default_is_the_us_stays_within_the_bound() -> None:
    """1,000 in and 1,000 out may be reported as US inference unasked: the bound has the factor, 26,400,000 nano."""
    price = load.standard().price("claude-opus-5-5", date(2026, 11, 24))
    counts = TokenCounts(input=1000, output=1000)

    assert largest_cost(Shape(1000, 1000, us_possible=True), price).amount() == rate(counts, price, us_only=True).total
