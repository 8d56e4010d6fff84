"""What the price files say, row by row, as it was released; `python tests/price_release.py` adds new rows to the list.

Only what an amount can depend on stands in a line: grade, source and note may become better.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenpool.pricing import load
from tokenpool.pricing.book import HourPrice, Rates
from tokenpool.pricing.sheet import Row, Sheet

RELEASED = Path(__file__).parent / "pricing" / "released.txt"


def stated(sheets: Iterable[Sheet]) -> list[str]:
    """Return a line per row: provider, section, model, band, tool, first and last day, value in nano-dollars."""
    return [" ".join([sheet.provider, *_words(row)]) for sheet in sheets for row in sheet.rows]


def lost(released: Iterable[str], present: Iterable[str]) -> list[str]:
    """Return the released lines that are not said any more."""
    return sorted(set(released) - set(present))


def _words(row: Row) -> list[str]:
    until = row.until.isoformat() if row.until else "-"
    place = [row.section, row.model or "*", str(row.above), row.tool or "-", row.start.isoformat(), until]
    return [*place, *_amounts(row)]


def _amounts(row: Row) -> list[str]:
    value = row.value
    if isinstance(value, Rates):
        return [
            str(amount)
            for amount in (value.input, value.output, value.cache_write_5m, value.cache_write_1h, value.cache_read)
        ]
    if isinstance(value, HourPrice):
        return [str(value.nano_per_hour), str(value.least_seconds), str(value.free_seconds)]
    if isinstance(value, tuple):
        return [str(part) for part in value]
    return ["none" if value is None else str(value)]


def main() -> None:
    """Write the list: what was released stays, what is new is added."""
    released = RELEASED.read_text().splitlines() if RELEASED.exists() else []
    new = [line for line in stated(load.shipped_sheets()) if line not in set(released)]
    RELEASED.write_text("\n".join([*released, *new]) + "\n")
    print(f"{len(new)} rows added")  # noqa: T201 - it is run by hand


if __name__ == "__main__":
    main()
