"""An organization's own prices: markup or discount on the list, and contract amounts per component. Pure.

One row decides: the one for the model, else for its provider, else for all models; of one scope the
row that began last. The price it gives has a version that names the list's row and the own row, and
both never change, so what was pinned to it rates the same for ever.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Protocol

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import divide_half_away, nano_from_decimal_text
from tokenpool.pricing.book import Band, Bands, ModelPrice, PriceBook, Rates

PARTS = 1_000_000  # a markup is in parts per million of the list price: 0.0001 % is the smallest step
LEAST_PPM, MOST_PPM = -990_000, 9_000_000
ALL = "all"
COMPONENTS = tuple(each.name for each in fields(Rates))
WEB_SEARCH = "web_search"  # per search
CODE_EXECUTION = "code_execution"  # per hour
_PERCENT = re.compile(r"[+-]?\d{1,3}(\.\d{1,4})?", re.ASCII)


class Prices(Protocol):
    """What rating needs of a price book: the list itself, or the list as one organization sees it."""

    def price(self, model: str, day: date) -> ModelPrice:
        """Return the price of *model* on *day* (UTC)."""
        ...

    def by_version(self, version: str) -> ModelPrice:
        """Return the price that an event was pinned to."""
        ...


@dataclass(frozen=True, slots=True)
class OwnRow:
    """From `effective_from` on: the list price of a scope times 1 + `ppm` / 10^6, but `amounts` where named.

    A scope reads `all`, `provider:anthropic` or `model:claude-opus-5-5`. `amounts` are nano-dollars
    per million tokens by component (`output`, `fast.input`, `batch.output`, `above_100000.cache_read`),
    per search for `web_search`, per hour for `code_execution`. A row that has ended leaves its scope to
    the wider one.
    """

    id: str
    scope: str
    effective_from: date
    ppm: int = 0
    amounts: Mapping[str, int] = field(default_factory=dict)
    ended: bool = False


class OwnPrices:
    """The own rows of one organization; immutable once made."""

    def __init__(self, rows: Iterable[OwnRow] = ()) -> None:
        """Take all *rows* ever added; those with the same scope and day count in the order of their ids."""
        self.rows = tuple(sorted(rows, key=lambda row: (row.effective_from, row.id)))
        self._by_suffix = {_suffix(row): row for row in self.rows}
        self._by_scope: dict[str, list[OwnRow]] = {}
        for row in self.rows:
            self._by_scope.setdefault(row.scope, []).append(row)
        self._made: dict[str, tuple[ModelPrice, ModelPrice]] = {}  # by version: what was listed, what it became

    def row_for(self, listed: ModelPrice, day: date) -> OwnRow | None:
        """Return the row that decides the price of *listed*'s model on *day*, None at list price."""
        return next((row for scope in scopes_of(listed) if (row := self.standing(scope, day))), None)

    def standing(self, scope: str, day: date) -> OwnRow | None:
        """Return the row of one scope that stands on *day*; None if there is none, or it has ended."""
        rows = self._by_scope.get(scope, ())
        begun = bisect_right(rows, day, key=lambda row: row.effective_from)
        return rows[begun - 1] if begun and not rows[begun - 1].ended else None

    def on(self, listed: ModelPrice, day: date) -> ModelPrice:
        """Return the organization's price where the list says *listed*, on *day*."""
        row = self.row_for(listed, day) if self.rows else None
        return listed if row is None else self._priced(listed, row)

    def of_version(self, version: str, book: PriceBook) -> ModelPrice:
        """Return the price of a *version* of the list's or of these rows.

        Raises:
            UnknownModel: neither has it.
        """
        listed, plus, suffix = version.rpartition("+")
        row = self._by_suffix.get(suffix) if plus else None
        return book.by_version(version) if row is None else self._priced(book.by_version(listed), row)

    def _priced(self, listed: ModelPrice, row: OwnRow) -> ModelPrice:
        version = _version(listed, row)
        known = self._made.get(version)
        if known is None or known[0] is not listed:  # another book may stand since
            known = self._made[version] = (listed, own_price(listed, row))
        return known[1]


NONE = OwnPrices()


@dataclass(frozen=True, slots=True)
class OwnBook:
    """The price book as one organization sees it: its own prices where it has some, else the list."""

    book: PriceBook
    own: OwnPrices = NONE

    def price(self, model: str, day: date) -> ModelPrice:
        """Return what *model* costs this organization on *day*.

        Raises:
            UnknownModel: the list has no price for it on that day.
        """
        return self.own.on(self.book.price(model, day), day)

    def by_version(self, version: str) -> ModelPrice:
        """Return the price that an event was pinned to.

        Raises:
            UnknownModel: neither the list nor this organization has such a version.
        """
        return self.own.of_version(version, self.book)


