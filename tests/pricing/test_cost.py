"""Cost: every worked example to the nano-dollar, and a second computation that shares no code."""

from dataclasses import astuple
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.money import MAX_NANO, divide_half_away
from tokenpool.kernel.tokens import TOKEN_CLASSES, TokenCounts
from tokenpool.pricing import load
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.cost import rate, rates_for

VECTORS = yaml.safe_load((Path(__file__).parent / "vectors.yaml").read_text())
BOOK = load.standard()
FILE = yaml.safe_load((load.SHIPPED / "anthropic.yaml").read_text())
VERSIONS = list(BOOK.versions.values())
tokens = st.integers(0, 10**12)


@st.composite
def usages(draw: st.DrawFn) -> tuple[ModelPrice, dict[str, bool], list[int]]:
    """Draw a version, a mode of it, and a usage, often at the edge of a band."""
    price = draw(st.sampled_from(VERSIONS))
    edges = st.sampled_from([band.above + more for band in price.bands for more in (0, 1)])
    amounts = draw(st.lists(tokens | st.integers(0, 300_000) | edges, min_size=5, max_size=5))
    modes = {
        "us_only": price.us_factor is not None and draw(st.booleans()),
        "fast": bool(price.fast) and draw(st.booleans()),
        "batch": bool(price.batch) and draw(st.booleans()),
    }
    return price, modes, [*amounts, draw(st.integers(0, 10**6))]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['case']} {v.get('model', '')} {v['day']}")
def test_worked_examples_cost_what_was_computed_by_hand(vector: dict[str, Any]) -> None:
    """Thirteen cases, bands, factors and iterations included."""
    parts = vector.get("iterations") or [vector]
    total = sum(
        rate(
            TokenCounts(**part["usage"]),
            BOOK.price(part["model"], vector["day"]),
            batch=vector.get("batch", False),
            us_only=vector.get("inference_geo") == "us",
            fast=vector.get("speed") == "fast",
        ).total
        for part in parts
    )

    assert Decimal(vector["usd"]) == Decimal(total).scaleb(-9)


@given(st.lists(tokens, min_size=5, max_size=5), st.booleans(), st.booleans())
def test_a_second_computation_in_decimal_agrees(amounts: list[int], batch: bool, us_only: bool) -> None:
    """Straight from the file's texts, with another arithmetic."""
    row = next(r for r in FILE["rows"] if r["model"] == "claude-opus-5-5")
    by_class = dict(zip(FILE["columns"], row["price"], strict=True))
    counts = dict(zip(TOKEN_CLASSES, amounts, strict=True))
    dollars = sum(Decimal(count) * Decimal(by_class[name]) for name, count in counts.items()) / Decimal(1_000_000)
    dollars *= Decimal("0.5") if batch else 1
    dollars *= Decimal("1.1") if us_only else 1

    found = rate(TokenCounts(**counts), BOOK.price("claude-opus-5-5", date(2026, 11, 1)), batch=batch, us_only=us_only)

    assert int((dollars * 10**9).to_integral_value(ROUND_HALF_UP)) == found.total


@given(usages(), st.integers(0, 5), tokens)
def test_more_never_costs_less(drawn: tuple[ModelPrice, dict[str, bool], list[int]], which: int, more: int) -> None:
    """Of any class or of searches, in every mode of every version, also across a prompt-length band."""
    price, modes, amounts = drawn
    larger = [amount + more * (position == which) for position, amount in enumerate(amounts)]

    assert rate(TokenCounts(*amounts), price, **modes).total <= rate(TokenCounts(*larger), price, **modes).total


