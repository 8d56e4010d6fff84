"""Rating alone: one event at a time and many at once, against a naive loop in Decimal, in the same run.

Every way gives the cost of each of the five classes and their sum, to the nano-dollar; all results are
compared before a figure is printed. The events are those of three models, one with prompt-length bands.
Usage: python benchmarks/rating.py [--events 100000] [--rounds 5]
"""

import argparse
import gc
import random
import time
from collections.abc import Callable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing import load
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.columns import Counts, rate_columns
from tokenpool.pricing.cost import rate

DAY = date(2026, 11, 24)
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
NANO = Decimal("0.000000001")
MILLION = Decimal(1_000_000)

Events = dict[str, list[TokenCounts]]
Amounts = list[tuple[int, ...]]


def drawn(count: int) -> Events:
    """Return *count* events like those of coding agents: much is read from the cache, little is written."""
    chance = random.Random(7)
    found: Events = {model: [] for model in MODELS}
    for number in range(count):
        cached = chance.randrange(180_000)
        new, written, output = chance.randrange(8_000), chance.randrange(6_000), chance.randrange(3_000)
        found[MODELS[number % len(MODELS)]].append(TokenCounts(new, cached, written, written // 3, output))
    return found


def naive(events: Events, prices: dict[str, list[tuple[int, dict[str, Decimal]]]]) -> list[tuple[Decimal, ...]]:
    """Rate in Decimal as one would write it down: dollars per million tokens, a cost per class, their sum."""
    found = []
    for model, some in events.items():
        for counts in some:
            prompt = counts.input + counts.cache_read + counts.cache_write_5m + counts.cache_write_1h
            per_million = next(rates for above, rates in prices[model] if prompt > above or above == 0)
            costs = [Decimal(getattr(counts, name)) * per_million[name] / MILLION for name in CLASSES]
            found.append((*costs, sum(costs, Decimal(0)).quantize(NANO, ROUND_HALF_UP)))
    return found


def single(events: Events, prices: dict[str, ModelPrice]) -> Amounts:
    """Rate event by event."""
    found: Amounts = []
    for model, some in events.items():
        price = prices[model]
        for counts in some:
            cost = rate(counts, price)
            found.append((*cost[:5], cost.total))
    return found


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the best time of *rounds*."""
    best = float("inf")
    for _ in range(rounds):
        gc.collect()
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    events = drawn(asked.events)
    book = {model: load.shipped().price(model, DAY) for model in MODELS}
    dollars = {
        model: [
            (band.above, {name: Decimal(getattr(band.rates, name)).scaleb(-9) for name in CLASSES})
            for band in reversed(price.bands)
        ]
        for model, price in book.items()
    }
    columns = {model: Counts.of(some) for model, some in events.items()}
    ways: dict[str, Callable[[], object]] = {
        "naive loop in Decimal": lambda: naive(events, dollars),
        "one event at a time": lambda: single(events, book),
        "many at once, from events": lambda: [rate_columns(Counts.of(some), book[one]) for one, some in events.items()],
        "many at once, from columns": lambda: [rate_columns(some, book[one]) for one, some in columns.items()],
    }
    expected = [tuple(int(amount * 10**9) for amount in row) for row in naive(events, dollars)]
    together = [row for one, some in columns.items() for row in zip(*rate_columns(some, book[one]), strict=True)]
    if not expected == single(events, book) == together:
        raise SystemExit("the ways disagree")
    took = {name: seconds(work, asked.rounds) for name, work in ways.items()}
    base = took["naive loop in Decimal"]
    for name, best in took.items():
        print(f"{name:<28} {asked.events / best:>12,.0f} events/s  {base / best:>6.1f}x")


if __name__ == "__main__":
    main()
