"""Reading a price file strictly: a mistake refuses the whole file, with the row, the line and the reason.

Amounts are texts of dollars per million tokens, so no float ever stands between the file and the
integer of nano-dollars.
"""

import re
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import nano_from_decimal_text
from tokenpool.pricing import document
from tokenpool.pricing.book import Band, Factor, ModelPrice, PriceBook, Rates
from tokenpool.pricing.document import Lined

STANDARD = Path(__file__).parent / "prices" / "anthropic.yaml"
COLUMNS = ["input", "output", "cache_write_5m", "cache_write_1h", "cache_read"]
_TOP = {"provider", "currency", "columns", "models", "rows", "fast", "factors", "web_search"}
_ROW = {"model", "from", "until", "price", "grade", "note"}
_BAND_ROW = _ROW | {"above"}
_MODEL = {"context", "aliases", "retired", "us_only"}
_FACTORS = {"batch", "us_only"}
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)  # the sign is read so that its refusal can say “negative”
_Row = dict[str, Any]


@cache
def standard() -> PriceBook:
    """Return the price book the project ships."""
    return load(STANDARD)


def load(path: Path) -> PriceBook:
    """Read the price file at *path*.

    Raises:
        InvalidInput: naming the file, the row, its line and the reason; nothing of the file is used then.
    """
    return _Reader(path.name, document.read(path)).book()


