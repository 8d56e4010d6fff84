"""What usage costs: exact integers, one rounding per event, parts that add up to the whole."""

from dataclasses import dataclass, fields

from tokenpool.kernel.money import divide_half_away
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing.book import ONE, ModelPrice, Rates, rates_in

TOKENS_PER_PRICE = 1_000_000
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Cost:
    """Nano-dollars per token class and for searches; the parts sum to the total."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    web_search: int = 0

    @property
    def total(self) -> int:
        """The cost of the event."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h + self.output + self.web_search


def rates_for(price: ModelPrice, prompt_tokens: int, *, fast: bool = False, batch: bool = False) -> Rates:
    """Return the rates of a request: the batch's or fast mode's own where they are sold, by the prompt's length.

    A mode without a price is billed as standard; whoever asks for it beforehand is refused by the bound.
    """
    bands = (price.batch if batch else price.fast if fast else ()) or price.bands
    return rates_in(bands, prompt_tokens)


def rate(
    counts: TokenCounts, price: ModelPrice, *, batch: bool = False, us_only: bool = False, fast: bool = False
) -> Cost:
    """Return the exact cost of *counts* under *price*, in nano-dollars.

    Sum of tokens x rate x factor, divided once, half away from zero; at list price nothing is
    ever rounded. What rounding leaves over goes to the parts with the largest remainders.
    """
    rates = rates_for(price, counts.prompt, fast=fast, batch=batch)
    top, us_bottom = (price.us_factor or ONE) if us_only else ONE
    bottom = us_bottom * TOKENS_PER_PRICE
    exact = (
        counts.input * rates.input * top,
        counts.cache_read * rates.cache_read * top,
        counts.cache_write_5m * rates.cache_write_5m * top,
        counts.cache_write_1h * rates.cache_write_1h * top,
        counts.output * rates.output * top,
        counts.web_search_requests * (price.web_search_nano or 0) * bottom,
    )
    return Cost(*_spread(exact, bottom))


def _spread(exact: tuple[int, ...], bottom: int) -> list[int]:
    """Divide the sum of *exact* once and give each part its share by largest remainder."""
    parts = [value // bottom for value in exact]
    missing = divide_half_away(sum(exact), bottom) - sum(parts)
    if missing:
        by_remainder = sorted(range(len(parts)), key=lambda i: -(exact[i] % bottom))
        for i in by_remainder[:missing]:
            parts[i] += 1
    return parts


COST_CLASSES = tuple(field.name for field in fields(Cost))
