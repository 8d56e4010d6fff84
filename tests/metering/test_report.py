"""Events as people read them: newest first, page by page, whatever their ids."""

from datetime import UTC, datetime
from pathlib import Path

from builders import aurora
from tokenpool.kernel import clock, ids
from tokenpool.kernel.period import Month
from tokenpool.metering import report
from tokenpool.metering.models import DailyUsage, UsageEvent


def test_events_come_by_their_time_also_when_their_ids_are_made_from_names(database: Path) -> None:
    """Nine events, some with ids that sort before all others, two at one instant; three pages and no event twice."""
    org = aurora()
    made = [ids.new("evt") if turn % 2 else ids.derived("evt", str(turn)) for turn in range(9)]
    for turn, event_id in enumerate(made):
        UsageEvent.objects.create(
            organization_id=org.organization_id, id=event_id, request_id="req_1", member_id="user_1",
            seat_type="chat", product="chat", model="m", price_version="v", month="2026-11",
            admitted_at_us=max(turn, 1), settled_at_us=9,
        )  # fmt: skip
    expected = [*made[:1:-1], *sorted(made[:2], reverse=True)]

    found, after, more = [], "", True
    while more:
        page, more = report.events(by=org.ada, after_id=after, limit=4)
        found += [event.id for event in page]
        after = page[-1].id

    assert expected == found


def test_a_members_month_has_its_events_from_the_first_day_used_to_the_last(database: Path) -> None:
    """At the first and the last instant of November, at noon of the 3rd, a month before and after: three are found."""
    org = aurora()
    instants = [
        datetime(2026, 10, 31, 23, 59, 59, 999_999, UTC),
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 11, 3, 12, tzinfo=UTC),
        datetime(2026, 11, 30, 23, 59, 59, 999_999, UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
    ]
    for member in ("user_1", "user_2"):
        for number, at in enumerate(instants):
            kind = {"organization_id": org.organization_id, "member_id": member, "seat_type": "chat", "model": "m"}
            DailyUsage.objects.create(**kind, product="chat", day=at.date().isoformat(), requests=1)
            UsageEvent.objects.create(
                **kind, product="chat", id=f"evt_{member}_{number}", request_id="req_1", price_version="v",
                month=f"{at:%Y-%m}", admitted_at_us=clock.timestamp(at), settled_at_us=clock.timestamp(at),
            )  # fmt: skip

    found = [
        [event.id for event in report.events(by=org.ada, month=Month(2026, 11), member_id=member)[0]]
        for member in ("user_1", "user_3")
    ]

    assert [["evt_user_1_3", "evt_user_1_2", "evt_user_1_1"], []] == found
