"""What people and machines look up: every model's list price beside the organization's own, on a day and over time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from tokenpool.kernel.errors import UnknownModel
from tokenpool.pricing.book import Bands, ModelPrice, Rates
from tokenpool.pricing.own import PARTS, OwnBook, scopes_of


@dataclass(frozen=True, slots=True)
class Offer:
    """A model's list price and the organization's; the same object where it has no own price."""

    listed: ModelPrice
    own: ModelPrice

    @property
    def is_own(self) -> bool:
        """True where the organization has an own price."""
        return self.own is not self.listed


@dataclass(frozen=True, slots=True)
class Line:
    """One row of amounts of a price: the standard mode or another, for prompts above so many tokens."""

    mode: str  # standard, fast, batch
    above: int
    listed: Rates
    own: Rates


@dataclass(frozen=True, slots=True)
class Saving:
    """What a cache read saves of plain input (parts per million), and with how many reads a write pays for itself."""

    read_ppm: int
    reads_5m: int
    reads_1h: int


def offers(book: OwnBook, day: date, *, text: str = "", provider: str = "") -> list[Offer]:
    """Return the models with a price on *day*, newest first; *text* is looked for in model and provider."""
    wanted = text.lower()
    found = [
        price
        for price in book.book.models(day)
        if provider in ("", price.provider) and (wanted in price.model.lower() or wanted in price.provider.lower())
    ]
    return [Offer(price, book.own.on(price, day)) for price in found]


def timeline(book: OwnBook, model: str) -> list[tuple[date, Offer]]:
    """Return every day on which the list price or the own price of *model* changed, with both; oldest first.

    Raises:
        UnknownModel: no such model.
    """
    history = book.book.history(model)
    scopes = set(scopes_of(history[-1]))
    first = history[0].effective_from
    days = {price.effective_from for price in history}
    days |= {row.effective_from for row in book.own.rows if row.scope in scopes and row.effective_from > first}
    found: list[tuple[date, Offer]] = []
    for day in sorted(days):
        try:
            listed = book.book.price(model, day)
        except UnknownModel:  # it had ended
            continue
        offer = Offer(listed, book.own.on(listed, day))
        if not found or found[-1][1] != offer:
            found.append((day, offer))
    return found


def modes(price: ModelPrice) -> dict[str, Bands]:
    """Return the prompt-length bands of every mode that is sold: the standard one, fast mode, batches."""
    every = {"standard": price.bands, "fast": price.fast, "batch": price.batch}
    return {mode: bands for mode, bands in every.items() if bands}


def lines(offer: Offer) -> Iterator[Line]:
    """Yield the amounts of an offer, mode by mode and band by band."""
    own = modes(offer.own)
    for mode, bands in modes(offer.listed).items():
        for listed, mine in zip(bands, own[mode], strict=True):
            yield Line(mode, listed.above, listed.rates, mine.rates)


def saving(rates: Rates) -> Saving | None:
    """Return what caching saves at *rates*; None where a read costs no less than plain input."""
    saved = rates.input - rates.cache_read
    if saved <= 0:
        return None
    reads = [-(-max(0, write - rates.input) // saved) for write in (rates.cache_write_5m, rates.cache_write_1h)]
    return Saving(saved * PARTS // rates.input, *reads)
