"""Charts as server-rendered SVG: bars per day, stacked, and prices as steps; no script, printable, readable aloud."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 1000, 220, 64, 24, 8
STEPS_WIDTH, STEPS_HEIGHT, DAY_WIDTH = 480, 160, 96
COLORS = 7


@dataclass(frozen=True, slots=True)
class Rectangle:
    """One part of a bar, with what it says on hover."""

    x: int
    y: int
    width: int
    height: int
    color: int
    label: str
    day: int
    nano: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart: rectangles, lines of the scale, days below, and the series in the order of the legend."""

    rectangles: list[Rectangle]
    scale: list[tuple[int, int]]  # (y, nano)
    days: list[tuple[int, int]]  # (x, day)
    series: list[tuple[str, int]]  # (name, color)
    table: list[tuple[int, list[int], int]]  # (day, nano per series, sum)
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT


def daily_bars(sums: Mapping[tuple[int, str], int], *, days: int) -> Chart:
    """Draw nano-dollars per (day, series), the largest series at the bottom; beyond six they are one."""
    totals: dict[str, int] = {}
    for (_, name), nano in sums.items():
        totals[name] = totals.get(name, 0) + nano
    names = sorted(totals, key=lambda name: (-totals[name], name))
    colors = {name: min(position, COLORS - 1) for position, name in enumerate(names)}
    highest = max((sum(sums.get((day, name), 0) for name in names) for day in range(1, days + 1)), default=0)
    top = _nice(highest)
    step = (WIDTH - LEFT) // days
    rectangles, table = [], []
    for day in range(1, days + 1):
        base, values = HEIGHT - BOTTOM, [sums.get((day, name), 0) for name in names]
        for name, nano in zip(names, values, strict=True):
            height = nano * (HEIGHT - BOTTOM - TOP) // top
            if height:
                base -= height
                x = LEFT + (day - 1) * step + 2
                rectangles.append(Rectangle(x, base, step - 4, height, colors[name], name, day, nano))
        table.append((day, values, sum(values)))
    scale = [(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * part // 4, top * part // 4) for part in range(5)]
    marks = [(LEFT + (day - 1) * step + step // 2, day) for day in range(1, days + 1) if day == 1 or day % 5 == 0]
    return Chart(rectangles, scale, marks, [(name, colors[name]) for name in names], table)


def shares(parts: Sequence[tuple[str, int]]) -> list[tuple[str, int, int, int, int]]:
    """Return (name, amount, percent, x, width) of *parts* on a bar 1,000 wide."""
    whole = sum(amount for _, amount in parts) or 1
    found, x = [], 0
    for name, amount in parts:
        width = amount * WIDTH // whole
        found.append((name, amount, amount * 100 // whole, x, width))
        x += width
    return found


@dataclass(frozen=True, slots=True)
class Steps:
    """Drawn prices over time: a path per series, lines of the scale, days below."""

    paths: list[tuple[str, str]]  # (series, SVG path)
    scale: list[tuple[int, int]]  # (y, nano)
    days: list[tuple[int, date]]  # (x, day), none over another
    width: int = STEPS_WIDTH
    height: int = STEPS_HEIGHT
    left: int = LEFT


def price_steps(series: Mapping[str, Sequence[tuple[date, int]]], *, until: date) -> Steps:
    """Draw prices (day it began, nano-dollars) as steps up to *until*, or beyond the last that begins later."""
    days = sorted({day for points in series.values() for day, _ in points})
    first, span = days[0], max(1, (max(until, days[-1]) - days[0]).days * 21 // 20)
    top = _nice(max(nano for points in series.values() for _, nano in points))
    floor, room = STEPS_HEIGHT - BOTTOM, STEPS_HEIGHT - BOTTOM - TOP

    def x(day: date) -> int:
        return LEFT + (day - first).days * (STEPS_WIDTH - LEFT) // span

    paths = []
    for name, points in series.items():
        steps = [f"H{x(day)} V{floor - nano * room // top}" for day, nano in points[1:]]
        start = f"M{x(points[0][0])} {floor - points[0][1] * room // top}"
        paths.append((name, " ".join([start, *steps, f"H{STEPS_WIDTH}"])))
    marks: list[tuple[int, date]] = []
    for day in days:
        if x(day) <= STEPS_WIDTH - DAY_WIDTH and (not marks or x(day) - marks[-1][0] >= DAY_WIDTH):
            marks.append((x(day), day))
    return Steps(paths, [(floor - room * part // 2, top * part // 2) for part in range(3)], marks)


def _nice(highest: int) -> int:
    """Return the next 1, 2, 4 or 8 times a power of ten, so that quarters read well."""
    power = 1_000_000
    while True:
        for factor in (1, 2, 4, 8):
            if highest <= factor * power:
                return factor * power
        power *= 10
