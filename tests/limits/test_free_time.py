"""The free time of tools under the ledger's lock: one month's allowance, whoever settles and in whatever batch."""

import asyncio
from datetime import UTC, datetime

from tokenpool.compliance import verify
from tokenpool.limits.operations import Settle
from tokenpool.metering.models import FreeTime, UsageEvent
from tokenpool.pricing import load

from .conftest import NOW, Bench, ran

HOUR = 50_000_000
FREE = 1550 * 3600


async def use(bench: Bench, seconds: int, *, member_id: str = "user_1", at: datetime = NOW) -> int:
    """Hold as if nothing were free, settle, and return what it cost."""
    ask = bench.ask(60 * HOUR * 31, member_id, admitted_at=at)
    await bench.do(ask)
    await bench.do(Settle(ask.hold_id, ran(seconds), at))
    return bench.hold(ask.hold_id).settled_nano or 0


def left(month: str = "2026-11") -> int:
    """Return the seconds of the month that are still free."""
    row = FreeTime.objects.filter(organization_id="org_a", month=month).first()
    return FREE - (row.used_seconds if row else 0)


async def test_a_month_has_1550_free_hours_for_the_whole_organization(bench: Bench) -> None:
    """1,549 hours of one member are free, then an hour of the next, then each costs five cents."""
    costs = [await use(bench, 1549 * 3600), await use(bench, 2 * 3600, member_id="user_2"), await use(bench, 3600)]

    assert [0, HOUR, HOUR] == costs
    assert (0, (2 * HOUR, 0)) == (left(), bench.account("organization"))


async def test_the_next_month_begins_anew_and_usage_counts_in_the_month_it_was_admitted(bench: Bench) -> None:
    """Settled in December, admitted in November: it is November's time that it uses."""
    await use(bench, FREE)
    december = await use(bench, 3600, at=datetime(2026, 12, 1, tzinfo=UTC))

    ask = bench.ask(60 * HOUR, admitted_at=datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    await bench.do(ask)
    await bench.do(Settle(ask.hold_id, ran(3600), datetime(2026, 12, 1, 0, 5, tzinfo=UTC)))

    assert (0, HOUR) == (december, bench.hold(ask.hold_id).settled_nano)
    assert (0, FREE - 3600) == (left(), left("2026-12"))


async def test_settlements_of_one_batch_share_what_is_left(bench: Bench) -> None:
    """Ten members race for the last hour: exactly nine pay."""
    await use(bench, FREE - 3600)

    costs = await asyncio.gather(*(use(bench, 3600, member_id=f"user_{number}") for number in range(10)))

    assert [0, *[HOUR] * 9] == sorted(costs)
    assert 0 == left()
    assert [3600, *[0] * 9] == sorted(
        UsageEvent.objects.filter(code_execution_seconds=3600).values_list("code_execution_free_seconds", flat=True),
        reverse=True,
    )


async def test_a_second_settlement_uses_no_free_time(bench: Bench) -> None:
    """The hold had ended; the month's free time stays."""
    ask = bench.ask(60 * HOUR)
    await bench.do(ask)
    for _ in range(2):
        await bench.do(Settle(ask.hold_id, ran(3600), NOW))

    assert FREE - 3600 == left()


async def test_verification_rates_it_again_and_counts_the_free_time(bench: Bench) -> None:
    """Every invariant holds; a forged figure of the month is named."""
    await use(bench, FREE - 1800)
    await use(bench, 3600)

    names = ("code_execution_nano", "code_execution_free_seconds")
    rated = list(UsageEvent.objects.order_by("id").values_list(*names))
    assert [(0, FREE - 1800), (HOUR // 2, 1800)] == rated
    FreeTime.objects.update(used_seconds=7)
    on = verify.Examined("org_a", "", load.standard())
    assert "2026-11: events had 5580000 s of free time, written is 7 s" in list(verify._sums(on))
    assert [] == list(verify._rating(on))
