"""The one clock. Everything asks `now()`; tests and replays set it, nothing else reads the time."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_fixed: ContextVar[datetime | None] = ContextVar("fixed_clock", default=None)


def now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return _fixed.get() or datetime.now(UTC)


def timestamp(instant: datetime) -> int:
    """Return *instant* as whole microseconds since 1970: how hot tables store time."""
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_timestamp(microseconds: int) -> datetime:
    """Return the instant of a `timestamp`."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


@contextmanager
def standing_at(instant: datetime) -> Iterator[None]:
    """Let `now()` answer *instant* within the block (this task and thread only)."""
    token = _fixed.set(instant)
    try:
        yield
    finally:
        _fixed.reset(token)
