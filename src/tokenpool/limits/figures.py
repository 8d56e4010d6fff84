"""A limit with its numbers, as answers, headers and notices tell it: values that stay when the balance moves on."""

from datetime import UTC, datetime
from functools import lru_cache

from tokenpool.kernel.period import Window, end_of
from tokenpool.limits.decide import Applied
from tokenpool.limits.operations import LimitState, Movement


def movement_of(limit: Applied, member_id: str, at_us: int, *, refused: bool) -> Movement:
    """Return where a limit stands after *member_id* has moved its account, or was *refused* by it."""
    cap = limit.cap
    return Movement(
        cap.limit_id,
        cap.scope,
        cap.basis,
        cap.window,
        limit.account[1],
        member_id,
        limit.amount_nano,
        limit.balance.spent_nano,
        refused,
        at_us,
    )


def state_of(limit: Applied, at_us: int) -> LimitState:
    """Return a limit with its numbers, as a call admitted at *at_us* (microseconds since 1970) meets it."""
    cap, balance = limit.cap, limit.balance
    resets_at = _resets_at(cap.window, at_us // 3_600_000_000)
    return LimitState(
        cap.limit_id,
        cap.scope,
        cap.basis,
        cap.window,
        limit.amount_nano,
        balance.spent_nano,
        balance.held_nano,
        resets_at,
    )


@lru_cache(maxsize=256)
def _resets_at(window: Window, hour: int) -> datetime:
    return end_of(window, datetime.fromtimestamp(hour * 3600, UTC))
