"""Limits by day and by week: judged from the first request, released where they were counted."""

from datetime import UTC, datetime, timedelta

import pytest

import builders
from tokenpool.compliance import verify
from tokenpool.kernel import clock
from tokenpool.kernel.period import Window
from tokenpool.limits import caps, windows
from tokenpool.limits.operations import Held, Refusal
from tokenpool.organizations.models import Gate
from tokenpool.pricing import load

from .conftest import DOLLAR, NOW, Bench, settle

TUESDAY, WEDNESDAY, MONDAY = NOW, NOW + timedelta(days=1), NOW + timedelta(days=6)


@pytest.mark.parametrize(
    ("window", "key", "resets_at", "anew"),
    [
        (Window.DAY, "2026-11-24", datetime(2026, 11, 25, tzinfo=UTC), WEDNESDAY),
        (Window.WEEK, "2026-W48", datetime(2026, 11, 30, tzinfo=UTC), MONDAY),
    ],
)
async def test_a_limit_counts_what_was_spent_before_it_was_set(
    bench: Bench, window: Window, key: str, resets_at: datetime, anew: datetime
) -> None:
    """One dollar was spent and one is held when the limit of two is set: nothing more fits until it begins anew."""
    first, second = bench.ask(DOLLAR), bench.ask(DOLLAR)
    await bench.do(first)
    await bench.do(second)
    await bench.do(settle(first.hold_id, 50_000))
    with clock.standing_at(NOW):
        windows.keep(Gate.objects.get(organization_id="org_a"), window)
    limit = bench.limit("organization", "pool", 2 * DOLLAR, window=window.value)

    refused = await bench.do(bench.ask(DOLLAR))

    assert isinstance(refused, Refusal)
    assert (limit.id, DOLLAR, DOLLAR, resets_at) == (
        refused.limit.limit_id, refused.limit.spent_nano, refused.limit.held_nano, refused.limit.resets_at,
    )  # fmt: skip
    await bench.do(settle(second.hold_id, 50_000))
    assert (2 * DOLLAR, 0) == bench.account("member:user_1", key)
    assert isinstance(await bench.do(bench.ask(2 * DOLLAR, admitted_at=anew)), Held)


async def test_a_limit_set_while_the_clock_ran_a_day_ahead_counts_today(bench: Bench) -> None:
    """One dollar was spent today; the limit of one a day is set “tomorrow”; back today nothing more fits."""
    first = bench.ask(DOLLAR)
    await bench.do(first)
    await bench.do(settle(first.hold_id, 50_000))
    with clock.standing_at(WEDNESDAY):
        windows.keep(Gate.objects.get(organization_id="org_a"), Window.DAY)
    bench.limit("organization", "pool", DOLLAR, window="day")

    assert isinstance(await bench.do(bench.ask(1)), Refusal)


async def test_a_hold_of_yesterday_is_released_in_yesterdays_account(bench: Bench) -> None:
    """The window is pinned at admission, also for a hold that was open when days began to be kept."""
    yesterday = bench.ask(DOLLAR, admitted_at=NOW - timedelta(days=1))
    await bench.do(yesterday)
    with clock.standing_at(NOW):
        windows.keep(Gate.objects.get(organization_id="org_a"), Window.DAY)
    assert (0, DOLLAR) == bench.account("organization", "2026-11-23")

    await bench.do(settle(yesterday.hold_id, 50_000))

    assert (DOLLAR, 0) == bench.account("organization", "2026-11-23")
    assert (0, 0) == bench.account("organization", "2026-11-24")


async def test_a_groups_day_begins_with_what_it_spent_and_holds(bench: Bench) -> None:
    """One dollar was spent and one is held by the group when its days begin to be kept."""
    first, second = bench.ask(DOLLAR, groups="grp_a"), bench.ask(DOLLAR, groups="grp_a")
    await bench.do(first)
    await bench.do(second)
    await bench.do(settle(first.hold_id, 50_000))

    with clock.standing_at(NOW):
        windows.keep(Gate.objects.get(organization_id="org_a"), Window.DAY)

    assert (DOLLAR, DOLLAR) == bench.account("group:grp_a", "2026-11-24")
    assert (DOLLAR, DOLLAR) == bench.account("group:grp_a")


async def test_the_lowest_room_of_all_windows_binds(bench: Bench) -> None:
    """A month with room does not help when the day has none."""
    gate = Gate.objects.get(organization_id="org_a")
    with clock.standing_at(NOW):
        windows.keep(gate, Window.DAY)
        windows.keep(gate, Window.WEEK)
    for window, dollars in (("month", 9), ("week", 5), ("day", 2)):
        bench.limit("organization", "pool", dollars * DOLLAR, window=window)
    assert isinstance(await bench.do(bench.ask(2 * DOLLAR)), Held)

    assert "day" == (await bench.do(bench.ask(DOLLAR))).limit.window
    for day, fits in ((1, Held), (2, Refusal)):
        at = NOW + timedelta(days=day)
        assert fits is type(await bench.do(bench.ask(2 * DOLLAR, admitted_at=at)))
    assert "week" == (await bench.do(bench.ask(2 * DOLLAR, admitted_at=NOW + timedelta(days=2)))).limit.window


async def test_an_owner_sets_a_daily_limit(database: object) -> None:
    """The row is written, its accounts are kept from then on, and verification agrees."""
    aurora = builders.aurora()
    with clock.standing_at(NOW):
        row = caps.set_limit(by=aurora.ada, scope="organization", basis="pool", amount_nano=DOLLAR, window="day")

    assert ("day", "month day") == (row.window, Gate.objects.get(organization_id=aurora.organization_id).windows)
    assert [] == [finding.broken for finding in verify.check(book=load.standard()) if not finding.holds]