def own_price(listed: ModelPrice, row: OwnRow) -> ModelPrice:
    """Return *listed* as *row* makes it; each amount is rounded once, half away from zero.

    Factors, bands, free time of tools and what is sold stay the list's.
    """

    def bands(found: Bands, mode: str) -> Bands:
        return tuple(Band(band.above, Rates(**_own_rates(band, mode, row))) for band in found)

    hourly = listed.code_execution
    return replace(
        listed,
        version=_version(listed, row),
        bands=bands(listed.bands, ""),
        fast=bands(listed.fast, "fast."),
        batch=bands(listed.batch, "batch."),
        web_search_nano=None if listed.web_search_nano is None else _amount(listed.web_search_nano, WEB_SEARCH, row),
        code_execution=hourly and replace(hourly, nano_per_hour=_amount(hourly.nano_per_hour, CODE_EXECUTION, row)),
    )


def components(price: ModelPrice) -> dict[str, int]:
    """Return every amount of *price* by the name that a contract calls it, in nano-dollars."""
    modes = {"": price.bands, "fast.": price.fast, "batch.": price.batch}
    found = {
        f"{_prefix(band, mode)}{name}": getattr(band.rates, name)
        for mode, bands in modes.items()
        for band in bands
        for name in COMPONENTS
    }
    if price.web_search_nano is not None:
        found[WEB_SEARCH] = price.web_search_nano
    if price.code_execution is not None:
        found[CODE_EXECUTION] = price.code_execution.nano_per_hour
    return found


def scopes_of(price: ModelPrice) -> tuple[str, str, str]:
    """Return the scopes a model belongs to, narrowest first."""
    return (f"model:{price.model}", f"provider:{price.provider}", ALL)


def ppm_from_percent(text: str, *, field: str = "percent") -> int:
    """Read a percentage like `-15` or `2.5` and return parts per million.

    Raises:
        InvalidInput: no number, finer than 0.0001 %, or outside -99 to 900.
    """
    if not _PERCENT.fullmatch(text):
        raise InvalidInput(f"{field}: “{text[:20]}” is not a percentage; write it like -15 or 2.5.", field=field)
    ppm = nano_from_decimal_text(text.lstrip("+-"), field=field) // 100_000 * (-1 if text.startswith("-") else 1)
    if not LEAST_PPM <= ppm <= MOST_PPM:
        raise InvalidInput(f"{field}: must lie between -99 (a discount) and 900 (a markup).", field=field)
    return ppm


def checked_amounts(given: Mapping[str, str], scope: str, listed: Sequence[ModelPrice]) -> dict[str, int]:
    """Read contract amounts in dollars by component, for the one model that *scope* must then be.

    Raises:
        InvalidInput: more than a model, a component that it has not, zero, or no amount.
    """
    if given and not scope.startswith("model:"):
        raise InvalidInput("prices: amounts are per model; give a model, or a percentage alone.", field="prices")
    known, found = components(listed[0]), {}
    for name, text in given.items():
        if name not in known:
            sentence = f"prices: {listed[0].model} has no component “{name[:40]}”; it has {', '.join(known)}."
            raise InvalidInput(sentence, field="prices")
        found[name] = nano_from_decimal_text(text, field=name)
        if found[name] == 0:
            raise InvalidInput(f"{name}: a price must not be zero.", field=name)
    return found


def scope_of(*, model: str, provider: str, book: PriceBook, day: date) -> tuple[str, list[ModelPrice]]:
    """Return the scope of *model*, else of *provider*, else of all models, and the list prices it decides on *day*.

    Raises:
        UnknownModel: a model without a price. InvalidInput: both are given, or a provider without any model.
    """
    if model and provider:
        raise InvalidInput("model: give a model or a provider, not both.", field="model")
    if model:
        listed = book.price(model, day)
        return f"model:{listed.model}", [listed]
    models = book.models(day)
    found = [price for price in models if provider in ("", price.provider)]
    if not found:
        known = ", ".join(sorted({price.provider for price in models}))
        raise InvalidInput(f"provider: there is no “{provider[:40]}”; the book has {known}.", field="provider")
    return (f"provider:{provider}" if provider else ALL), found


def supposed(
    *, book: PriceBook, day: date, model: str = "", provider: str = "", percent: str = "0", amounts: Mapping[str, str]
) -> OwnRow:
    """Return a row that nobody has agreed on, checked as if it were to begin on *day*; it counts on every day.

    Raises:
        InvalidInput, UnknownModel: no such model, provider or component; no percentage; amounts without a model.
    """
    scope, listed = scope_of(model=model, provider=provider, book=book, day=day)
    checked = checked_amounts(amounts, scope, listed)
    return OwnRow(f"own_{scope}", scope, date.min, ppm_from_percent(percent), checked)


def _amount(listed_nano: int, name: str, row: OwnRow) -> int:
    named = row.amounts.get(name)
    return divide_half_away(listed_nano * (PARTS + row.ppm), PARTS) if named is None else named


def _own_rates(band: Band, mode: str, row: OwnRow) -> dict[str, int]:
    prefix = _prefix(band, mode)
    return {name: _amount(getattr(band.rates, name), prefix + name, row) for name in COMPONENTS}


def _prefix(band: Band, mode: str) -> str:
    return f"{mode}above_{band.above}." if band.above else mode


def _version(listed: ModelPrice, row: OwnRow) -> str:
    return f"{listed.version}+{_suffix(row)}"


def _suffix(row: OwnRow) -> str:
    return row.id.rpartition("_")[2]
