"""The price book: dated rates per model, found by model and day or by the version an event was pinned to."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from tokenpool.kernel.errors import UnknownModel
from tokenpool.pricing.nearest import Nearest

Factor = tuple[int, int]  # numerator, denominator
ONE: Factor = (1, 1)
TOKENS_PER_PRICE = 1_000_000
_LONGEST_NAME = 80  # of a model, as it is repeated in a sentence


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
    """Rates of a whole request whose prompt exceeds `above` tokens.

    `whole` are the same rates in nano-dollars per token, in the order of `TOKEN_CLASSES`, where all five
    are whole numbers, as list prices are: then nothing has to be divided.
    """

    above: int
    rates: Rates
    whole: tuple[int, int, int, int, int] | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        rates = self.rates
        five = (rates.input, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h, rates.output)
        one, two, three, four, last = (rate // TOKENS_PER_PRICE for rate in five)
        exact = not any(rate % TOKENS_PER_PRICE for rate in five)
        object.__setattr__(self, "whole", (one, two, three, four, last) if exact else None)


Bands = tuple[Band, ...]  # ascending; the first is above 0. Empty: not sold


@dataclass(frozen=True, slots=True)
class HourPrice:
    """A server tool that is billed by time: each use at least so long, some of it free per organization and month."""

    nano_per_hour: int
    least_seconds: int
    free_seconds: int


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """Everything a request of one model can be billed at, from `effective_from` (UTC day) on."""

    model: str
    version: str
    effective_from: date
    bands: Bands
    fast: Bands
    batch: Bands
    us_factor: Factor | None  # None: US-only inference is not sold for this model
    web_search_nano: int | None  # per request; None: no price
    code_execution: HourPrice | None
    context_window: int | None
    longest_output: int | None  # of one answer, when a request names no limit of its own
    retired: date | None
    provider: str
    grade: str
    source: str
    note: str = ""
    until: date | None = None  # the last day of a price that ends

    def band(self, prompt_tokens: int) -> Rates:
        """Return the standard rates of a request with this many prompt tokens, cache included."""
        return rates_in(self.bands, prompt_tokens)


def _billed(price: ModelPrice) -> tuple[object, ...]:
    """Return all of *price* that an amount can depend on."""
    return (price.bands, price.fast, price.batch, price.us_factor, price.web_search_nano, price.code_execution)


def band_in(bands: Bands, prompt_tokens: int) -> Band:
    """Return the band that a prompt of this many tokens falls into."""
    found = bands[0]
    for band in bands:
        if prompt_tokens > band.above:
            found = band
    return found


def rates_in(bands: Bands, prompt_tokens: int) -> Rates:
    """Return the rates of the band that a prompt of this many tokens falls into."""
    return band_in(bands, prompt_tokens).rates


class PriceBook:
    """All versions of all models; immutable once loaded."""

    def __init__(
        self, prices: Iterable[ModelPrice], aliases: dict[str, str], *, covered: Iterable[ModelPrice] = ()
    ) -> None:
        """Take validated *prices* and other names of their models.

        *covered* are versions over which the operator has put prices of their own: no day leads to
        them any more, the events pinned to them still do.
        """
        current = list(prices)
        self.versions = {price.version: price for price in [*covered, *current]}
        self._aliases = aliases
        self._history: dict[str, list[ModelPrice]] = {}
        for price in sorted(current, key=lambda price: price.effective_from):
            self._history.setdefault(price.model, []).append(price)
        self._nearest = Nearest({*self._history, *aliases})

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
        found = self.versions.get(version)
        if found is None:
            raise UnknownModel(f"price version: “{version[:80]}” is not in the price book.", field="price_version")
        return found

    def model_of(self, name: str) -> str | None:
        """Return the model that *name* means, itself or by another name; None: it is unknown."""
        found = self._aliases.get(name, name)
        return found if found in self._history else None

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

    def changed_since(self, older: "PriceBook", today: date) -> list[str]:
        """Return the versions of *older* that have begun by *today* and are missing here, or cost something else."""
        return sorted(
            version
            for version, price in older.versions.items()
            if price.effective_from <= today
            and (version not in self.versions or _billed(price) != _billed(self.versions[version]))
        )

    def nearest(self, name: str) -> list[str]:
        """Return the known names most like *name*, the nearest first."""
        return self._nearest.to(name[:_LONGEST_NAME])

    def _unknown_sentence(self, model: str) -> str:
        near = ", ".join(self.nearest(model))
        return f"model: “{model[:_LONGEST_NAME]}” has no price, so it cannot be used; the nearest known are {near}."
