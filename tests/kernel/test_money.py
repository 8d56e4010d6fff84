"""Money: exact texts, one rounding, cents that add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import (
    MAX_NANO,
    divide_half_away,
    dollars,
    nano_from_decimal_text,
    parse_dollars,
    spread_cents,
)


@pytest.mark.parametrize(
    ("text", "comma", "nano"),
    [
        ("12.50", False, 12_500_000_000),
        ("12,50", True, 12_500_000_000),
        ("1,250.5", False, 1_250_500_000_000),
        ("1.250,5", True, 1_250_500_000_000),
        (" $3 ", False, 3_000_000_000),
        ("0", False, 0),
        ("0.000000001", False, 1),
    ],
)
def test_amounts_are_read_by_the_locale(text: str, comma: bool, nano: int) -> None:
    """The decimal sign is the reader's; the amount is exact."""
    assert nano == parse_dollars(text, field="amount", decimal_comma=comma)


@pytest.mark.parametrize(
    ("text", "comma", "said"),
    [
        ("12,50", False, "write it like 1,250.50"),
        ("12.50", True, "write it like 1.250,50"),
        ("-1", False, "cannot be negative"),
        ("1e18", False, "largest amount"),
        ("NaN", False, "not an amount"),
        ("Infinity", False, "not an amount"),
        ("", False, "not an amount"),
        ("٣", False, "not an amount"),
        ("0.0000000001", False, "smallest step"),
        ("9223372036.854775808", False, "largest amount"),
        ("1" * 5000, False, "not an amount"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_remedy(text: str, comma: bool, said: str) -> None:
    """Nothing is guessed: a comma in an English amount is not a thousand and not a half."""
    with pytest.raises(InvalidInput, match=said) as refused:
        parse_dollars(text, field="amount", decimal_comma=comma)

    assert "amount" == refused.value.field


def test_dollars_are_exact_and_have_at_least_two_decimals() -> None:
    """The text form loses nothing and reads like money."""
    assert ["0.00", "12.50", "0.001088", "-3.000000001", "9223372036.854775807"] == [
        dollars(n) for n in (0, 12_500_000_000, 1_088_000, -3_000_000_001, MAX_NANO)
    ]


@given(st.integers(0, MAX_NANO))
def test_dollars_read_back_to_the_same_nano(nano: int) -> None:
    """Writing and reading an amount gives the amount."""
    assert nano == nano_from_decimal_text(dollars(nano), field="amount")


@pytest.mark.parametrize(("numerator", "expected"), [(5, 1), (4, 0), (-5, -1), (-4, 0), (15, 2), (-15, -2)])
def test_halves_round_away_from_zero(numerator: int, expected: int) -> None:
    """A credit is the mirror image of a charge."""
    assert expected == divide_half_away(numerator, 10)


def test_cents_go_to_the_largest_remainders() -> None:
    """Three thirds of a dollar give 34, 33 and 33 cents, never 99."""
    assert [34, 33, 33] == spread_cents([333_333_334, 333_333_333, 333_333_333])


@given(st.lists(st.integers(-(10**12), 10**12), max_size=30))
def test_spread_cents_add_up_to_the_rounded_total(parts: list[int]) -> None:
    """Lines sum to the total, and no line is a cent or more away from its exact amount."""
    cents = spread_cents(parts)

    assert divide_half_away(sum(parts), 10_000_000) == sum(cents)
    assert all(abs(cent * 10_000_000 - part) <= 10_000_000 for cent, part in zip(cents, parts, strict=True))
