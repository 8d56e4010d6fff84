"""Many events of one price at once: columns of token counts in, columns of nano-dollars out, as `rate` says of each.

A column is an array of 64-bit integers. Read as one large integer, its numbers are lanes: one
multiplication by a price then multiplies all of them, exactly, as long as no product leaves its lane.
That is so for counts below 2^40 and whole nano-dollars per token; every other block is rated event by
event. No library is needed for it, and no float.
"""

import sys
from array import array
from collections.abc import Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import NamedTuple

from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing.book import ONE, TOKENS_PER_PRICE, Bands, Factor, ModelPrice, rates_in
from tokenpool.pricing.cost import bands_for, divided

Column = array  # of signed 64-bit integers
TYPE, LANE_BYTES = "q", 8
BLOCK = 4096  # events whose lanes stay in the processor's cache
COUNT_BITS = 40  # 10^12 tokens fit
MOST_PER_TOKEN = 1 << (63 - COUNT_BITS)  # nano-dollars, of all classes together
_EACH = int.from_bytes(b"\x01".ljust(LANE_BYTES, b"\x00") * BLOCK, "little")  # a one in every lane
_COUNT = (1 << COUNT_BITS) - 1
_TOO_LARGE = _EACH * ((1 << 64) - 1 - _COUNT)
_TOP = 1 << 62  # above every prompt: adding what lacks to it carries a one to this bit


class Counts(NamedTuple):
    """Tokens per class, an event at each place."""

    input: "Column[int]"
    cache_read: "Column[int]"
    cache_write_5m: "Column[int]"
    cache_write_1h: "Column[int]"
    output: "Column[int]"

    @classmethod
    def of(cls, events: Sequence[TokenCounts]) -> "Counts":
        """Return the columns of *events*."""
        flat = array(TYPE, chain.from_iterable(map(attrgetter(*cls._fields), events)))
        return cls(*(flat[place :: len(cls._fields)] for place in range(len(cls._fields))))


class Costs(NamedTuple):
    """Nano-dollars per class and in total, an event at each place; tools stand beside them."""

    input: "Column[int]"
    cache_read: "Column[int]"
    cache_write_5m: "Column[int]"
    cache_write_1h: "Column[int]"
    output: "Column[int]"
    total: "Column[int]"


def rate_columns(
    counts: Counts, price: ModelPrice, *, batch: bool = False, us_only: bool = False, fast: bool = False
) -> Costs:
    """Return the exact costs of the tokens of many events under *price*, in nano-dollars."""
    bands = bands_for(price, fast=fast, batch=batch)
    factor = (price.us_factor or ONE) if us_only else ONE
    found = Costs(*(array(TYPE) for _ in Costs._fields))
    lanes = factor == ONE and all(band.whole and sum(band.whole) < MOST_PER_TOKEN for band in bands)
    for start in range(0, len(counts.input), BLOCK):
        block = Counts(*(column[start : start + BLOCK] for column in counts))
        if not (lanes and _together(block, bands, found)):
            _one_by_one(block, bands, factor, found)
    return found


def _together(block: Counts, bands: Bands, found: Costs) -> bool:
    """Append the costs of *block* to *found*, all lanes at once; do nothing and say so when one could run over.

    Every event costs the first band's price; those with a longer prompt, whose lanes alone are left by
    the mask, cost the difference to the next band in addition.
    """
    packed = [int.from_bytes(column, sys.byteorder) for column in block]
    if any(numbers & _TOO_LARGE for numbers in packed):
        return False
    prompts = sum(packed[:4])
    whole = [band.whole or () for band in bands]
    products = [numbers * nano for numbers, nano in zip(packed, whole[0], strict=True)]
    for (cheaper, dearer), band in zip(pairwise(whole), bands[1:], strict=True):
        beyond = (((prompts + _EACH * (_TOP - 1 - band.above)) // _TOP) & _EACH) * _COUNT
        for place, numbers in enumerate(packed):
            products[place] += (numbers & beyond) * (dearer[place] - cheaper[place])
    size = LANE_BYTES * len(block.input)
    for column, numbers in zip(found, [*products, sum(products)], strict=True):
        column.frombytes(numbers.to_bytes(size, sys.byteorder))
    return True


def _one_by_one(block: Counts, bands: Bands, factor: Factor, found: Costs) -> None:
    top, bottom = factor
    for counts in map(TokenCounts, *block):
        parts = divided(counts, rates_in(bands, counts.prompt), top, bottom * TOKENS_PER_PRICE)
        for column, nano in zip(found, (*parts, sum(parts)), strict=True):
            column.append(nano)
