"""Text that PostgreSQL cannot keep: refused at every way in, the same on both databases."""

import json
from pathlib import Path

import pytest
from django.test import Client

from builders import Aurora, aurora
from tokenpool.audit.models import AuditEvent
from tokenpool.kernel.errors import InvalidInput
from tokenpool.organizations import api_keys, members
from tokenpool.organizations.models import Person


@pytest.fixture
def org(either_database: Path | str) -> Aurora:
    """Return the usual organization, on each database."""
    return aurora()


def browser() -> Client:
    """Return Ada's browser."""
    client = Client()
    client.force_login(Person.objects.get(email="ada@aurora.example"))
    return client


def test_an_address_with_nul_is_refused(org: Aurora) -> None:
    """In the path, in the query, for programs and people."""
    key = api_keys.mint(by=org.ada, kind="admin", name="k")[1]

    for path in (
        "members/%00",
        "members?text=%00",
        "usage/events?after_id=a%00b",
        "limits/explain?member=%00",
        "members?group=%00",
    ):
        answer = Client(headers={"x-api-key": key}).get(f"/v1/tokenpool/{path}")
        assert (400, "invalid_request_error") == (answer.status_code, json.loads(answer.content)["error"]["type"])
    for path in (
        "/groups?q=%00",
        "/groups/%00",
        "/groups/%00/delete",
        "/members?q=%00",
        "/usage?seat_type=a%00",
        "/requests?model=%00",
        "/requests/%00",
        "/audit?after=%00",
    ):
        assert (400, path) == (browser().get(path).status_code, path)


def test_a_body_with_nul_is_no_json_of_ours(org: Aurora) -> None:
    """As a value, within a list, as a name; a backslash before it is only text."""
    key = api_keys.mint(by=org.ada, kind="admin", name="k")[1]
    client = Client(headers={"x-api-key": key})
    person = {"email": "a@b.it", "name": "x"}

    answers = [
        client.post("/v1/tokenpool/members", {**person, **more}, content_type="application/json")
        for more in ({"cost_center": "\0"}, {"role": "\0"}, {"x": ["\0"]}, {"\0": 1}, {"cost_center": "\\u0000"})
    ]

    assert [400, 400, 400, 400, 201] == [answer.status_code for answer in answers]
    for answer in answers[:4]:
        assert "it holds a NUL character" in json.loads(answer.content)["error"]["message"]


def test_a_form_with_nul_changes_nothing(org: Aurora) -> None:
    """Least of all the chosen organization, which every later page reads."""
    client, before = browser(), AuditEvent.objects.count()

    for address, form in (
        ("/me/choose", {"organization": "a\0b"}),
        ("/limits/set", {"scope": "organization", "basis": "\0", "amount": "5"}),
        ("/groups/create", {"name": "a\0b"}),
        ("/members/move", {"group": "\0", "member": "\0"}),
        ("/keys/mint", {"name": "k", "product": "chat", "member": "\0"}),
        (f"/members/{org.farid.member_id}/seat", {"seat_type": "\0"}),
    ):
        assert (400, address) == (client.post(address, form).status_code, address)

    assert (200, before) == (client.get("/usage").status_code, AuditEvent.objects.count())


def test_a_cookie_with_nul_signs_nobody_in(org: Aurora) -> None:
    """Nor does it break the page."""
    assert 400 == Client(headers={"cookie": r'sessionid="aaaaaaaa\000aaaaaaaa"'}).get("/usage").status_code


def test_an_address_longer_than_its_column_is_no_address(org: Aurora) -> None:
    """254 characters are, 255 are not."""
    host = ".".join(["h" * 60, "h" * 60, "h" * 60])
    longest = f"{'l' * (254 - len(host) - 4)}@{host}.it"

    assert longest == members.add(by=org.ada, email=longest, name="Longest").email
    with pytest.raises(InvalidInput, match="member_email"):
        members.add(by=org.ada, email=f"l{longest}", name="Longer")
