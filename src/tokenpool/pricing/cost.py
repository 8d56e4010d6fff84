"""What usage costs: exact integers, one rounding per event, parts that add up to the whole."""

from typing import NamedTuple

from tokenpool.kernel.money import divide_half_away
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing.book import (
    ONE,
    TOKENS_PER_PRICE,
    Bands,
    HourPrice,
    ModelPrice,
    Rates,
    band_in,
    rates_in,
)

SECONDS_PER_HOUR = 3600


class Cost(NamedTuple):
    """Nano-dollars per token class and per server tool; the parts sum to the total."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    web_search: int = 0
    code_execution: int = 0

    @property
    def total(self) -> int:
        """The cost of the event."""
        return sum(self)


def rates_for(price: ModelPrice, prompt_tokens: int, *, fast: bool = False, batch: bool = False) -> Rates:
    """Return the rates of a request: the batch's or fast mode's own where they are sold, by the prompt's length.

    A mode without a price is billed as standard; whoever asks for it beforehand is refused by the bound.
    """
    return rates_in(bands_for(price, fast=fast, batch=batch), prompt_tokens)


def bands_for(price: ModelPrice, *, fast: bool, batch: bool) -> Bands:
    """Return the bands of a mode, the standard ones where it has no price."""
    return (price.batch if batch else price.fast if fast else ()) or price.bands


def billed_seconds(hourly: HourPrice, seconds: int) -> int:
    """Return how long a use of *seconds* counts: at least the least time, if it was used at all."""
    return max(seconds, hourly.least_seconds) if seconds else 0


def time_cost(hourly: HourPrice, seconds: int, free_seconds: int = 0) -> int:
    """Return what a use of *seconds* costs in nano-dollars, *free_seconds* of it for nothing; rounded by itself."""
    return divide_half_away((billed_seconds(hourly, seconds) - free_seconds) * hourly.nano_per_hour, SECONDS_PER_HOUR)


def rate(
    counts: TokenCounts,
    price: ModelPrice,
    *,
    batch: bool = False,
    us_only: bool = False,
    fast: bool = False,
    free_seconds: int = 0,
) -> Cost:
    """Return the exact cost of *counts* under *price*, in nano-dollars; *free_seconds* of its tool's time are free.

    Sum of tokens x rate x factor, divided once, half away from zero; at list price nothing is
    ever rounded. What rounding leaves over goes to the parts with the largest remainders.
    """
    band = band_in(bands_for(price, fast=fast, batch=batch), counts.prompt)
    seconds, hourly = counts.code_execution_seconds, price.code_execution
    search_nano = counts.web_search_requests * (price.web_search_nano or 0)
    time_nano = time_cost(hourly, seconds, free_seconds) if seconds and hourly else 0
    if band.whole is None or (us_only and price.us_factor):
        top, bottom = (price.us_factor or ONE) if us_only else ONE
        return Cost(*divided(counts, band.rates, top, bottom * TOKENS_PER_PRICE), search_nano, time_nano)
    plain, read, short, long, output = band.whole
    return Cost(
        counts.input * plain,
        counts.cache_read * read,
        counts.cache_write_5m * short,
        counts.cache_write_1h * long,
        counts.output * output,
        search_nano,
        time_nano,
    )


def divided(counts: TokenCounts, rates: Rates, top: int, bottom: int) -> tuple[int, int, int, int, int]:
    """Divide the sum over the token classes once; what that leaves over goes to the largest remainders."""
    exact = (
        counts.input * rates.input * top,
        counts.cache_read * rates.cache_read * top,
        counts.cache_write_5m * rates.cache_write_5m * top,
        counts.cache_write_1h * rates.cache_write_1h * top,
        counts.output * rates.output * top,
    )
    parts = [value // bottom for value in exact]
    missing = divide_half_away(sum(exact), bottom) - sum(parts)
    if missing:
        by_remainder = sorted(range(len(parts)), key=lambda i: -(exact[i] % bottom))
        for i in by_remainder[:missing]:
            parts[i] += 1
    plain, read, short, long, output = parts
    return plain, read, short, long, output


def has_unpriced_tool(counts: TokenCounts, price: ModelPrice) -> bool:
    """Tell whether *counts* have a server tool that has no price for the model."""
    searched, ran = counts.web_search_requests, counts.code_execution_seconds
    return bool((searched and price.web_search_nano is None) or (ran and price.code_execution is None))


COST_CLASSES = Cost._fields
