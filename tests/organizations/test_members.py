"""Members: added once, never above one's station, removed with their keys and without their history."""

from pathlib import Path

import pytest

from builders import aurora
from tokenpool.kernel.errors import Conflict, InvalidInput, NotAllowed
from tokenpool.organizations import api_keys, members
from tokenpool.organizations.models import Member, Person, SeatAssignment


def test_an_address_is_a_member_once(database: Path) -> None:
    """Whatever its case; the same person may belong to two organizations."""
    here, there = aurora(), aurora("Borealis", "borealis.example")

    with pytest.raises(Conflict, match=r"farid@aurora\.example is a member already"):
        members.add(by=here.ada, email="FARID@aurora.example", name="Farid")
    assert here.farid.name == members.add(by=there.ada, email="farid@aurora.example", name="Farid").email


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"email": "nobody"}, "member_email"),
        ({"name": " "}, "member_name"),
        ({"name": "x" * 121}, "member_name"),
        ({"role": "primary_owner"}, "role"),
        ({"role": "king"}, "role"),
        ({"seat_type": "gold"}, "seat_type"),
        ({"password": "short"}, "member_password"),
        ({"cost_center": "R&D\0"}, "cost_center"),
        ({"cost_center": "\n=1+1"}, "cost_center"),
        ({"cost_center": "x" * 81}, "cost_center"),
    ],
)
def test_what_cannot_be_is_refused_by_field_and_adds_nobody(database: Path, given: dict[str, str], field: str) -> None:
    """The member is added whole or not at all."""
    found = aurora()
    before = Member.objects.count()

    with pytest.raises(InvalidInput) as refused:
        members.add(by=found.ada, **{"email": "new@aurora.example", "name": "New", **given})

    assert (field, before) == (refused.value.field, Member.objects.count())


def test_nobody_changes_the_primary_owner_or_themselves(database: Path) -> None:
    """Neither their role nor their place."""
    found = aurora()

    for member_id in (found.ada.member_id, found.bruno.member_id):
        with pytest.raises(NotAllowed):
            members.change_role(by=found.bruno, member_id=member_id, role="member")
        with pytest.raises(NotAllowed):
            members.remove(by=found.bruno, member_id=member_id)


def test_an_admin_does_not_remove_an_owner(database: Path) -> None:
    """Removing a role needs the right to give it."""
    found = aurora()

    with pytest.raises(NotAllowed, match="change roles"):
        members.remove(by=found.chiara, member_id=found.bruno.member_id)


def test_removal_ends_seat_and_keys_and_keeps_the_row(database: Path) -> None:
    """The spend stays with the member it was."""
    found = aurora()
    found.key(found.farid, "chat")

    members.remove(by=found.ada, member_id=found.farid.member_id)

    row = Member.objects.get(id=found.farid.member_id)
    assert (None, True) == (row.seat_type, row.removed_at is not None)
    assert [None, "chat"] == [
        one.seat_type for one in SeatAssignment.objects.filter(member_id=row.id).order_by("-assigned_at", "-id")
    ]
    assert all(key.revoked_at for key in api_keys.of_member(by=found.ada, member_id=row.id))


def test_an_admins_password_does_not_open_another_organization(database: Path) -> None:
    """Chosen by an admin of Aurora, it stops working when Borealis adds the person; one's own goes on."""
    here, there = aurora(), aurora("Borealis", "borealis.example")
    members.add(by=here.ada, email="mallory@x.example", name="M", password="chosen by an admin")
    own = Person.objects.create(id="person_own", email="own@x.example", name="O", created_at="2026-01-01T00:00Z")
    own.set_password("chosen by themselves")
    own.save()

    members.add(by=there.ada, email="mallory@x.example", name="M")
    members.add(by=there.ada, email="own@x.example", name="O")

    assert not Person.objects.get(email="mallory@x.example").has_usable_password()
    assert Person.objects.get(email="own@x.example").check_password("chosen by themselves")


def test_two_organizations_add_the_same_stranger_at_once(
    either_database: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second finds the person of who came first; the password of neither admin opens both."""
    here, there = aurora(), aurora("Borealis", "borealis.example")

    def come_first(person: Person) -> None:
        monkeypatch.undo()
        members.add(by=there.ada, email=person.email, name="New", password="chosen by another")

    monkeypatch.setattr(Person, "set_password", lambda person, _: come_first(person))

    members.add(by=here.ada, email="new@x.example", name="New", password="chosen by an admin")

    person = Person.objects.get(email="new@x.example")
    assert {person.id} == set(Member.objects.filter(email=person.email).values_list("person_id", flat=True))
    assert (2, False) == (Member.objects.filter(email=person.email).count(), person.has_usable_password())


def test_the_name_a_person_has_elsewhere_stays_there(database: Path) -> None:
    """Borealis, knowing an address alone, does not learn from Aurora whose it is."""
    _, there = aurora(), aurora("Borealis", "borealis.example")

    added = members.add(by=there.ada, email="farid@aurora.example", name="  Somebody ")

    assert ("Somebody", "Farid Haddad") == (added.name, Person.objects.get(email="farid@aurora.example").name)
    with pytest.raises(InvalidInput, match="member_name"):
        members.add(by=there.ada, email="giulia@aurora.example", name="")


def test_search_finds_by_name_and_address_and_filters(database: Path) -> None:
    """As one types; without a seat is a filter too."""
    found = aurora()

    assert ["Farid Haddad"] == [m.name for m in members.search(by=found.ada, text="fari")[0]]
    assert ["Dieter Lang"] == [m.name for m in members.search(by=found.ada, seat_type="")[0]]
    assert (3, 7) == (members.search(by=found.ada, seat_type="chat_claude_code")[1], members.search(by=found.ada)[1])
