"""Windows of time: UTC, half-open, named by a key that sorts and that accounts carry.

`2026-11` is a month, `2026-11-24` a day, `2026-W48` an ISO week. A new window is a new key, so
nothing is ever reset.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from tokenpool.kernel.errors import InvalidInput


class Window(StrEnum):
    """The windows a spend limit can have."""

    MONTH = "month"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A UTC calendar month."""

    year: int
    number: int

    @classmethod
    def of(cls, instant: date) -> "Month":
        """Return the month that contains *instant* (a date or an aware UTC datetime)."""
        return cls(instant.year, instant.month)

    @classmethod
    def parse(cls, text: str, *, field: str = "month") -> "Month":
        """Read `2026-11`.

        Raises:
            InvalidInput: not a month of the years 2000 to 2999.
        """
        if not re.fullmatch(r"2\d{3}-(0[1-9]|1[0-2])", text, re.ASCII):
            raise InvalidInput(f"{field}: “{text[:20]}” is not a month; write it like 2026-11.", field=field)
        return cls(int(text[:4]), int(text[5:]))

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def start(self) -> datetime:
        """First instant of the month."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """First instant after the month."""
        return self.next().start

    @property
    def days(self) -> int:
        """How many days the month has."""
        return (self.end - self.start).days

    def next(self) -> "Month":
        """Return the month after."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def previous(self) -> "Month":
        """Return the month before."""
        return Month(self.year, self.number - 1) if self.number > 1 else Month(self.year - 1, 12)


def key_of(window: Window, instant: datetime) -> str:
    """Return the key of the *window* that contains *instant*."""
    if window is Window.MONTH:
        return str(Month.of(instant))
    if window is Window.DAY:
        return instant.date().isoformat()
    year, week, _ = instant.isocalendar()
    return f"{year:04d}-W{week:02d}"


_HOUR_US = 3_600_000_000


def keys_at(at_us: int) -> Mapping[Window, str]:
    """Return the key of every window that contains the instant *at_us* (microseconds since 1970)."""
    return _keys_in_hour(at_us // _HOUR_US)


@lru_cache(maxsize=256)
def _keys_in_hour(hour: int) -> Mapping[Window, str]:
    """Every window begins on the hour, so an hour has one answer."""
    instant = datetime.fromtimestamp(hour * 3600, UTC)
    return {window: key_of(window, instant) for window in Window}


def start_of(window: Window, instant: datetime) -> datetime:
    """Return the first instant of the *window* that contains *instant*."""
    if window is Window.MONTH:
        return Month.of(instant).start
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if window is Window.DAY else midnight - timedelta(days=midnight.weekday())


def end_of(window: Window, instant: datetime) -> datetime:
    """Return the first instant after the *window* that contains *instant*: when its limit resets."""
    if window is Window.MONTH:
        return Month.of(instant).end
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    days = 1 if window is Window.DAY else 7 - midnight.weekday()
    return midnight + timedelta(days=days)
