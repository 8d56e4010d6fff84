"""The traffic model the project ships: quantiles fitted from recorded traffic, deterministic from a seed.

Fitted by `tools/fit_traffic.py`. The recorded hours are an hour long, so the hours of the day and
the working week are an assumption of our own, stated in traffic.yaml.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from tokenpool.demo import traces
from tokenpool.demo.traces import Recorded

MODEL = Path(__file__).parent / "traffic.yaml"
PERCENT = 100
WEEKEND = (5, 6)


class Traffic:
    """Draws requests that look like the recorded ones."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a demo's traffic is no secret
        self._facts: dict[str, Any] = yaml.safe_load(MODEL.read_text())

    def request(self, product: str) -> Recorded:
        """Draw one request of *product*."""
        facts = self._facts["products"][product]
        prompt, output = self._draw(facts["prompt_tokens"]), self._draw(facts["output_tokens"])
        share = self._draw(facts["cache_read_percent"]) if "cache_read_percent" in facts else None
        if share is None:
            return Recorded(product, max(1, prompt), 0, 0, max(1, output))
        whole = prompt // traces.BLOCK_TOKENS
        read = whole * share // PERCENT * traces.BLOCK_TOKENS
        written = whole * traces.BLOCK_TOKENS - read
        return Recorded(product, max(1, prompt - read - written), read, written, max(1, output))

    def instants(self, start: datetime, end: datetime, count: int) -> list[datetime]:
        """Return *count* instants between *start* and *end*, in order, by the day's and week's profile."""
        hours = []
        at = start.replace(minute=0, second=0, microsecond=0)
        while at < end:
            percent = self._facts["weekend_percent"] if at.weekday() in WEEKEND else PERCENT
            hours.append((at, self._facts["hours"][at.hour] * percent))
            at += timedelta(hours=1)
        chosen = self._chance.choices([hour for hour, _ in hours], [weight for _, weight in hours], k=count)
        spread = (hour + timedelta(milliseconds=self._chance.randrange(3_600_000)) for hour in chosen)
        return sorted(instant for instant in spread if start <= instant < end)

    def choice(self, values: list[Any], weights: list[int] | None = None) -> Any:  # noqa: ANN401 - one of the values
        """Draw one of *values*."""
        return self._chance.choices(values, weights)[0]

    def _draw(self, quantiles: list[int]) -> int:
        """Draw from a distribution given by its percentiles 0, 5, … 100, evenly between them."""
        step = self._chance.randrange(len(quantiles) - 1)
        low, high = quantiles[step], quantiles[step + 1]
        return self._chance.randint(low, high)


def drawn(seed: int, product: str) -> Iterator[Recorded]:
    """Yield requests of *product* without end; equal seeds give equal requests."""
    traffic = Traffic(seed)
    while True:
        yield traffic.request(product)
