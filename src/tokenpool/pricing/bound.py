"""The largest a request can cost, before it is sent: what a hold reserves.

Every figure is an upper bound: the dearest input-side class the body can trigger, the dearest
prompt-length band it can reach, every factor that applies. `rate` of any usage within the shape
never exceeds the bound (a property test says so).
"""

from dataclasses import dataclass

from tokenpool.kernel.errors import Unbounded
from tokenpool.pricing.book import ONE, TOKENS_PER_PRICE, Bands, ModelPrice, Rates
from tokenpool.pricing.cost import time_cost


@dataclass(frozen=True, slots=True)
class Shape:
    """Upper bounds of what a request can use, and the modifiers it asks for.

    A request may be sampled more than once (tools and summaries at the provider): `input_tokens` is
    what all samplings read together, `max_output` what each of them may write.
    """

    input_tokens: int
    max_output: int
    samplings: int = 1
    cache_5m: bool = False
    cache_1h: bool = False
    us_only: bool = False
    us_possible: bool = False  # not asked for, but an account's default may make it so
    fast: bool = False
    fast_possible: bool = False  # the same of fast mode
    batch: bool = False
    web_searches: int = 0
    code_execution_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Bound:
    """A fixed part (input side and tools) and a price per million tokens of `max_output`, both rounded up."""

    fixed_nano: int
    output_price_nano_per_mtok: int
    max_output: int

    def amount(self, max_output: int | None = None) -> int:
        """Return the largest cost in nano-dollars with at most *max_output* output tokens (default: as asked)."""
        tokens = self.max_output if max_output is None else max_output
        return self.fixed_nano - (-tokens * self.output_price_nano_per_mtok // TOKENS_PER_PRICE)

    def affordable_output(self, left_nano: int) -> int:
        """Return how many output tokens *left_nano* pays for after the fixed part; at most what was asked."""
        room = left_nano - self.fixed_nano
        if room < 0:
            return 0
        if self.output_price_nano_per_mtok == 0:
            return self.max_output
        return min(self.max_output, room * TOKENS_PER_PRICE // self.output_price_nano_per_mtok)


def largest_cost(shape: Shape, price: ModelPrice) -> Bound:
    """Return the bound of a request of *shape* at *price*.

    Raises:
        Unbounded: something is asked for that has no price for the model.
    """
    _refuse_unpriced(shape, price)
    top, bottom = (price.us_factor or ONE) if shape.us_only or shape.us_possible else ONE
    candidates = _reachable(shape, price)
    dearest_input = max(_dearest_input(rates, shape) for rates in candidates)
    dearest_output = max(rates.output for rates in candidates)
    input_nano = -(-shape.input_tokens * dearest_input * top // (bottom * TOKENS_PER_PRICE))
    output_price = -(-dearest_output * shape.samplings * top // bottom)
    return Bound(input_nano + tools_nano(shape, price), output_price, shape.max_output)


def tools_nano(shape: Shape, price: ModelPrice) -> int:
    """Return the largest cost of the server tools, in nano-dollars, as if no free allowance were left."""
    searches = shape.web_searches * (price.web_search_nano or 0)
    hourly = price.code_execution
    if not shape.code_execution_seconds or hourly is None:
        return searches
    return searches + time_cost(hourly, shape.code_execution_seconds)


def _refuse_unpriced(shape: Shape, price: ModelPrice) -> None:
    asked = (
        ("speed", "fast mode", shape.fast and not price.fast),
        ("inference_geo", "“us”", shape.us_only and price.us_factor is None),
        ("batch", "a batch", shape.batch and not price.batch),
        ("tools", "web search", shape.web_searches and price.web_search_nano is None),
        ("tools", "code execution", shape.code_execution_seconds and price.code_execution is None),
    )
    for field, what, unpriced in asked:
        if unpriced:
            raise Unbounded(f"{field}: {what} has no price for {price.model}; leave it out.", field=field)


def _reachable(shape: Shape, price: ModelPrice) -> list[Rates]:
    """Return the rates the request can end up with: every band it can reach, of every mode it can be served in.

    A batch is a batch. The standard bands stay in when fast mode is asked for: the provider may fall
    back to them.
    """
    modes: list[Bands] = [price.batch] if shape.batch else [price.bands]
    if (shape.fast or shape.fast_possible) and not shape.batch:
        modes.append(price.fast)
    return [band.rates for bands in modes for band in bands if band.above == 0 or shape.input_tokens > band.above]


def _dearest_input(rates: Rates, shape: Shape) -> int:
    found = [rates.input]
    if shape.cache_5m or shape.cache_1h:
        found += [rates.cache_read, rates.cache_write_5m]
    if shape.cache_1h:
        found.append(rates.cache_write_1h)
    return max(found)
