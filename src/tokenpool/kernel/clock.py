"""The one clock. Everything asks `now()`; tests and replays set it, nothing else reads the time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_steady_clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # nobody can set it; it goes on in a sleep
_began, _steadily_began = time.time(), time.clock_gettime(_steady_clock)
_fixed: ContextVar[datetime | None] = ContextVar("fixed_clock", default=None)


def now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return _fixed.get() or datetime.now(UTC)


def moved_seconds() -> float:
    """Return by how much the machine's clock has been set since this process began, beyond the time that passed."""
    return time.time() - _began - (time.clock_gettime(_steady_clock) - _steadily_began)


def timestamp(instant: datetime) -> int:
    """Return *instant* as whole microseconds since 1970: how hot tables store time."""
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_timestamp(microseconds: int) -> datetime:
    """Return the instant of a `timestamp`."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def text(instant: datetime, timespec: str = "auto") -> str:
    """Return *instant*, in UTC, as RFC 3339 writes it (`2026-11-24T09:30:00Z`), as finely as *timespec* says."""
    return instant.isoformat(timespec=timespec).replace("+00:00", "Z")


@contextmanager
def standing_at(instant: datetime) -> Iterator[None]:
    """Let `now()` answer *instant* within the block (this task and thread only)."""
    token = _fixed.set(instant)
    try:
        yield
    finally:
        _fixed.reset(token)
