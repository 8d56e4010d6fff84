"""Our Anthropic rows against genai-prices' own arithmetic: model by model, class by class, today and in the past."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot

from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing import load
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.cost import rate

TODAY = date(2026, 11, 24)
SNAPSHOT = get_snapshot()
ANTHROPIC = next(provider for provider in SNAPSHOT.providers if provider.id == "anthropic")
TODAYS = [price for price in load.shipped().models(TODAY) if price.provider == "anthropic"]
VERSIONS = [version for price in TODAYS for version in load.shipped().history(price.model)]
MODES = {"batch": {"processing": "batch"}, "fast": {"speed": "fast"}}
PROMPTS = {"short": 10_000, "long": 310_000}
ENDED_BAND = "the band above 200,000 tokens ended with the long-context beta on 2026-04-30; the list keeps it"
CUT = "the list has no dated row of the cut of 2026-10-07"
DIFFERENCES = {  # what is rated, and why the two differ
    ("claude-sonnet-5-5@2026-09-28", "standard", "short"): CUT,
    ("claude-sonnet-5-5@2026-09-28", "standard", "long"): CUT,
    ("claude-sonnet-4-5@2026-05-01", "standard", "long"): ENDED_BAND,
    ("claude-sonnet-4-5@2026-05-01", "batch", "long"): ENDED_BAND,
}
UNKNOWN_THERE = {"claude-mythos-5-1", "claude-mythos-5"}


def theirs(price: ModelPrice, counts: TokenCounts, day: date, mode: str) -> Decimal | None:
    """Return the list's own cost in dollars, None where it has none; its input includes the cache."""
    model = ANTHROPIC.find_model(price.model)
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    context = MODES.get(mode)
    variants = (model.price_variants or ()) if model else ()
    carried = any(one.when == context and (one.constraint is None or one.constraint.active(at)) for one in variants)
    if model is None or (context is not None and not carried):
        return None
    usage = Usage(
        input_tokens=counts.prompt,
        cache_read_tokens=counts.cache_read,
        cache_write_tokens=counts.cache_write_5m + counts.cache_write_1h,
        cache_write_1h_tokens=counts.cache_write_1h,
        output_tokens=counts.output,
    )
    return model.calc_price(usage, ANTHROPIC, genai_request_timestamp=at, price_context=context).total_price


def disagree(price: ModelPrice, day: date, mode: str, prompt: str) -> bool:
    """Tell whether list and book say another amount; no when the list has none."""
    cached = not any(price.model.startswith(name) for name in ("claude-2", "claude-v1"))
    counts = TokenCounts(PROMPTS[prompt], *((20_000, 3_000, 4_000) if cached else (0, 0, 0)), 5_000)
    ours = Decimal(rate(counts, price, fast=mode == "fast", batch=mode == "batch").total).scaleb(-9)
    return theirs(price, counts, day, mode) not in (None, ours)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("price", VERSIONS, ids=lambda price: price.version)
def test_every_version_costs_on_its_first_day_what_the_list_computes(price: ModelPrice, prompt: str) -> None:
    """All five classes, short and long prompts; the only three differences have their reason above."""
    expected = (price.version, "standard", prompt) in DIFFERENCES

    assert expected == disagree(price, price.effective_from, "standard", prompt)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("price", TODAYS, ids=lambda price: price.version)
def test_batches_and_fast_mode_cost_today_what_the_list_computes(price: ModelPrice, mode: str, prompt: str) -> None:
    """Wherever the list has the mode; one difference, with its reason above."""
    expected = (price.version, mode, prompt) in DIFFERENCES

    assert expected == disagree(price, TODAY, mode, prompt)


def test_the_list_lacks_only_these_models() -> None:
    """Mythos 5 and 5.1, which are of limited availability."""
    assert UNKNOWN_THERE == {price.model for price in VERSIONS if ANTHROPIC.find_model(price.model) is None}


def test_the_modes_are_really_compared() -> None:
    """Sixteen models' batches and five models' fast modes are in the list today."""
    counts = TokenCounts(1_000)
    found = {mode: [price for price in TODAYS if theirs(price, counts, TODAY, mode) is not None] for mode in MODES}

    assert {"batch": 16, "fast": 5} == {mode: len(prices) for mode, prices in found.items()}
    assert all(getattr(price, mode) for mode, prices in found.items() for price in prices)
