"""What a public price list says of a model, in our columns; and the lines that say the same in a price file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import NANO_PER_DOLLAR, dollars
from tokenpool.pricing.reading import COLUMNS, NOTHING
from tokenpool.pricing.sheet import Section

MOST_DIGITS = 20
Cells = Mapping[str, int]  # column -> nano-dollars per million tokens; a class without a price is absent


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A price of a list: of a mode, above so many prompt tokens, from a day on (None: since the list knows it)."""

    section: Section
    above: int
    start: date | None
    cells: Cells


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of a list. `obstacle` says why its price cannot be taken over as it is; empty: it can."""

    provider: str
    name: str
    aliases: tuple[str, ...] = ()
    context: int | None = None
    rows: tuple[ListedRow, ...] = ()
    web_search_nano: int | None = None
    obstacle: str = ""
    note: str = ""

    def on(self, day: date) -> dict[Section, dict[int, Cells]]:
        """Return the rows in force on *day*: by mode, by the prompt tokens above which they apply."""
        found: dict[Section, dict[int, Cells]] = {}
        for section in (Section.ROWS, Section.BATCH, Section.FAST):
            begun = [row for row in self.rows if row.section is section and (row.start is None or row.start <= day)]
            latest = max((row.start or date.min for row in begun), default=None)
            if latest is not None:
                found[section] = {row.above: row.cells for row in begun if (row.start or date.min) == latest}
        return found


def nano(amount: object, *, tokens: int = 1) -> int:
    """Return *tokens* times an amount of dollars of a list (a whole number or a Decimal), as nano-dollars.

    Raises:
        InvalidInput: it is no amount, or finer than a nano-dollar.
    """
    if type(amount) is int:
        amount = Decimal(amount)
    if not isinstance(amount, Decimal) or not amount.is_finite() or not -MOST_DIGITS < amount.adjusted() < MOST_DIGITS:
        raise InvalidInput(f"{str(amount)[:40]} is no amount of dollars.")
    with localcontext(prec=4 * MOST_DIGITS):
        found = amount * tokens * NANO_PER_DOLLAR
        if found < 0 or found != int(found):
            raise InvalidInput(f"{str(amount)[:40]} dollars are finer than a nano-dollar, or negative.")
    return int(found)


def cells_text(cells: Cells) -> str:
    """Return the five cells of a row: amounts, or the column whose price a class without one is billed at."""
    texts = []
    for column in COLUMNS:
        if column in cells:
            texts.append(f'"{amount_text(cells[column])}"')
        else:
            one_hour_as_any = column == "cache_write_1h" and "cache_write_5m" in cells
            texts.append("cache_write_5m" if one_hour_as_any else "input")
    return f"[{', '.join(texts)}]"


def amount_text(nano_per_mtok: int) -> str:
    """Return dollars as a price file writes them: 12, 12.50, 0.125."""
    return dollars(nano_per_mtok).removesuffix(".00")


def row_line(
    model: str, start: date, above: int, cells: Cells | None, *, grade: str, source: str, note: str = ""
) -> str:
    """Return the line of a row in a price file; no *cells*: nothing is sold any more."""
    parts = [f"model: {quoted(model)}", f"from: {start.isoformat()}"]
    parts += [f"above: {above}"] if above else []
    parts += [f"price: {NOTHING if cells is None else cells_text(cells)}", f"grade: {grade}", f"source: {source}"]
    parts += [f"note: {note}"] if note else []
    return f"- {{{', '.join(parts)}}}"


def model_line(name: str, context: int | None, aliases: Iterable[str] = ()) -> str:
    """Return the line of a model in a price file."""
    parts = [f"context: {context}"] if context else []
    names = ", ".join(quoted(alias) for alias in aliases)
    parts += [f"aliases: [{names}]"] if names else []
    return f"  {quoted(name)}: {{{', '.join(parts)}}}"


def quoted(name: str) -> str:
    """Return *name* in quotation marks where YAML could take it for something else."""
    plain = name.replace("-", "").replace(".", "").replace("/", "").replace("_", "")
    return name if plain.isalnum() and name[0].isalpha() else f'"{name}"'
