"""The catalog: list and own price side by side, every change over time, what caching saves."""

from datetime import date

import pytest

from tokenpool.kernel.errors import UnknownModel
from tokenpool.pricing import catalog, load
from tokenpool.pricing.book import Rates
from tokenpool.pricing.catalog import Saving
from tokenpool.pricing.own import NONE, OwnBook, OwnPrices, OwnRow

BOOK = load.standard()
DAY = date(2026, 11, 24)
ROWS = [
    OwnRow("own_1", "all", date(2026, 10, 1), -100_000),
    OwnRow("own_2", "model:claude-sonnet-5-5", date(2026, 11, 1), 0, {"output": 9_000_000_000}),
    OwnRow("own_3", "model:claude-sonnet-5-5", date(2026, 11, 20), ended=True),
]


def test_the_models_of_a_day_are_found_by_name_and_provider() -> None:
    """Case does not matter; what did not exist yet is not there; without own rows the list is the price."""
    book = OwnBook(BOOK, NONE)

    found = catalog.offers(book, DAY, text="Opus-5", provider="anthropic")

    assert ["claude-opus-5-5", "claude-opus-5"] == [offer.listed.model for offer in found]
    assert {False} == {offer.is_own for offer in found}
    assert (
        len(BOOK.models(DAY)) == len(catalog.offers(book, DAY)) > len(catalog.offers(book, DAY, text="anthropic")) > 30
    )
    assert [] == catalog.offers(book, DAY, provider="nobody") + catalog.offers(book, date(2026, 9, 1), text="opus-5-5")


def test_every_change_of_list_and_own_price_is_a_day_of_the_history() -> None:
    """Sonnet 5.5: released, the discount, the cache cut in mid-month, the contract, its end."""
    found = catalog.timeline(OwnBook(BOOK, OwnPrices(ROWS)), "claude-sonnet-5-5")

    priced = [(day, offer.own.bands[0].rates) for day, offer in found]
    assert [
        (date(2026, 9, 28), 10_000_000_000, 200_000_000), (date(2026, 10, 1), 9_000_000_000, 180_000_000),
        (date(2026, 10, 7), 9_000_000_000, 90_000_000), (date(2026, 11, 1), 9_000_000_000, 100_000_000),
        (date(2026, 11, 20), 9_000_000_000, 90_000_000),
    ] == [(day, rates.output, rates.cache_read) for day, rates in priced]  # fmt: skip
    with pytest.raises(UnknownModel, match="has no price"):
        catalog.timeline(OwnBook(BOOK), "nothing")


def test_a_price_has_a_line_per_band_and_mode() -> None:
    """Each with the list's amounts beside the own ones."""
    book = OwnBook(BOOK, OwnPrices(ROWS))
    lines = {
        model: [(line.mode, line.above, line.listed.input, line.own.input) for line in catalog.lines(offer)]
        for model in ("claude-haiku-5-5", "claude-opus-5-5")
        for offer in catalog.offers(book, DAY, text=model, provider="anthropic")
    }

    assert {
        "claude-haiku-5-5": [
            ("standard", 0, 100_000_000, 90_000_000),
            ("standard", 100_000, 500_000_000, 450_000_000),
            ("batch", 0, 50_000_000, 45_000_000),
            ("batch", 100_000, 250_000_000, 225_000_000),
        ],
        "claude-opus-5-5": [
            ("standard", 0, 4 * 10**9, 3_600_000_000),
            ("fast", 0, 8 * 10**9, 7_200_000_000),
            ("batch", 0, 2 * 10**9, 1_800_000_000),
        ],
    } == lines


@pytest.mark.parametrize(
    ("rates", "saved"),
    [
        (Rates(4000, 0, 5000, 8000, 200), Saving(950_000, 1, 2)),  # 1.25 and 2 times the input, read at a twentieth
        (Rates(10_000, 0, 12_500, 20_000, 250), Saving(975_000, 1, 2)),
        (Rates(100, 0, 100, 100, 50), Saving(500_000, 0, 0)),  # writing costs nothing more
        (Rates(100, 0, 125, 200, 90), Saving(100_000, 3, 10)),
        (Rates(100, 0, 100, 100, 100), None),
        (Rates(0, 0, 0, 0, 0), None),
    ],
)
def test_what_caching_saves_is_whole_numbers(rates: Rates, saved: Saving | None) -> None:
    """A write has paid for itself with the read that makes up for it."""
    assert saved == catalog.saving(rates)
