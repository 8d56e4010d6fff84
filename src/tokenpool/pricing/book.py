"""The price book: dated rates per model, found by model and day or by the version an event was pinned to."""

import difflib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from tokenpool.kernel.errors import UnknownModel

Factor = tuple[int, int]  # numerator, denominator
ONE: Factor = (1, 1)


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens, one explicit figure per token class."""

    input: int
    output: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int


@dataclass(frozen=True, slots=True)
class Band:
    """Rates of a whole request whose prompt exceeds `above` tokens; `until` is the last day, None: open."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Everything a request of one model can be billed at, from `effective_from` (UTC day) on."""

    model: str
    version: str
    effective_from: date
    bands: tuple[Band, ...]  # ascending; the first is above 0
    fast: Rates | None
    us_factor: Factor | None  # None: US-only inference is not sold for this model
    batch_factor: Factor
    web_search_nano: int  # per request
    context_window: int | None
    retired: date | None
    provider: str
    grade: str
    note: str = ""
    until: date | None = None  # the last day of a price that ends

    def band(self, prompt_tokens: int) -> Rates:
        """Return the rates of a request with this many prompt tokens, cache included."""
        found = self.bands[0]
        for band in self.bands:
            if prompt_tokens > band.above:
                found = band
        return found.rates


class PriceBook:
    """All versions of all models; immutable once loaded."""

    def __init__(self, prices: Iterable[ModelPrice], aliases: dict[str, str]) -> None:
        """Take validated *prices* and other names of their models."""
        self._by_version = {price.version: price for price in prices}
        self._aliases = aliases
        self._history: dict[str, list[ModelPrice]] = {}
        for price in sorted(self._by_version.values(), key=lambda price: price.effective_from):
            self._history.setdefault(price.model, []).append(price)

    def price(self, model: str, day: date) -> ModelPrice:
        """Return the price of *model* on *day* (UTC). Retired models stay rateable.

        Raises:
            UnknownModel: no such model (names the nearest known ones), or no price on that day.
        """
        history = self._history.get(self._aliases.get(model, model))
        if history is None:
            raise UnknownModel(self._unknown_sentence(model), field="model")
        position = bisect_right(history, day, key=lambda price: price.effective_from)
        if position == 0:
            first = history[0].effective_from.isoformat()
            raise UnknownModel(f"model: “{model}” has no price before {first}.", field="model")
        found = history[position - 1]
        if found.until is not None and found.until < day:
            raise UnknownModel(f"model: “{model}” has no price after {found.until.isoformat()}.", field="model")
        return found

    def by_version(self, version: str) -> ModelPrice:
        """Return the price that an event was pinned to.

        Raises:
            UnknownModel: this book has no such version.
        """
        found = self._by_version.get(version)
        if found is None:
            raise UnknownModel(f"price version: “{version[:80]}” is not in the price book.", field="price_version")
        return found

    def models(self, day: date) -> list[ModelPrice]:
        """Return every model's price on *day*, newest model first."""
        started = [[price for price in rows if price.effective_from <= day][-1:] for rows in self._history.values()]
        found = [price for latest in started for price in latest if price.until is None or day <= price.until]
        first = {price.model: self._history[price.model][0].effective_from for price in found}
        return sorted(found, key=lambda price: (-first[price.model].toordinal(), price.model))

    def history(self, model: str) -> list[ModelPrice]:
        """Return every version of *model*, oldest first.

        Raises:
            UnknownModel: no such model.
        """
        found = self._history.get(self._aliases.get(model, model))
        if found is None:
            raise UnknownModel(self._unknown_sentence(model), field="model")
        return list(found)

    def _unknown_sentence(self, model: str) -> str:
        known = sorted({*self._history, *self._aliases})
        near = difflib.get_close_matches(model[:80], known, n=3) or known[:3]
        return f"model: “{model[:80]}” has no price, so it cannot be used; the nearest known are {', '.join(near)}."
