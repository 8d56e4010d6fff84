"""The managed setting `modelPricing` of Claude Code: its cost figures then agree with the organization's own prices.

As its settings reference has it: `multiplier` scales every cost; a row of `overrides` has all four
rates in dollars per million tokens and is charged as written, one rate for both cache writes. It is
honored from managed settings alone.
"""

from datetime import date

from tokenpool.kernel.money import dollars
from tokenpool.pricing.own import PARTS, OwnBook, OwnRow

PROVIDER = "anthropic"
_COLUMNS = {"input": "input", "output": "output", "cacheRead": "cache_read", "cacheWrite": "cache_write_5m"}


def model_pricing(book: OwnBook, day: date) -> str:
    """Return the JSON text for *day*; "" where every model costs what the list says.

    One percentage for all models is a multiplier, which keeps what a row of overrides loses: fast
    mode, US-only inference, the price of a one-hour cache write. Anything else is a row for each
    model with an own price.
    """
    sold = [price for price in book.book.models(day) if price.retired is None or price.retired > day]
    listed = [price for price in sold if price.provider == PROVIDER]
    rows = [book.own.row_for(price, day) for price in listed]
    first = next((row for row in rows if row), None)
    if first is None:
        return ""
    if not first.amounts and all(row is first for row in rows):
        return f'{{\n  "modelPricing": {{\n    "multiplier": {_multiplier(first)}\n  }}\n}}'
    told = []
    for price, row in zip(listed, rows, strict=True):
        if row is not None:
            rates = book.own.on(price, day).bands[0].rates
            columns = ", ".join(f'"{name}": {dollars(getattr(rates, column))}' for name, column in _COLUMNS.items())
            told.append(f'      "{price.model}": {{{columns}}}')
    return '{\n  "modelPricing": {\n    "overrides": {\n' + ",\n".join(told) + "\n    }\n  }\n}"


def _multiplier(row: OwnRow) -> str:
    whole, rest = divmod(PARTS + row.ppm, PARTS)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
