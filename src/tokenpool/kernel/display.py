"""Money and counts as people read them, by language: `$1,234.50` in English, `1.234,50 $` in Italian."""

from decimal import Decimal

from babel.numbers import format_decimal

from tokenpool.kernel.money import NANO_PER_CENT, divide_half_away

_MICRO = 1_000


def money_text(nano: int, language: str) -> str:
    """Return dollars with two decimals; below a cent as many digits as needed, at most six."""
    if nano and abs(nano) < NANO_PER_CENT:
        amount, pattern = Decimal(divide_half_away(nano, _MICRO)).scaleb(-6), "#,##0.00####"
    else:
        amount, pattern = Decimal(divide_half_away(nano, NANO_PER_CENT)).scaleb(-2), "#,##0.00"
    sign = "-" if amount < 0 else ""
    digits = format_decimal(abs(amount), format=pattern, locale=language)
    return f"{sign}{digits} $" if language.startswith("it") else f"{sign}${digits}"


def count_text(count: int, language: str) -> str:
    """Return a whole number with the language's thousands."""
    return format_decimal(count, locale=language)