class _Reader:
    """Checks one file part by part, remembering the place for the sentence of a refusal."""

    def __init__(self, name: str, table: object) -> None:
        self.name = name
        self.place = "top level"
        self.table = self._mapping(table, _TOP, required=_TOP - {"fast"})

    def book(self) -> PriceBook:
        table = self.table
        if table["columns"] != COLUMNS or table["currency"] != "USD":
            self._refuse(f"columns must be {', '.join(COLUMNS)} and currency USD")
        self.provider = self._text(table["provider"], "provider")
        self.models = self._models(table["models"])
        self._at("web_search")
        self.search_nano = self._nano(table["web_search"])
        self._at("factors")
        factors = self._mapping(table["factors"], _FACTORS, required=_FACTORS)
        self.factors = {name: self._factor(value) for name, value in factors.items()}
        rows = self._rows("rows", _BAND_ROW)
        fast = self._rows("fast", _ROW)
        self._at("models")
        for model in self.models:
            if not any(row["model"] == model and row["above"] == 0 for row in rows):
                self._refuse(f"{model} has no row with a price")
        starts = sorted({(row["model"], day) for row in [*rows, *fast] for day in _changes(row)})
        prices = [price for model, day in starts if (price := self._price(model, day, rows, fast))]
        return PriceBook(prices, self._aliases())

    def _models(self, given: object) -> dict[str, Lined]:
        self._at("models")
        if not isinstance(given, Lined) or not given:
            self._refuse("must be a mapping of names")
        found: dict[str, Lined] = {}
        for name, value in given.items():
            self._at(f"models, {name}", value)
            facts = found[name] = Lined() if value is None else self._mapping(value, _MODEL)
            if not name or "@" in name:  # a version is written model@day
                self._refuse("a model needs a name without “@”")
            if "context" in facts and (type(facts["context"]) is not int or facts["context"] < 1):
                self._refuse("context must be a whole number of tokens")
            if "retired" in facts and type(facts["retired"]) is not date:
                self._refuse("retired must be a day like 2026-11-24")
            if type(facts.get("us_only", False)) is not bool:
                self._refuse("us_only must be true or false")
            if not isinstance(facts.get("aliases", []), list):
                self._refuse("aliases must be a list")
            for alias in facts.get("aliases", []):
                self._text(alias, "an alias")
        return found

    def _rows(self, section: str, known: set[str]) -> list[_Row]:
        given_rows = self.table.get(section) or []
        self._at(section)
        if not isinstance(given_rows, list):
            self._refuse("must be a list of rows")
        found: list[_Row] = []
        for number, given in enumerate(given_rows, start=1):
            self._at(f"{section} {number}", given)
            row = self._row(given, known)
            self._check_against(row, found)
            found.append(row)
        return found

    def _row(self, given: object, known: set[str]) -> _Row:
        row = dict(self._mapping(given, known, required={"model", "from", "price", "grade"}))
        if self._text(row["model"], "model") not in self.models:
            self._refuse(f"model “{row['model']}” is not listed under models")
        for name in ("from", "until"):
            if name in row and type(row[name]) is not date:
                self._refuse(f"{name} must be a day like 2026-11-24")
        above = row.setdefault("above", 0)
        if type(above) is not int or above < 0:
            self._refuse("above must be a whole number of tokens")
        if not isinstance(row["price"], list) or len(row["price"]) != len(COLUMNS):
            self._refuse(f"price must have {len(COLUMNS)} amounts")
        row["rates"] = Rates(*(self._nano(amount) for amount in row["price"]))
        if row["grade"] not in ("A", "B", "C"):
            self._refuse("grade must be A, B or C")
        if "note" in row:
            self._text(row["note"], "note")
        return row

    def _check_against(self, row: _Row, earlier: list[_Row]) -> None:
        """Refuse a row that stands twice, overlaps a bounded one, or comes after a later row of its kind."""
        same = [other for other in earlier if (other["model"], other["above"]) == (row["model"], row["above"])]
        for other in same:
            if other["from"] == row["from"]:
                self._refuse(f"{row['model']} from {row['from']} stands twice")
            if other["from"] > row["from"]:
                self._refuse(f"{row['model']} from {row['from']} must stand before the row from {other['from']}")
            if other.get("until", date.min) >= row["from"]:
                self._refuse(f"{row['model']} from {row['from']} overlaps the row until {other['until']}")
        if row.get("until", date.max) < row["from"]:
            self._refuse("until lies before from")

    def _price(self, model: str, day: date, rows: list[_Row], fast: list[_Row]) -> ModelPrice | None:
        """Join the rows in force on *day*; None when the model has no price then."""
        bands, facts = _in_force(model, day, rows), self.models[model]
        base = bands.get(0)
        if base is None:
            return None
        fast_row = _in_force(model, day, fast).get(0)
        return ModelPrice(
            model=model,
            version=f"{model}@{day.isoformat()}",
            effective_from=day,
            bands=tuple(Band(above, bands[above]["rates"]) for above in sorted(bands)),
            fast=fast_row["rates"] if fast_row else None,
            us_factor=self.factors["us_only"] if facts.get("us_only") else None,
            batch_factor=self.factors["batch"],
            web_search_nano=self.search_nano,
            context_window=facts.get("context"),
            retired=facts.get("retired"),
            provider=self.provider,
            grade=base["grade"],
            note=base.get("note", ""),
            until=base.get("until"),
        )

    def _aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = {}
        for model, facts in self.models.items():
            self._at(f"models, {model}", facts)
            for alias in facts.get("aliases", []):
                if alias in aliases or alias in self.models:
                    self._refuse(f"alias “{alias}” stands twice")
                aliases[alias] = model
        return aliases

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

    def _mapping(self, given: object, known: set[str], *, required: set[str] | None = None) -> Lined:
        if not isinstance(given, Lined):
            self._refuse("must be a mapping")
        unknown = sorted(set(given) - known)
        if unknown:
            self._refuse(f"unknown name “{unknown[0]}”; known are {', '.join(sorted(known))}")
        missing = sorted((required or set()) - set(given))
        if missing:
            self._refuse(f"{missing[0]} is missing")
        return given

    def _text(self, given: object, name: str) -> str:
        if not isinstance(given, str) or not given.strip():
            self._refuse(f"{name} must be a text")
        return given

    def _at(self, place: str, part: object = None) -> None:
        self.place = f"{place} (line {part.line})" if isinstance(part, Lined) and part.line else place

    def _refuse(self, reason: str) -> NoReturn:
        raise InvalidInput(f"{self.name}, {self.place}: {reason}.", field=self.place)


def _in_force(model: str, day: date, rows: list[_Row]) -> dict[int, _Row]:
    """Return, per band, the row in force on *day*; a row that was replaced does not come back when the next ends."""
    latest = {row["above"]: row for row in rows if row["model"] == model and row["from"] <= day}
    return {above: row for above, row in latest.items() if day <= row.get("until", date.max)}


def _changes(row: _Row) -> list[date]:
    """Return the days on which this row changes the price: its first, and the one after its last."""
    last = row.get("until", date.max)
    return [row["from"], last + timedelta(days=1)] if last < date.max else [row["from"]]
