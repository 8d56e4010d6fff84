"""Money as signed integers of nano-dollars (10^-9), and its text forms.

No float and no rounding but the named ones: `divide_half_away` and `spread_cents`.
Decimal appears only where text is read or written.
"""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from tokenpool.kernel.errors import InvalidInput

NANO_PER_DOLLAR = 1_000_000_000
NANO_PER_CENT = 10_000_000
MAX_NANO = 2**63 - 1


def divide_half_away(numerator: int, denominator: int) -> int:
    """Divide integers, rounding half away from zero (credit notes mirror invoices)."""
    quotient, remainder = divmod(abs(numerator), denominator)
    if 2 * remainder >= denominator:
        quotient += 1
    return quotient if numerator >= 0 else -quotient


def parse_dollars(text: str, *, field: str, decimal_comma: bool = False) -> int:
    """Read a non-negative dollar amount and return nano-dollars.

    *decimal_comma* is the reader's locale: `12,50` is twelve and a half only then, and a point
    groups thousands only then.

    Raises:
        InvalidInput: not a number, negative, finer than a nano-dollar, or beyond the range.
    """
    group, point = (".", ",") if decimal_comma else (",", ".")
    cleaned = text.strip().removeprefix("$").strip()
    whole, found, fraction = cleaned.partition(point)
    if group in fraction or not _is_grouped(whole, group):
        raise InvalidInput(
            f"{field}: “{text}” is not an amount; write it like {'1.250,50' if decimal_comma else '1,250.50'}.",
            field=field,
        )
    digits = whole.replace(group, "") + ("." + fraction if found else "")
    return nano_from_decimal_text(digits, field=field)


def _is_grouped(whole: str, group: str) -> bool:
    """Tell whether *whole* has no group separators, or has them after every third digit."""
    if group not in whole:
        return True
    first, *rest = whole.split(group)
    return 1 <= len(first) <= 3 and all(len(part) == 3 for part in rest)  # noqa: PLR2004 - thousands


def nano_from_decimal_text(text: str, *, field: str) -> int:
    """Read a plain decimal string of dollars (`"12.50"`) and return nano-dollars.

    Raises:
        InvalidInput: not a finite number, negative, finer than a nano-dollar, or beyond the range.
    """
    try:
        amount = Decimal(text) if text.isascii() and len(text) <= 40 else None  # noqa: PLR2004
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite():
        raise InvalidInput(f"{field}: “{text[:40]}” is not an amount of dollars; write it like 12.50.", field=field)
    if amount < 0:
        raise InvalidInput(f"{field}: an amount cannot be negative; 0 blocks all spending.", field=field)
    if amount > Decimal(MAX_NANO) / NANO_PER_DOLLAR:
        raise InvalidInput(f"{field}: the largest amount is 9,223,372,036.85 dollars.", field=field)
    nano = amount * NANO_PER_DOLLAR
    if nano != nano.to_integral_value():
        raise InvalidInput(f"{field}: the smallest step is 0.000000001 dollars.", field=field)
    return int(nano)


def dollars(nano: int) -> str:
    """Return the exact dollars of *nano* as a plain decimal string with at least two decimals."""
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO_PER_DOLLAR)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"


def spread_cents(parts_nano: Sequence[int]) -> list[int]:
    """Round the sum of *parts_nano* to cents once and spread it over the parts by largest remainder.

    Returns cents per part; they add up to the rounded total. Ties go to the earlier part.
    """
    total = divide_half_away(sum(parts_nano), NANO_PER_CENT)
    floors = [nano // NANO_PER_CENT for nano in parts_nano]
    missing = total - sum(floors)
    by_remainder = sorted(range(len(floors)), key=lambda i: -(parts_nano[i] % NANO_PER_CENT))
    for i in by_remainder[:missing]:
        floors[i] += 1
    return floors
