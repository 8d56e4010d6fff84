"""Signing in: an address is whose mailbox it is, and only the mailbox proves it."""

from pathlib import Path

import pytest
from django.test import Client

from builders import PASSWORD, Aurora, aurora
from tokenpool.organizations import members
from tokenpool.organizations.models import Member, Person


@pytest.fixture
def org(database: Path) -> Aurora:
    """Return the usual organization."""
    return aurora()


def signed_in(email: str, password: str = PASSWORD) -> Client:
    """Return a browser after its sign-in."""
    client = Client()
    assert 302 == client.post("/accounts/login/", {"login": email, "password": password}).status_code
    return client


def test_nobody_takes_an_address_that_another_organization_will_invite(org: Aurora) -> None:
    """Farid cannot become boss@borealis.example and be let in when Borealis adds its boss."""
    there = aurora("Borealis", "borealis.example")
    farid = signed_in("farid@aurora.example")

    answers = [
        farid.post("/accounts/email/", {"email": "boss@borealis.example", step: ""}).status_code
        for step in ("action_add", "action_primary")
    ]
    boss = members.add(by=there.ada, email="boss@borealis.example", name="Boss", role="owner")

    assert [404, 404] == answers
    assert boss.person_id != Member.objects.get(id=org.farid.member_id).person_id
    assert 403 == farid.get("/members").status_code


def test_a_given_password_that_was_changed_while_signed_in_opens_no_other_organization(org: Aurora) -> None:
    """Ada, who gave it, can change it too; only a reset through the mailbox makes it the person's own."""
    there = aurora("Borealis", "borealis.example")
    members.add(by=org.ada, email="boss@borealis.example", name="Boss", password="given by an admin")
    ada_as_boss = signed_in("boss@borealis.example", "given by an admin")
    new = {"oldpassword": "given by an admin", "password1": "changed by an admin", "password2": "changed by an admin"}
    ada_as_boss.post("/accounts/password/change/", new)

    members.add(by=there.ada, email="boss@borealis.example", name="Boss", role="owner")

    boss = Person.objects.get(email="boss@borealis.example")
    assert (False, "") == (boss.check_password("changed by an admin"), boss.password_given_by)
    assert ada_as_boss.get("/me")["location"].startswith("/accounts/login/")