@given(usages(), st.integers(0, 100))
def test_split_events_add_up_within_a_band(drawn: tuple[ModelPrice, dict[str, bool], list[int]], percent: int) -> None:
    """Two halves cost the whole, but for the nano-dollar that each rounding may move; at list price not even that."""
    price, modes, amounts = drawn
    one = [amount * percent // 100 for amount in amounts]
    parts = TokenCounts(*one), TokenCounts(*(amount - part for amount, part in zip(amounts, one, strict=True)))
    whole = TokenCounts(*amounts)
    rates = {rates_for(price, each.prompt, fast=modes["fast"], batch=modes["batch"]) for each in (*parts, whole)}
    costs = [rate(each, price, **modes).total for each in (*parts, whole)]

    if len(rates) == 1:
        assert abs(costs[0] + costs[1] - costs[2]) <= 1
    if len(rates) == 1 and not modes["us_only"] and not any(value % 10**6 for value in astuple(rates.pop())):
        assert costs[0] + costs[1] == costs[2]


def test_a_split_across_a_band_is_cheaper() -> None:
    """200,000 prompt tokens of Haiku 5.5 cost 100,000,000 nano-dollars at once and 20,000,000 in halves."""
    price = BOOK.price("claude-haiku-5-5", date(2026, 11, 1))

    assert (100_000_000, 20_000_000) == (
        rate(TokenCounts(200_000), price).total,
        2 * rate(TokenCounts(100_000), price).total,
    )


@pytest.mark.parametrize("price", VERSIONS, ids=lambda price: price.version)
def test_a_million_million_tokens_of_each_class_fit(price: ModelPrice) -> None:
    """In the dearest mode of every version the exact cost is within the range of an amount."""
    counts = TokenCounts(*[10**12] * 5, 10**6)
    modes = [{}, {"fast": True}, {"batch": True}, {"us_only": True, "fast": True}]

    found = [rate(counts, price, **mode) for mode in modes]

    assert max(cost.total for cost in found) <= MAX_NANO
    for cost in found:
        assert cost.total == sum(cost)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**9))
def test_rounding_is_symmetric(numerator: int, denominator: int) -> None:
    """A credit note takes back exactly what the invoice had, halves away from zero."""
    assert divide_half_away(-numerator, denominator) == -divide_half_away(numerator, denominator)
    assert abs(divide_half_away(numerator, denominator) * denominator - numerator) * 2 <= denominator


def test_halves_go_up_once_and_the_parts_add_up() -> None:
    """Haiku 5.5, batch and US-only: 5.5 + 68.75 nano-dollars are 74.25, and its parts are 5 and 69."""
    price = BOOK.price("claude-haiku-5-5", date(2026, 11, 1))

    half = rate(TokenCounts(cache_read=1), price, batch=True, us_only=True)
    both = rate(TokenCounts(cache_read=1, cache_write_5m=1), price, batch=True, us_only=True)

    assert 6 == half.total
    assert (5, 69, 74) == (both.cache_read, both.cache_write_5m, both.total)


@pytest.mark.parametrize(
    ("seconds", "free", "nano"),
    [
        (0, 0, 0),
        (1, 0, 4_166_667),  # five minutes at least: 4,166,666.67
        (300, 0, 4_166_667),
        (301, 0, 4_180_556),
        (3600, 0, 50_000_000),
        (3600, 3600, 0),
        (3600, 1800, 25_000_000),
        (1, 300, 0),
        (31 * 86_400, 0, 37_200_000_000),
    ],
)
def test_a_container_costs_five_cents_an_hour(seconds: int, free: int, nano: int) -> None:
    """Five minutes at least, free time for nothing, beside the tokens and without any factor."""
    price = BOOK.price("claude-opus-5", date(2026, 8, 1))
    counts = TokenCounts(input=1_000, code_execution_seconds=seconds)

    found = [rate(counts, price, free_seconds=free, **mode) for mode in ({}, {"batch": True, "us_only": True})]

    assert [(nano, 5_000_000 + nano), (nano, 2_750_000 + nano)] == [(cost.code_execution, cost.total) for cost in found]


def test_a_second_search_costs_a_cent_more() -> None:
    """Searches stand beside the tokens, without any factor."""
    price = BOOK.price("claude-opus-5", date(2026, 8, 1))

    cost = rate(TokenCounts(web_search_requests=2), price, batch=True, us_only=True)

    assert (20_000_000, 20_000_000) == (cost.web_search, cost.total)
