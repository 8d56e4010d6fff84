"""Cost: every worked example to the nano-dollar, and a second computation that shares no code."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.tokens import TOKEN_CLASSES, TokenCounts
from tokenpool.pricing import load
from tokenpool.pricing.cost import rate

VECTORS = yaml.safe_load((Path(__file__).parent / "vectors.yaml").read_text())
BOOK = load.standard()
FILE = yaml.safe_load((load.SHIPPED / "anthropic.yaml").read_text())
tokens = st.integers(0, 10**12)


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


@given(st.lists(tokens, min_size=5, max_size=5), st.integers(0, 4), tokens)
def test_more_tokens_never_cost_less(amounts: list[int], which: int, more: int) -> None:
    """Also across a prompt-length band."""
    price = BOOK.price("claude-haiku-5-5", date(2026, 11, 1))
    larger = [amount + more * (position == which) for position, amount in enumerate(amounts)]

    assert rate(TokenCounts(*amounts), price).total <= rate(TokenCounts(*larger), price).total


def test_halves_go_up_once_and_the_parts_add_up() -> None:
    """Haiku 5.5, batch and US-only: 5.5 + 68.75 nano-dollars are 74.25, and its parts are 5 and 69."""
    price = BOOK.price("claude-haiku-5-5", date(2026, 11, 1))

    half = rate(TokenCounts(cache_read=1), price, batch=True, us_only=True)
    both = rate(TokenCounts(cache_read=1, cache_write_5m=1), price, batch=True, us_only=True)

    assert 6 == half.total
    assert (5, 69, 74) == (both.cache_read, both.cache_write_5m, both.total)


def test_a_second_search_costs_a_cent_more() -> None:
    """Searches stand beside the tokens, without any factor."""
    price = BOOK.price("claude-opus-5", date(2026, 8, 1))

    cost = rate(TokenCounts(web_search_requests=2), price, batch=True, us_only=True)

    assert (20_000_000, 20_000_000) == (cost.web_search, cost.total)
