"""Reading a price file strictly: a mistake refuses the whole file, with the row, the line and the reason.

Amounts are texts of dollars per million tokens, so no float ever stands between the file and the
integer of nano-dollars. A class that a provider does not price by itself names the column it is billed as.
"""

import re
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import nano_from_decimal_text
from tokenpool.pricing import document
from tokenpool.pricing.book import Factor, HourPrice, Rates
from tokenpool.pricing.document import Lined
from tokenpool.pricing.sheet import ModelFacts, Row, Section, Sheet, Tool, Value

COLUMNS = ["input", "output", "cache_write_5m", "cache_write_1h", "cache_read"]
_TOP = {"provider", "currency", "columns", "sources", "models", *Section}
_MODEL = {"context", "output", "aliases", "retired"}
_DATED = {"from", "until", "grade", "source", "note"}
_HOURLY = {"least_minutes", "free_hours_per_month"}
_NAMES = {
    Section.ROWS: {"model", "above", "price"},
    Section.FAST: {"model", "above", "price"},
    Section.BATCH: {"model", "above", "price"},
    Section.US_ONLY: {"model", "factor"},
    Section.TOOLS: {"model", "tool", "price", *_HOURLY},
}
_OPTIONAL = {"until", "note", "above", *_HOURLY}
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)  # the sign is read so that its refusal can say “negative”
NOTHING = "none"  # in place of a price: not sold from that day on


def read(path: Path) -> Sheet:
    """Read the price file at *path*.

    Raises:
        InvalidInput: naming the file, the row, its line and the reason; nothing of the file is used then.
    """
    return parse(path.name, document.read(path))


def parse(name: str, table: object) -> Sheet:
    """Return the sheet of a document that was read from the file *name*.

    Raises:
        InvalidInput: naming the file, the row, its line and the reason.
    """
    return _Reader(name, table).sheet()


