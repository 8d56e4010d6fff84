"""The one clock, and what it knows of being set."""

import time

import pytest

from tokenpool.kernel import clock


def test_a_clock_that_was_set_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a day forward: 86,400 seconds, to the second; left alone: none."""
    assert 0 == round(clock.moved_seconds())
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)

    assert 86_400 == round(clock.moved_seconds())
