"""Seats: history that is only added to, and days that are counted whole."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import aurora
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Conflict, InvalidInput, NotAllowed
from tokenpool.kernel.period import Month
from tokenpool.organizations import seats
from tokenpool.organizations.models import Gate, SeatAssignment
from tokenpool.organizations.seats import SeatDays, _days_of

NOVEMBER = Month(2026, 11)
START = NOVEMBER.start


def test_assigning_what_is_held_changes_nothing(database: Path) -> None:
    """No row, no new version of the facts."""
    found = aurora()
    before = (SeatAssignment.objects.count(), Gate.objects.get().version)

    seats.assign(by=found.ada, member_id=found.farid.member_id, seat_type="chat")

    assert before == (SeatAssignment.objects.count(), Gate.objects.get().version)


def test_of_two_who_change_a_seat_at_once_the_second_is_told(database: Path) -> None:
    """What was seen must still stand; wanting what stands already is no conflict."""
    found = aurora()
    farid, dieter = found.farid.member_id, found.dieter.member_id
    seats.assign(by=found.bruno, member_id=farid, seat_type="chat_claude_code", expect="chat")

    with pytest.raises(Conflict, match=r"bruno@aurora.example gave Farid Haddad Chat \+ Claude Code in the meantime"):
        seats.assign(by=found.ada, member_id=farid, seat_type=None, expect="chat")
    same = seats.assign(by=found.ada, member_id=farid, seat_type="chat_claude_code", expect="chat")
    given = seats.assign(by=found.ada, member_id=dieter, seat_type="chat", expect="none")
    with pytest.raises(Conflict, match="gave Dieter Lang Chat in the meantime"):
        seats.assign(by=found.bruno, member_id=dieter, seat_type="chat_claude_code", expect="none")

    assert ("chat_claude_code", "chat") == (same.seat_type, given.seat_type)


def test_the_last_change_stands_though_the_clock_stepped_back(database: Path) -> None:
    """Chat, then the clock goes back a day, then Claude Code: that is held and billed, and is the newest."""
    with clock.standing_at(START + timedelta(days=9)):
        found = aurora()
    with clock.standing_at(START + timedelta(days=8)):
        seats.assign(by=found.ada, member_id=found.farid.member_id, seat_type="chat_claude_code")

    (newest, _) = seats.history(by=found.ada, member_id=found.farid.member_id)
    days = [one for one in seats.seat_days(found.organization_id, NOVEMBER) if one.member_id == found.farid.member_id]
    assert "chat_claude_code" == newest.seat_type
    assert [(21, "chat_claude_code")] == [(one.days, one.seat_type) for one in days]


def test_an_unknown_seat_type_names_the_known_ones(database: Path) -> None:
    """The remedy is in the sentence."""
    found = aurora()

    with pytest.raises(InvalidInput, match="it must be chat, chat_claude_code or null"):
        seats.assign(by=found.ada, member_id=found.farid.member_id, seat_type="gold")


def test_an_admin_changes_everybodys_seat_type_but_their_own(database: Path) -> None:
    """A seat type has limits: the admin's own stays Chat with one row until an owner gives another; an owner may."""
    found = aurora()
    own = found.chiara.member_id

    with pytest.raises(NotAllowed, match="nobody changes their own; ask an owner"):
        seats.assign(by=found.chiara, member_id=own, seat_type="chat_claude_code")

    assert ["chat"] == [row.seat_type for row in seats.history(by=found.ada, member_id=own)]
    seats.assign(by=found.chiara, member_id=found.farid.member_id, seat_type="chat_claude_code")
    seats.assign(by=found.bruno, member_id=own, seat_type="chat_claude_code")
    mine = seats.assign(by=found.bruno, member_id=found.bruno.member_id, seat_type="chat_claude_code")
    assert ("chat_claude_code", 2) == (mine.seat_type, len(seats.history(by=found.ada, member_id=own)))


def test_a_change_counts_from_the_day_it_is_made(database: Path) -> None:
    """Ten days Chat, then twenty Chat + Claude Code: thirty days in all."""
    with clock.standing_at(START):
        found = aurora()
    with clock.standing_at(datetime(2026, 11, 11, 15, 0, tzinfo=UTC)):
        seats.assign(by=found.ada, member_id=found.farid.member_id, seat_type="chat_claude_code")

    days = [one for one in seats.seat_days(found.organization_id, NOVEMBER) if one.member_id == found.farid.member_id]

    assert [(10, "chat"), (20, "chat_claude_code")] == [(one.days, one.seat_type) for one in days]


def test_the_running_month_counts_up_to_today() -> None:
    """A preview on the 24th bills 24 days."""
    assert [SeatDays("m", "chat", 24)] == _days_of(
        "m", [(START - timedelta(days=90), "chat")], NOVEMBER, datetime(2026, 11, 24, 9, tzinfo=UTC), None
    )


def test_a_seat_given_and_taken_on_one_day_counts_nothing() -> None:
    """A slip of the mouse costs nobody a day."""
    noon = START + timedelta(days=3, hours=12)

    assert [] == _days_of("m", [(noon, "chat"), (noon + timedelta(hours=1), None)], NOVEMBER, NOVEMBER.end, None)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(-40 * 24, 30 * 24 - 1).map(lambda hours: START + timedelta(hours=hours)),
            st.sampled_from(["chat", "chat_claude_code", None]),
        ),
        max_size=12,
    ).map(lambda changes: sorted(changes, key=lambda change: change[0]))
)
def test_a_member_never_has_more_days_than_the_month(changes: list[tuple[datetime, str | None]]) -> None:
    """However often the seat changes."""
    days = _days_of("m", changes, NOVEMBER, NOVEMBER.end, None)

    assert sum(one.days for one in days) <= 30
    assert all(one.days > 0 for one in days)