class _Reader:
    """Checks one file part by part, remembering the place for the sentence of a refusal."""

    def __init__(self, name: str, table: object) -> None:
        self.name = name
        self.place = "top level"
        self.table = self._mapping(table, _TOP, required=_TOP - set(Section))

    def sheet(self) -> Sheet:
        if self.table["columns"] != COLUMNS or self.table["currency"] != "USD":
            self._refuse(f"columns must be {', '.join(COLUMNS)} and currency USD")
        provider = self._text(self.table["provider"], "provider")
        self._at("sources")
        self.sources = {
            name: self._text(said, name) for name, said in self._mapping(self.table["sources"], None).items()
        }
        self._at("models")
        self.models = {
            name: self._facts(name, given) for name, given in self._mapping(self.table["models"], None).items()
        }
        rows = [row for section in Section for row in self._rows(section)]
        return Sheet(self.name, provider, self.models, tuple(rows))

    def _facts(self, name: str, given: object) -> ModelFacts:
        self._at(f"models, {name}", given)
        facts = Lined() if given is None else self._mapping(given, _MODEL)
        if not name or "@" in name:  # a version is written model@day
            self._refuse("a model needs a name without “@”")
        retired, aliases = facts.get("retired"), facts.get("aliases", [])
        for size in ("context", "output"):
            if size in facts and (type(facts[size]) is not int or facts[size] < 1):
                self._refuse(f"{size} must be a whole number of tokens")
        if retired is not None and type(retired) is not date:
            self._refuse("retired must be a day like 2026-11-24")
        if not isinstance(aliases, list):
            self._refuse("aliases must be a list")
        names = tuple(self._text(alias, "an alias") for alias in aliases)
        return ModelFacts(facts.get("context"), names, retired, facts.get("output"))

    def _rows(self, section: Section) -> list[Row]:
        given_rows = self.table.get(section) or []
        self._at(section)
        if not isinstance(given_rows, list):
            self._refuse("must be a list of rows")
        found: list[Row] = []
        latest: dict[object, Row] = {}
        for number, given in enumerate(given_rows, start=1):
            self._at(f"{section} {number}", given)
            row = self._row(section, given)
            self._check_after(row, latest.get(row.kind))
            latest[row.kind] = row
            found.append(row)
        return found

    def _row(self, section: Section, given: object) -> Row:
        names = _NAMES[section] | _DATED
        optional = _OPTIONAL | ({"model"} if section is Section.TOOLS else set())
        row = self._mapping(given, names, required=names - optional)
        model = row.get("model", "")
        if "model" in row and self._text(model, "model") not in self.models:
            self._refuse(f"model “{model}” is not listed under models")
        above = row.get("above", 0)
        if type(above) is not int or above < 0:
            self._refuse("above must be a whole number of tokens")
        for name in ("from", "until"):
            if name in row and type(row[name]) is not date:
                self._refuse(f"{name} must be a day like 2026-11-24")
        if row.get("until", date.max) < row["from"]:
            self._refuse("until lies before from")
        if row["grade"] not in ("A", "B", "C"):
            self._refuse("grade must be A, B or C")
        if self._text(row["source"], "source") not in self.sources:
            self._refuse(f"source “{row['source']}” is not listed under sources")
        note = self._text(row["note"], "note") if "note" in row else ""
        tool = self._tool(row) if section is Section.TOOLS else None
        value = self._value(section, tool, row)
        source = self.sources[row["source"]]
        return Row(section, model, above, tool, row["from"], row.get("until"), value, row["grade"], source, note)

    def _check_after(self, row: Row, before: Row | None) -> None:
        """Refuse a row that stands twice, overlaps a bounded one, or comes after a later row of its kind."""
        what = row.model or row.tool
        if before is None:
            return
        if before.start == row.start:
            self._refuse(f"{what} from {row.start} stands twice")
        if before.start > row.start:
            self._refuse(f"{what} from {row.start} must stand before the row from {before.start}")
        if before.until is not None and before.until >= row.start:
            self._refuse(f"{what} from {row.start} overlaps the row until {before.until}")

    def _tool(self, row: Lined) -> Tool:
        if row["tool"] not in set(Tool):
            self._refuse(f"tool must be {' or '.join(Tool)}")
        return Tool(row["tool"])

    def _value(self, section: Section, tool: Tool | None, row: Lined) -> Value | None:
        """Return what the row says, each section in its own form; None when nothing is sold any more."""
        given = row["factor" if section is Section.US_ONLY else "price"]
        if given == NOTHING:
            return None
        if section is Section.US_ONLY:
            return self._factor(given)
        if tool is None:
            return self._rates(given)
        hourly = sorted(_HOURLY & set(row))
        if tool is Tool.WEB_SEARCH:
            if hourly:
                self._refuse(f"{hourly[0]} belongs to tools that are billed by time")
            return self._nano(given)
        for name in _HOURLY:
            if type(row.get(name)) is not int or row[name] < 0:
                self._refuse(f"{name} must be a whole number")
        return HourPrice(self._nano(given), row["least_minutes"] * 60, row["free_hours_per_month"] * 3600)

    def _rates(self, given: object) -> Rates:
        if not isinstance(given, list) or len(given) != len(COLUMNS):
            self._refuse(f"price must have {len(COLUMNS)} amounts")
        found: dict[str, int] = {}
        for column, cell in zip(COLUMNS, given, strict=True):
            billed_as = isinstance(cell, str) and cell in found and cell != "output"
            found[column] = found[cell] if billed_as else self._nano(cell)
        return Rates(**found)

    def _nano(self, amount: object) -> int:
        if not isinstance(amount, str) or not _AMOUNT.fullmatch(amount):
            self._refuse(f'{amount!r} must be a quoted amount of dollars like "12.50"')
        try:
            nano = nano_from_decimal_text(amount, field="price")
        except InvalidInput as error:
            self._refuse(error.message.removesuffix("."))
        if nano == 0:
            self._refuse("a price must not be zero")
        return nano

    def _factor(self, value: object) -> Factor:
        if not isinstance(value, list) or [type(part) for part in value] != [int, int] or min(value) < 1:
            self._refuse(f"factor {value!r} must be two positive whole numbers")
        return (value[0], value[1])

    def _mapping(self, given: object, known: set[str] | None, *, required: set[str] | None = None) -> Lined:
        if not isinstance(given, Lined):
            self._refuse("must be a mapping")
        unknown = sorted(set(given) - known) if known is not None else []
        if unknown:
            self._refuse(f"unknown name “{unknown[0]}”; known are {', '.join(sorted(known or ()))}")
        missing = sorted((required or set()) - set(given))
        if missing:
            self._refuse(f"{missing[0]} is missing")
        return given

    def _text(self, given: Any, name: str) -> str:  # noqa: ANN401 - whatever stands there
        if not isinstance(given, str) or not given.strip():
            self._refuse(f"{name} must be a text")
        return given

    def _at(self, place: str, part: object = None) -> None:
        self.place = f"{place} (line {part.line})" if isinstance(part, Lined) and part.line else place

    def _refuse(self, reason: str) -> NoReturn:
        raise InvalidInput(f"{self.name}, {self.place}: {reason}.", field=self.place)
