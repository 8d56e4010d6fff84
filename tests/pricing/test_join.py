"""From sheets to the book: versions by day, what ends, and the operator's rows over the shipped ones."""

from datetime import date

import pytest

from tokenpool.kernel.errors import InvalidInput, UnknownModel
from tokenpool.pricing import document, load, reading
from tokenpool.pricing.book import PriceBook
from tokenpool.pricing.join import join
from tokenpool.pricing.sheet import Sheet

GOOD = (load.SHIPPED / "anthropic.yaml").read_text()
ROW = next(line for line in GOOD.splitlines() if line.startswith("- {model: claude-opus-5-5, from: 2026-09-22"))
OWN = """
provider: anthropic
currency: USD
columns: [input, output, cache_write_5m, cache_write_1h, cache_read]
sources: {contract: our contract}
models:
  claude-opus-5-5: {}
rows:
- {model: claude-opus-5-5, from: 2026-11-01, until: 2026-12-31,
   price: ["3", "15", "3.75", "6", "0.15"], grade: A, source: contract}
"""


def sheet(text: str) -> Sheet:
    """Return the sheet of a file's text."""
    return reading.parse("prices.yaml", document.parse(text, "prices.yaml"))


def book(text: str) -> PriceBook:
    """Return the book of one file."""
    return join([sheet(text)])


def test_a_fast_row_that_comes_later_acts_from_its_own_day() -> None:
    """It makes a version of its own; the day before stays as it was, and so does the day after it ends."""
    fast = (
        "fast:\n- {model: claude-sonnet-5, from: 2026-11-10, until: 2026-11-12, "
        'price: ["4", "20", "5", "8", "0.40"], grade: A, source: pricing}\n'
    )
    changed = book(GOOD.replace("fast:\n", fast))

    found = [changed.price("claude-sonnet-5", date(2026, 11, day)) for day in (9, 10, 12, 13)]

    assert [(), 4_000_000_000, 4_000_000_000, ()] == [price.fast and price.fast[0].rates.input for price in found]
    assert ["06-30", "11-10", "11-10", "11-13"] == [price.version[-5:] for price in found]


@pytest.mark.parametrize("ending", ["until", "none"])
def test_a_price_that_ended_is_no_price(ending: str) -> None:
    """Nothing comes back in its place, whether its last day was known or a row ended it later."""
    earlier = ROW.replace("2026-09-22", "2026-09-01")
    last = ROW.replace("grade: A", "until: 2026-10-31, grade: A")
    if ending == "none":
        last = ROW + "\n- {model: claude-opus-5-5, from: 2026-11-01, price: none, grade: A, source: pricing}"
    changed = book(GOOD.replace(ROW, earlier + "\n" + last))

    assert date(2026, 9, 22) == changed.price("claude-opus-5-5", date(2026, 10, 31)).effective_from
    with pytest.raises(UnknownModel, match="no price after 2026-10-31"):
        changed.price("claude-opus-5-5", date(2026, 11, 1))
    assert "claude-opus-5-5" not in [price.model for price in changed.models(date(2026, 11, 1))]


def test_a_band_can_be_ended_by_a_row() -> None:
    """Haiku 5.5 above 100,000 tokens costs five times as much, until a row says that it does not."""
    row = "- {model: claude-haiku-5-5, from: 2026-12-01, above: 100000, price: none, grade: A, source: pricing}\n"
    changed = book(GOOD.replace("\n# Fast mode", row + "\n# Fast mode"))

    found = [
        changed.price("claude-haiku-5-5", day).band(100_001).input for day in (date(2026, 11, 30), date(2026, 12, 1))
    ]

    assert [500_000_000, 100_000_000] == found


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (ROW, "", "claude-opus-5-5 has no row with a price"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {aliases: [claude-opus-4-8]", "stands twice"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {aliases: [claude-opus-4-0]", "stands twice"),
    ],
)
def test_names_and_models_are_checked_together(before: str, after: str, said: str) -> None:
    """A model without a price, another name that is a model, another name of two models."""
    with pytest.raises(InvalidInput, match=rf"^prices\.yaml, models: .*{said}"):
        book(GOOD.replace(before, after, 1))


def test_an_own_row_stands_over_the_shipped_one_until_it_ends() -> None:
    """Contract price in November and December; list price before and after, fast mode and batch as shipped."""
    found = join([sheet(GOOD)], [sheet(OWN)])

    days = [date(2026, 10, 31), date(2026, 11, 1), date(2026, 12, 31), date(2027, 1, 1)]
    prices = [found.price("claude-opus-5-5", day) for day in days]

    assert [4_000_000_000, 3_000_000_000, 3_000_000_000, 4_000_000_000] == [price.band(0).input for price in prices]
    assert ["@2026-09-22", "@2026-11-01+operator", "@2026-11-01+operator", "@2027-01-01+operator"] == [
        price.version.removeprefix("claude-opus-5-5") for price in prices
    ]
    assert [8_000_000_000] * 4 == [price.fast[0].rates.input for price in prices]
    assert ["our contract", "anthropic"] == [prices[1].source, prices[1].provider]


def test_an_event_pinned_before_the_operator_put_a_price_over_it_finds_its_price() -> None:
    """No day leads to the covered version any more; its events do."""
    backdated = OWN.replace("2026-11-01", "2026-09-01")
    found = join([sheet(GOOD)], [sheet(backdated)])

    assert "claude-opus-5-5@2026-09-22+operator" == found.price("claude-opus-5-5", date(2026, 10, 1)).version
    assert 4_000_000_000 == found.by_version("claude-opus-5-5@2026-09-22").band(0).input


def test_an_own_model_is_priced_like_any_other() -> None:
    """A model that only the operator's provider serves, by its other name too."""
    text = OWN.replace("claude-opus-5-5: {}", "house-model: {context: 8000, aliases: [house]}")
    found = join([sheet(GOOD)], [sheet(text.replace("model: claude-opus-5-5", "model: house-model"))])

    assert "house-model@2026-11-01+operator" == found.price("house", date(2026, 11, 5)).version


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ([OWN, OWN], "stands in another file too"),
        ([OWN.replace("provider: anthropic", "provider: openai")], "is anthropic's, not openai's"),
    ],
)
def test_own_files_do_not_contradict_each_other_or_the_provider(own: list[str], said: str) -> None:
    """One model stands in one of them, and under the provider it has."""
    with pytest.raises(InvalidInput, match=said):
        join([sheet(GOOD)], [sheet(text) for text in own])
