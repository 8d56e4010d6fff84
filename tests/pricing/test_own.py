"""Own prices: which row decides, exact amounts, versions that rate the same for ever."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.errors import InvalidInput, UnknownModel
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing import load, own
from tokenpool.pricing.bound import Shape, largest_cost
from tokenpool.pricing.cost import rate
from tokenpool.pricing.own import OwnBook, OwnPrices, OwnRow

BOOK = load.standard()
DAY = date(2026, 11, 24)
MODELS = [price.model for price in BOOK.models(DAY)]
DOLLAR = 1_000_000_000


def row(number: int, scope: str, day: str, ppm: int = 0, *, ended: bool = False, **amounts: int) -> OwnRow:
    """Return a row whose id sorts by *number*."""
    return OwnRow(f"own_{number:026d}", scope, date.fromisoformat(day), ppm, amounts, ended)


def test_without_own_rows_the_price_is_the_lists() -> None:
    """The same object, the same version."""
    assert BOOK.price("claude-opus-5-5", DAY) is OwnBook(BOOK, own.NONE).price("claude-opus-5-5", DAY)


def test_the_narrowest_scope_decides_and_an_ended_row_leaves_it_to_the_wider() -> None:
    """The model before its provider before all; a row counts from its day on."""
    book = OwnBook(
        BOOK,
        OwnPrices(
            [
                row(1, "all", "2026-11-01", 100_000),
                row(2, "provider:anthropic", "2026-11-05", -100_000),
                row(3, "model:claude-opus-5-5", "2026-11-10", -500_000),
                row(4, "model:claude-opus-5-5", "2026-11-20", ended=True),
            ]
        ),
    )
    days = {
        "2026-10-31": "4.00",
        "2026-11-04": "4.40",
        "2026-11-05": "3.60",
        "2026-11-19": "2.00",
        "2026-11-20": "3.60",
    }

    found = {day: book.price("claude-opus-5-5", date.fromisoformat(day)).bands[0].rates.input for day in days}

    assert {day: int(Decimal(dollars) * DOLLAR) for day, dollars in days.items()} == found


def test_of_one_day_the_row_added_last_decides_and_a_later_day_outlasts_it() -> None:
    """Rows are never edited: a correction is one more row."""
    rows = [
        row(1, "all", "2026-11-01", -100_000),
        row(2, "all", "2026-11-15", -200_000),
        row(3, "all", "2026-11-01", -300_000),
    ]
    found = OwnPrices(rows)
    listed = BOOK.price("claude-opus-5-5", DAY)

    decided = [found.row_for(listed, date(2026, 11, day)) for day in (14, 15)]

    assert [rows[2], rows[1]] == decided


def test_a_contract_names_what_it_changes_and_the_rest_follows_the_row() -> None:
    """Bands, fast mode, batches and tools have names of their own; the factors stay the list's."""
    contract = row(1, "model:claude-haiku-5-5", "2026-11-01", -100_000, input=90_000_000, web_search=5_000_000)
    contract.amounts["above_100000.output"] = 2 * DOLLAR  # type: ignore[index]

    price = own.own_price(BOOK.price("claude-haiku-5-5", DAY), contract)

    assert {
        "input": 90_000_000, "output": 450_000_000, "cache_write_5m": 112_500_000, "cache_write_1h": 180_000_000,
        "cache_read": 9_000_000, "above_100000.input": 450_000_000, "above_100000.output": 2 * DOLLAR,
        "above_100000.cache_write_5m": 562_500_000, "above_100000.cache_write_1h": 900_000_000,
        "above_100000.cache_read": 45_000_000, "batch.input": 45_000_000, "batch.output": 225_000_000,
        "batch.cache_write_5m": 56_250_000, "batch.cache_write_1h": 90_000_000, "batch.cache_read": 4_500_000,
        "batch.above_100000.input": 225_000_000, "batch.above_100000.output": 1_125_000_000,
        "batch.above_100000.cache_write_5m": 281_250_000, "batch.above_100000.cache_write_1h": 450_000_000,
        "batch.above_100000.cache_read": 22_500_000, "web_search": 5_000_000, "code_execution": 45_000_000,
    } == own.components(price)  # fmt: skip
    assert ("claude-haiku-5-5@2026-10-07+" + "0" * 25 + "1", (11, 10)) == (price.version, price.us_factor)


def test_fast_mode_has_its_own_components() -> None:
    """A contract on the standard price leaves fast mode at list."""
    listed = BOOK.price("claude-opus-5-5", DAY)

    price = own.own_price(listed, row(1, "model:claude-opus-5-5", "2026-11-01", input=3 * DOLLAR))

    assert (3 * DOLLAR, listed.fast) == (price.bands[0].rates.input, price.fast)
    assert 8 * DOLLAR == own.components(price)["fast.input"]


