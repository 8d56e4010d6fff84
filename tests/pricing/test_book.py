"""The price book: by model and day, by alias, by pinned version; what is unknown is refused with its neighbours."""

from datetime import date

import pytest

from tokenpool.kernel.errors import UnknownModel
from tokenpool.pricing import load

BOOK = load.standard()


def test_a_cut_in_mid_month_acts_on_its_day() -> None:
    """Cache reads of Sonnet 5.5 halved on 7 October 2026."""
    versions = [BOOK.price("claude-sonnet-5-5", date(2026, 10, day)) for day in (6, 7)]

    assert [200_000_000, 100_000_000] == [version.band(0).cache_read for version in versions]
    assert ["claude-sonnet-5-5@2026-09-28", "claude-sonnet-5-5@2026-10-07"] == [version.version for version in versions]


def test_a_premium_that_ended_ends_with_its_last_day() -> None:
    """Opus 4.6 above 200,000 prompt tokens cost double until 13 March 2026."""
    prices = [BOOK.price("claude-opus-4-6", date(2026, 3, day)).band(200_001).input for day in (13, 14)]

    assert [10_000_000_000, 5_000_000_000] == prices


def test_aliases_are_the_same_model_and_retired_models_stay_rateable() -> None:
    """An old event can always be rated again."""
    price = BOOK.price("claude-opus-4-1-20250805", date(2026, 11, 1))

    assert ("claude-opus-4-1", date(2026, 8, 5)) == (price.model, price.retired)


def test_a_pinned_version_is_found_again() -> None:
    """What an event stores leads back to its price."""
    price = BOOK.price("claude-fable-5-1", date(2026, 11, 24))

    assert price is BOOK.by_version(price.version)


def test_an_unknown_model_is_refused_with_the_nearest_names() -> None:
    """Never free, and the typo is easy to see."""
    with pytest.raises(UnknownModel, match="claude-opus-5-5"):
        BOOK.price("claude-opus-55", date(2026, 11, 24))


def test_a_very_long_name_is_refused_shortly() -> None:
    """The sentence repeats eighty characters of it at most."""
    with pytest.raises(UnknownModel) as refused:
        BOOK.price("claude-" + "x" * 1_000_000, date(2026, 11, 24))

    assert len(refused.value.message) < 300


def test_a_model_has_no_price_before_its_first_day() -> None:
    """Usage of the day before cannot be priced."""
    with pytest.raises(UnknownModel, match="before 2026-11-09"):
        BOOK.price("claude-fable-5-2", date(2026, 11, 8))
