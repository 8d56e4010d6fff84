"""Reading a price file strictly: a mistake refuses the whole file, with the row and the reason.

Amounts are texts of dollars per million tokens, so no float ever stands between the file and the
integer of nano-dollars.
"""

from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import nano_from_decimal_text
from tokenpool.pricing.book import Band, Factor, ModelPrice, PriceBook, Rates

STANDARD = Path(__file__).parent / "prices" / "anthropic.yaml"
COLUMNS = ["input", "output", "cache_write_5m", "cache_write_1h", "cache_read"]
_TOP = {"provider", "currency", "columns", "models", "rows", "fast", "factors", "web_search"}
_ROW = {"model", "from", "until", "above", "price", "grade", "note"}
_MODEL = {"context", "aliases", "retired", "us_only"}


@cache
def standard() -> PriceBook:
    """Return the price book the project ships."""
    return load(STANDARD)


def load(path: Path) -> PriceBook:
    """Read the price file at *path*.

    Raises:
        InvalidInput: naming the file, the row and the reason; nothing of the file is used then.
    """
    try:
        table = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InvalidInput(f"{path.name}: {error}", field=path.name) from error
    return _Reader(path.name, table).book()


class _Reader:
    """Checks one file row by row."""

    def __init__(self, name: str, table: Any) -> None:  # noqa: ANN401 - what YAML gives is checked here
        self.name = name
        self.place = "top level"
        self.table = self._mapping(table, _TOP)

    def book(self) -> PriceBook:
        table = self.table
        if table.get("columns") != COLUMNS or table.get("currency") != "USD":
            self._refuse(f"columns must be {', '.join(COLUMNS)} and currency USD")
        self.models = {name: self._mapping(facts or {}, _MODEL) for name, facts in table["models"].items()}
        self.search_nano = self._nano(table["web_search"])
        self.factors = {name: self._factor(value) for name, value in table["factors"].items()}
        rows = self._rows("rows")
        fast = {(row["model"], row["from"]): row["rates"] for row in self._rows("fast")}
        starts = sorted({(row["model"], day) for row in rows for day in _changes(row)})
        prices = [self._price(model, day, rows, fast) for model, day in starts if self._in_force(model, day, rows)]
        return PriceBook(prices, self._aliases())

    def _rows(self, section: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for number, given in enumerate(self.table.get(section) or [], start=1):
            self.place = f"{section} {number}"
            row = self._row(given)
            self._check_against(row, found)
            found.append(row)
        return found

    def _row(self, given: Any) -> dict[str, Any]:  # noqa: ANN401 - what YAML gives is checked here
        row = dict(self._mapping(given, _ROW))
        if row.get("model") not in self.models:
            self._refuse(f"model “{row.get('model')}” is not listed under models")
        for name in ("from", "until"):
            if (name == "from" or name in row) and type(row.get(name)) is not date:
                self._refuse(f"{name} must be a day like 2026-11-24")
        above = row.setdefault("above", 0)
        if type(above) is not int or above < 0:
            self._refuse("above must be a whole number of tokens")
        prices = row.get("price")
        if not isinstance(prices, list) or len(prices) != len(COLUMNS):
            self._refuse(f"price must have {len(COLUMNS)} amounts")
        row["rates"] = Rates(*(self._nano(amount) for amount in row["price"]))
        if row.get("grade") not in ("A", "B", "C"):
            self._refuse("grade must be A, B or C")
        return row

    def _check_against(self, row: dict[str, Any], earlier: list[dict[str, Any]]) -> None:
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

    def _in_force(self, model: str, day: date, rows: list[dict[str, Any]]) -> bool:
        return any(row["model"] == model and row["above"] == 0 and _covers(row, day) for row in rows)

    def _price(self, model: str, day: date, rows: list[dict[str, Any]], fast: dict[Any, Rates]) -> ModelPrice:
        """Join the rows in force on *day*: per band the latest one."""
        latest: dict[int, dict[str, Any]] = {}
        for row in rows:
            if row["model"] == model and _covers(row, day):
                latest[row["above"]] = row
        base, facts = latest[0], self.models[model]
        fast_days = [since for name, since in fast if name == model and since <= day]
        return ModelPrice(
            model=model,
            version=f"{model}@{day.isoformat()}",
            effective_from=day,
            bands=tuple(Band(above, latest[above]["rates"]) for above in sorted(latest)),
            fast=fast[model, max(fast_days)] if fast_days else None,
            us_factor=self.factors["us_only"] if facts.get("us_only") else None,
            batch_factor=self.factors["batch"],
            web_search_nano=self.search_nano,
            context_window=facts.get("context"),
            retired=facts.get("retired"),
            provider=self.table["provider"],
            grade=base["grade"],
            note=base.get("note", ""),
        )

    def _aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = {}
        for model, facts in self.models.items():
            for alias in facts.get("aliases", []):
                if alias in aliases or alias in self.models:
                    self._refuse(f"alias “{alias}” stands twice")
                aliases[alias] = model
        return aliases

    def _nano(self, amount: Any) -> int:  # noqa: ANN401 - what YAML gives is checked here
        if not isinstance(amount, str):
            self._refuse(f'{amount!r} must be a quoted amount of dollars like "12.50"')
        try:
            nano = nano_from_decimal_text(amount, field="price")
        except InvalidInput as error:
            self._refuse(error.message)
        if nano == 0:
            self._refuse("a price must not be zero")
        return nano

    def _factor(self, value: Any) -> Factor:  # noqa: ANN401 - what YAML gives is checked here
        if not isinstance(value, list) or [type(part) for part in value] != [int, int] or min(value) < 1:
            self._refuse(f"factor {value!r} must be two positive whole numbers")
        return (value[0], value[1])

    def _mapping(self, given: Any, known: set[str]) -> dict[str, Any]:  # noqa: ANN401 - what YAML gives is checked here
        if not isinstance(given, dict):
            self._refuse("must be a mapping")
        unknown = sorted(set(map(str, given)) - known)
        if unknown:
            self._refuse(f"unknown name “{unknown[0]}”; known are {', '.join(sorted(known))}")
        found: dict[str, Any] = given
        return found

    def _refuse(self, reason: str) -> None:
        raise InvalidInput(f"{self.name}, {self.place}: {reason}.", field=self.place)


def _covers(row: dict[str, Any], day: date) -> bool:
    return bool(row["from"] <= day <= row.get("until", date.max))


def _changes(row: dict[str, Any]) -> list[date]:
    """Return the days on which this row changes the price: its first, and the one after its last."""
    return [row["from"], row["until"] + timedelta(days=1)] if "until" in row else [row["from"]]
