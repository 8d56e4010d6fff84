"""Golden vectors of every version of every model, to the nano-dollar, and the twin that computed them."""

from datetime import date

import decimal_twin
from decimal_twin import Vector
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing import load
from tokenpool.pricing.cost import rate

VECTORS = decimal_twin.golden()


def rated(vector: Vector) -> int:
    """Return what the product rates the usage at."""
    counts = TokenCounts(
        vector.input,
        vector.cache_read,
        vector.cache_write_5m,
        vector.cache_write_1h,
        vector.output,
        vector.web_searches,
    )
    price = load.shipped().price(vector.model, date.fromisoformat(vector.day))
    modes = {"batch": vector.mode == "batch", "fast": vector.mode == "fast"}
    return rate(counts, price, us_only=bool(vector.us_only), **modes).total


def test_every_vector_costs_what_is_written() -> None:
    """All of them, to the nano-dollar; the first that does not is named."""
    assert [] == [(vector, rated(vector)) for vector in VECTORS if rated(vector) != vector.nano][:1]


def test_a_second_computation_in_decimal_agrees() -> None:
    """Straight from the files' texts, with another arithmetic and no code in common."""
    assert (
        []
        == [(vector, decimal_twin.cost(vector)) for vector in VECTORS if decimal_twin.cost(vector) != vector.nano][:1]
    )


def test_the_vectors_cover_what_is_sold() -> None:
    """At least 300, of all nine providers, in all modes, over every band, with US inference and searches."""
    providers = {load.shipped().price(vector.model, date.fromisoformat(vector.day)).provider for vector in VECTORS}
    sections = {(row.model, row.above) for sheet in load.shipped_sheets() for row in sheet.rows if row.above}
    crossed = {vector.model for vector in VECTORS if vector.output == 1_000}

    assert len(VECTORS) >= 300
    assert 9 == len(providers)
    assert {"", "batch", "fast"} == {vector.mode for vector in VECTORS}
    assert {model for model, _ in sections} == crossed
    assert {0, 1} == {vector.us_only for vector in VECTORS}
    assert any(vector.web_searches for vector in VECTORS)


def test_the_vectors_are_no_other_than_those_the_twin_draws() -> None:
    """Drawn and computed anew they are the same, so a new row brings new vectors."""
    drawn = [Vector(**{**_fields(vector), "nano": decimal_twin.cost(vector)}) for vector in decimal_twin.drawn()]

    assert VECTORS == drawn


def _fields(vector: Vector) -> dict[str, object]:
    return {name: getattr(vector, name) for name in vector.__slots__}
