"""What usage costs, computed a second time: from the price files' texts, in `decimal`, sharing no code with ours.

`python tests/decimal_twin.py` draws the golden vectors anew (tests/pricing/golden.csv): one of every
version of every model, and both sides of every band in every mode it is sold in.
"""

import csv
import random
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "pricing" / "golden.csv"
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
MODES = ("", "batch", "fast")


@dataclass(frozen=True, slots=True)
class Vector:
    """One usage and its exact cost in nano-dollars."""

    model: str
    day: str
    mode: str
    us_only: int
    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    web_searches: int
    nano: int = 0


@cache
def files() -> tuple[dict[str, Any], ...]:
    """Return every price file as plain YAML."""
    folder = ROOT / "src" / "tokenpool" / "pricing" / "prices"
    return tuple(yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml")))


def cost(vector: Vector) -> int:
    """Return the cost of *vector* in nano-dollars, rounded once, half up."""
    file = next(one for one in files() if vector.model in one["models"])
    day, prompt = date.fromisoformat(vector.day), sum(getattr(vector, name) for name in CLASSES[:4])
    bands = in_force(file, vector.mode or "rows", vector.model, day)
    row = bands[max(above for above in bands if above == 0 or prompt > above)]
    per_million = dict(zip(file["columns"], row["price"], strict=True))
    dollars = Decimal(0)
    for name in CLASSES:
        text = per_million[name]
        while text in per_million:
            text = per_million[text]
        dollars += Decimal(getattr(vector, name)) * Decimal(text) / 1_000_000
    if vector.us_only:
        top, bottom = in_force(file, "us_only", vector.model, day)[0]["factor"]
        dollars = dollars * top / bottom
    if vector.web_searches:
        dollars += vector.web_searches * Decimal(searches(file, vector.model, day)["price"])
    return int((dollars * 10**9).to_integral_value(ROUND_HALF_UP))


def in_force(file: dict[str, Any], section: str, model: str, day: date) -> dict[int, dict[str, Any]]:
    """Return the rows in force on *day*, by band."""
    found: dict[int, dict[str, Any]] = {}
    for row in file.get(section, []):
        if row["model"] == model and row["from"] <= day:
            found[row.get("above", 0)] = row
    return {
        above: row for above, row in found.items() if row.get("until", date.max) >= day and row.get("price") != "none"
    }


def searches(file: dict[str, Any], model: str, day: date) -> dict[str, Any]:
    """Return the row of a web search, {} when the model has none."""
    rows = [row for row in file.get("tools", []) if row["tool"] == "web_search" and row.get("model", model) == model]
    return next((row for row in reversed(rows) if row["from"] <= day), {})


def drawn() -> Iterator[Vector]:
    """Yield the vectors to compute."""
    chance = random.Random(2026)
    for file in files():
        for model in file["models"]:
            for day in days(file, model):
                if 0 in in_force(file, "rows", model, day):
                    yield from of_day(chance, file, model, day)


def days(file: dict[str, Any], model: str) -> list[date]:
    """Return the days on which something of the model's price begins or ends."""
    mine = [row for part in ("rows", "batch", "fast", "us_only") for row in file.get(part, []) if row["model"] == model]
    ends = {row["until"] + timedelta(days=1) for row in mine if "until" in row}
    return sorted({row["from"] for row in mine} | ends)


def of_day(chance: random.Random, file: dict[str, Any], model: str, day: date) -> Iterator[Vector]:
    """Yield one ordinary usage in a mode that is sold, and the two sides of every band of every such mode."""
    modes = [mode for mode in MODES if 0 in in_force(file, mode or "rows", model, day)]
    us_only = int(0 in in_force(file, "us_only", model, day) and chance.random() < 0.5)
    counts = [chance.randrange(10 ** chance.randrange(1, 8)) for _ in CLASSES]
    asked = chance.randrange(4) if searches(file, model, day) else 0
    yield Vector(model, str(day), chance.choice(modes), us_only, *counts, asked)
    for mode in modes:
        for above in in_force(file, mode or "rows", model, day):
            if above:
                cached = chance.randrange(above)
                yield from (
                    Vector(model, str(day), mode, us_only, above - cached + more, cached, 0, 0, 1_000, 0)
                    for more in (0, 1)
                )


def main() -> None:
    """Draw and compute the vectors, and write them down."""
    with GOLDEN.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Vector))
        writer.writerows((*astuple(vector)[:-1], cost(vector)) for vector in drawn())


def golden() -> list[Vector]:
    """Return the vectors as they are written down."""
    with GOLDEN.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [Vector(*row[:3], *map(int, row[3:])) for row in rows]


if __name__ == "__main__":
    main()
