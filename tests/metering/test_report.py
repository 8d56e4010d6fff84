"""Events as people read them: newest first, page by page, whatever their ids."""

from pathlib import Path

from builders import aurora
from tokenpool.kernel import ids
from tokenpool.metering import report
from tokenpool.metering.models import UsageEvent


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
