"""From what a provider reported to rated parts, each under its own model's price; and what an event costs again."""

from datetime import date

from tokenpool.kernel.errors import UnknownModel
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.extract import Reported
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.cost import Cost, has_unpriced_tool, rate
from tokenpool.pricing.own import Prices

UNPRICED = "unpriced_model"
UNPRICED_TOOL = "unpriced_tool"


def rate_reported(
    reported: Reported, *, pinned: ModelPrice, book: Prices, day: date
) -> tuple[tuple[RatedUsage, ...], str]:
    """Rate every part of *reported*; return the parts and their flags ("" or words).

    A part without a model is the requested model's, at the price *pinned* at admission. A part of
    a model that has no price cannot be refused any more, so it is billed at the pinned price and
    flagged: never free. A tool without a price is flagged; whoever asks for one beforehand is refused.
    Parts at one price are one, unless the price has bands: each prompt has its own.
    """
    found: list[tuple[ModelPrice, TokenCounts]] = []
    strays: list[tuple[ModelPrice, TokenCounts]] = []  # of models without a price: by themselves, to be corrected
    flags = [reported.flags] if reported.flags else []
    for model, counts in reported.parts:
        price = _price(model, pinned=pinned, book=book, day=day)
        if price is None:
            flags.append(UNPRICED)
            strays.append((pinned, counts))
        elif not _has_bands(price) and (same := [i for i, (other, _) in enumerate(found) if other is price]):
            found[same[0]] = (price, found[same[0]][1] + counts)
        else:
            found.append((price, counts))
    flags += [UNPRICED_TOOL for price, counts in found + strays if has_unpriced_tool(counts, price)]
    return tuple(_rated(price, counts, reported) for price, counts in found + strays), " ".join(dict.fromkeys(flags))


def _price(model: str | None, *, pinned: ModelPrice, book: Prices, day: date) -> ModelPrice | None:
    """Return the price of a part, None when its model has none on that day."""
    if model is None:
        return pinned
    try:
        price = book.price(model, day)
    except UnknownModel:
        return None
    return pinned if price.model == pinned.model else price


def _has_bands(price: ModelPrice) -> bool:
    return any(len(bands or ()) > 1 for bands in (price.bands, price.fast, price.batch))


def _rated(price: ModelPrice, counts: TokenCounts, reported: Reported) -> RatedUsage:
    fast, batch, us_only = reported.fast and bool(price.fast), reported.batch and bool(price.batch), reported.us_only
    cost = rate(counts, price, batch=batch, us_only=us_only, fast=fast)
    hourly = price.code_execution if counts.code_execution_seconds else None
    return RatedUsage(price.model, price.version, counts, cost, batch, us_only, fast, hourly)


def rate_event(event: UsageEvent, price: ModelPrice) -> Cost:
    """Return what the usage of a stored event costs under *price*; what was free of it stays free.

    Usage that was taken back costs what it did, negative.
    """
    counts = TokenCounts(
        event.input_tokens,
        event.cache_read_tokens,
        event.cache_write_5m_tokens,
        event.cache_write_1h_tokens,
        event.output_tokens,
        event.web_search_requests,
        event.code_execution_seconds,
    )
    modes = {"batch": event.batch, "us_only": event.us_only, "fast": event.fast}
    if counts.prompt < 0 or counts.output < 0:
        return Cost(*(-nano for nano in rate(-counts, price, **modes, free_seconds=-event.code_execution_free_seconds)))
    return rate(counts, price, **modes, free_seconds=event.code_execution_free_seconds)
