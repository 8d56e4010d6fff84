"""Every event is rated again: together where that can be, and one by one where something differs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from builders import aurora
from past import CHEAPER, DOLLAR, LISTED, MILLION, Past, october
from tokenpool.compliance import rating
from tokenpool.kernel import clock
from tokenpool.metering.models import UsageEvent

EVENTS = 5


@pytest.fixture
async def past(either_database: Path | str) -> Past:
    """Return an organization with five events of a million tokens, on the 9th to the 13th of October."""
    with clock.standing_at(datetime(2026, 9, 1, tzinfo=UTC)):
        found = Past(aurora(), either_database)
    await found.spend(*((found.org.farid, october(9 + day), MILLION) for day in range(EVENTS)))
    return found


def _broken() -> list[str]:
    return list(rating.broken(UsageEvent.objects.all(), CHEAPER))


def test_of_many_events_the_one_that_was_edited_is_named(past: Past) -> None:
    """A nano-dollar moved between two classes of one event is found though its total is right."""
    assert [] == _broken()
    event = UsageEvent.objects.order_by("id")[2]

    UsageEvent.objects.filter(id=event.id).update(input_nano=1, output_nano=20 * DOLLAR - 1)

    assert [f"{event.id} costs {20 * DOLLAR} under {LISTED.version}, stored is {20 * DOLLAR}"] == _broken()


def test_a_version_that_no_book_knows_is_named_for_each_event(past: Past) -> None:
    """Two events under a version that is nowhere are two findings; the others are right."""
    ids = list(UsageEvent.objects.order_by("id").values_list("id", flat=True)[:2])

    UsageEvent.objects.filter(id__in=ids).update(price_version="gone@2026-01-01")

    assert ids == [line.partition(":")[0] for line in _broken()]


def test_a_corrected_event_is_right_with_its_correction_and_wrong_without(past: Past) -> None:
    """Four corrections of the 10th to the 13th are right; the one that vanishes leaves $20 where $18 is due."""
    done = past.rerate(CHEAPER)
    assert (4, []) == (done.corrected, _broken())

    fix = UsageEvent.objects.exclude(corrects=None).order_by("id").first()
    assert fix is not None
    UsageEvent.objects.filter(id=fix.id).update(output_nano=-DOLLAR, cost_nano=-DOLLAR)

    assert [f"{fix.id} costs {18 * DOLLAR} under {fix.price_version}, stored is {19 * DOLLAR}"] == _broken()


def test_tokens_beyond_any_lane_are_rated_like_all_others(past: Past) -> None:
    """An event with 2^41 tokens beside small ones is rated one by one, and its wrong cost is named alone."""
    event = UsageEvent.objects.order_by("id")[0]

    UsageEvent.objects.filter(id=event.id).update(output_tokens=2**41)

    assert [f"{event.id} costs {2**41 * 20_000} under {LISTED.version}, stored is {20 * DOLLAR}"] == _broken()