@given(st.integers(1, 10**13), st.integers(own.LEAST_PPM, own.MOST_PPM))
def test_an_amount_is_rounded_once_half_away_from_zero(listed_nano: int, ppm: int) -> None:
    """A second computation with Decimal agrees to the nano-dollar."""
    exact = Decimal(listed_nano) * (own.PARTS + ppm) / own.PARTS

    found = own._amount(listed_nano, "input", row(1, "all", "2026-11-01", ppm))

    assert int(exact.quantize(Decimal(1), ROUND_HALF_UP)) == found


@given(
    st.sampled_from(MODELS), st.integers(own.LEAST_PPM, own.MOST_PPM),
    st.lists(st.integers(0, 400_000), min_size=5, max_size=5),
)  # fmt: skip
def test_a_version_rates_the_same_for_ever_and_within_its_bound(model: str, ppm: int, parts: list[int]) -> None:
    """Later rows of every scope do not move what was pinned."""
    counts = TokenCounts(*parts)
    first = OwnBook(BOOK, OwnPrices([row(1, "all", "2026-11-01", ppm)]))
    later = OwnBook(
        BOOK,
        OwnPrices(
            [*first.own.rows, row(2, "all", "2026-11-01", 7), row(3, f"model:{model}", "2026-11-01", ended=True)]
        ),
    )
    pinned = first.price(model, DAY)
    shape = Shape(counts.prompt, counts.output, cache_5m=True, cache_1h=True)

    again = later.by_version(pinned.version)

    assert rate(counts, pinned) == rate(counts, again)
    assert pinned.version != later.price(model, DAY).version
    assert rate(counts, pinned).total <= largest_cost(shape, pinned).amount()


def test_a_version_of_nobodys_rows_is_refused() -> None:
    """The list's versions answer, everybody else's do not."""
    book = OwnBook(BOOK, OwnPrices([row(1, "all", "2026-11-01", 5)]))

    assert "claude-opus-5-5@2026-09-22" == book.by_version("claude-opus-5-5@2026-09-22").version
    for version in ("claude-opus-5-5@2026-09-22+" + "0" * 25 + "2", "nothing@2026-09-22+" + "0" * 25 + "1"):
        with pytest.raises(UnknownModel, match="is not in the price book"):
            book.by_version(version)


@pytest.mark.parametrize(
    ("text", "ppm"),
    [("-15", -150_000), ("+2.5", 25_000), ("0", 0), ("0.0001", 1), ("-99", -990_000), ("900", 9_000_000)],
)
def test_a_percentage_is_exact(text: str, ppm: int) -> None:
    """Parts per million."""
    assert ppm == own.ppm_from_percent(text)


@pytest.mark.parametrize(
    "text", ["", "-", "15%", "1e2", "NaN", "-99.0001", "900.0001", "0.00001", "1,5", " 5", "٣", "--5", "9" * 400, "5\n"]
)
def test_what_is_no_percentage_is_refused(text: str) -> None:
    """By name, whatever was sent."""
    with pytest.raises(InvalidInput, match="percent: "):
        own.ppm_from_percent(text)


@pytest.mark.parametrize(
    ("amounts", "said"),
    [
        ({"inputs": "3"}, "has no component “inputs”; it has input, output"),
        ({"above_100000.input": "3"}, "has no component"),
        ({"input": "0"}, "input: a price must not be zero"),
        ({"input": "-1"}, "input: an amount cannot be negative"),
        ({"fast.output": "1e400"}, "fast.output: "),
        ({"input": "0.0000000001"}, "input: the smallest step"),
    ],
)
def test_what_is_no_contract_amount_is_refused(amounts: dict[str, str], said: str) -> None:
    """The component and the remedy are named."""
    with pytest.raises(InvalidInput, match=said):
        own.checked_amounts(amounts, "model:claude-opus-5-5", [BOOK.price("claude-opus-5-5", DAY)])


def test_a_scope_is_one_model_one_provider_or_all() -> None:
    """Other names lead to the model's own; what is not in the book is refused."""
    alias = own.scope_of(model="claude-haiku-4-5-20251001", provider="", book=BOOK, day=DAY)
    assert ("model:claude-haiku-4-5", 1) == (alias[0], len(alias[1]))
    scope, listed = own.scope_of(model="", provider="anthropic", book=BOOK, day=DAY)
    assert ("provider:anthropic", {"anthropic"}) == (scope, {price.provider for price in listed})
    assert "all" == own.scope_of(model="", provider="", book=BOOK, day=DAY)[0]
    for given_, said in (
        ({"model": "gpt", "provider": ""}, "has no price"),
        ({"model": "", "provider": "nobody"}, "provider: there is no “nobody”"),
        ({"model": "claude-opus-5", "provider": "anthropic"}, "not both"),
    ):
        with pytest.raises(InvalidInput, match=said):
            own.scope_of(**given_, book=BOOK, day=DAY)
