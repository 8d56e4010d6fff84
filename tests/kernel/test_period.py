"""Windows: UTC, half-open, named by keys."""

from datetime import UTC, datetime

import pytest

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.period import Month, Window, end_of, key_of

LAST_INSTANT = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def test_the_last_microsecond_belongs_to_the_month_and_midnight_to_the_next() -> None:
    """Months are half-open."""
    assert ("2026-12", "2027-01") == (
        key_of(Window.MONTH, LAST_INSTANT),
        key_of(Window.MONTH, datetime(2027, 1, 1, tzinfo=UTC)),
    )


def test_days_and_iso_weeks_have_their_own_keys() -> None:
    """The last days of a year may lie in the first week of the next."""
    assert ("2026-12-31", "2026-W53") == (key_of(Window.DAY, LAST_INSTANT), key_of(Window.WEEK, LAST_INSTANT))


def test_each_window_resets_at_its_own_midnight() -> None:
    """Month at the first, day at midnight, week on Monday."""
    at = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)

    assert [
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2026, 11, 25, tzinfo=UTC),
        datetime(2026, 11, 30, tzinfo=UTC),
    ] == [end_of(window, at) for window in (Window.MONTH, Window.DAY, Window.WEEK)]


def test_months_count_their_days_and_neighbours() -> None:
    """February 2028 is a leap month; January follows December."""
    assert (29, "2026-01", "2025-12") == (
        Month(2028, 2).days,
        str(Month(2025, 12).next()),
        str(Month(2026, 1).previous()),
    )


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "26-01", "2026-01-01", "", "2026–01", "٢٠٢٦-٠١"])
def test_what_is_no_month_is_refused(text: str) -> None:
    """The remedy shows the form."""
    with pytest.raises(InvalidInput, match="write it like 2026-11"):
        Month.parse(text)
