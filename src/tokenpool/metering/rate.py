"""From what a provider reported to rated parts: each under its own model's price of the pinned day."""

from datetime import date

from tokenpool.kernel.errors import UnknownModel
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.extract import Reported
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing.book import ModelPrice, PriceBook
from tokenpool.pricing.cost import has_unpriced_tool, rate

UNPRICED = "unpriced_model"
UNPRICED_TOOL = "unpriced_tool"


def rate_reported(
    reported: Reported, *, pinned: ModelPrice, book: PriceBook, day: date
) -> tuple[tuple[RatedUsage, ...], str]:
    """Rate every part of *reported*; return the parts and their flags ("" or words).

    A part without a model is the requested model's, at the price *pinned* at admission. A part of
    a model that has no price cannot be refused any more, so it is billed at the pinned price and
    flagged: never free. A tool without a price is flagged; whoever asks for one beforehand is refused.
    Parts at one price are one, unless the price has bands: each prompt has its own.
    """
    found: list[tuple[ModelPrice, TokenCounts]] = []
    flags = [reported.flags] if reported.flags else []
    for model, counts in reported.parts:
        price = pinned
        if model is not None:
            try:
                price = book.price(model, day)
            except UnknownModel:
                flags.append(UNPRICED)
            if price.model == pinned.model:
                price = pinned
        if has_unpriced_tool(counts, price):
            flags.append(UNPRICED_TOOL)
        same = next((i for i, (other, _) in enumerate(found) if other is price and not _has_bands(price)), None)
        if same is None:
            found.append((price, counts))
        else:
            found[same] = (price, found[same][1] + counts)
    return tuple(_rated(price, counts, reported) for price, counts in found), " ".join(dict.fromkeys(flags))


def _has_bands(price: ModelPrice) -> bool:
    return any(len(bands or ()) > 1 for bands in (price.bands, price.fast, price.batch))


def _rated(price: ModelPrice, counts: TokenCounts, reported: Reported) -> RatedUsage:
    fast, batch, us_only = reported.fast and bool(price.fast), reported.batch and bool(price.batch), reported.us_only
    cost = rate(counts, price, batch=batch, us_only=us_only, fast=fast)
    hourly = price.code_execution if counts.code_execution_seconds else None
    return RatedUsage(price.model, price.version, counts, cost, batch, us_only, fast, hourly)
