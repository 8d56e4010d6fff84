"""Settings: HIPAA-ready is one-way, confirmed by name, and only for covered seats."""

from pathlib import Path

import pytest

from builders import aurora
from tokenpool.kernel.errors import Conflict, InvalidInput
from tokenpool.organizations import seats, settings
from tokenpool.organizations.models import Organization


def test_hipaa_asks_for_the_name_and_for_covered_seats(database: Path) -> None:
    """Wrong name, then uncovered seats, then on, then never again."""
    found = aurora()

    with pytest.raises(InvalidInput, match="type the organization's name, Aurora Ltd"):
        settings.enable_hipaa(by=found.ada, confirmation="Aurora")
    with pytest.raises(Conflict, match="3 members hold a seat type that is not covered"):
        settings.enable_hipaa(by=found.ada, confirmation="Aurora Ltd")
    for who in (found.ada, found.bruno, found.elena):
        seats.assign(by=found.ada, member_id=who.member_id, seat_type="chat")
    settings.enable_hipaa(by=found.ada, confirmation="Aurora Ltd")
    with pytest.raises(Conflict, match="cannot be undone"):
        settings.enable_hipaa(by=found.ada, confirmation="Aurora Ltd")
    with pytest.raises(InvalidInput, match=r"Chat \+ Claude Code is not covered while HIPAA-ready"):
        seats.assign(by=found.ada, member_id=found.elena.member_id, seat_type="chat_claude_code")


def test_a_refusal_has_one_of_two_statuses(database: Path) -> None:
    """Everything else breaks clients."""
    found = aurora()

    with pytest.raises(InvalidInput, match="must be 429 or 402"):
        settings.change(by=found.ada, refusal_status=403)
    assert 429 == Organization.objects.get().refusal_status
