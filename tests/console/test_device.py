"""The page where a person lets a device in: what asks is shown, and nothing is decided by a link."""

from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client

from builders import Aurora, aurora
from tokenpool.kernel import clock
from tokenpool.organizations import device_tokens, devices
from tokenpool.organizations.devices import Asked
from tokenpool.organizations.models import ApiKey, DeviceRequest, DeviceToken, Member, Person
from tokenpool.organizations.roles import Principal


@pytest.fixture
def org(database: Path) -> Aurora:
    """Return the usual organization; nobody has tried a code."""
    cache.clear()
    return aurora()


def browser(who: Principal, language: str = "en") -> Client:
    """Return a signed-in browser."""
    client = Client(headers={"accept-language": language})
    client.force_login(Person.objects.get(id=Member.objects.get(id=who.member_id).person_id))
    return client


def asked(agent: str = "claude-code/2.1.330") -> Asked:
    """Let a device ask."""
    found = devices.ask(user_agent=agent, address="192.0.2.7")
    assert isinstance(found, Asked)
    return found


def text(client: Client, code: str = "") -> tuple[int, str]:
    """Open the page."""
    answer = client.get("/device", {"user_code": code} if code else {})
    return answer.status_code, answer.content.decode()


def test_a_link_shows_what_asks_and_decides_nothing(org: Aurora) -> None:
    """Client, address, code and who will pay are shown with both buttons; the request still waits."""
    code = devices.written(asked().user_code)

    status, shown = text(browser(org.elena), code)

    spends_for = "elena@aurora.example, Aurora Ltd"
    assert 200 == status
    assert all(word in shown for word in ("Claude Code 2.1.330", "192.0.2.7", code, "Allow", "Deny", spends_for))
    assert "waiting" == DeviceRequest.objects.get().state


@pytest.mark.parametrize(("decision", "state"), [("allow", "approved"), ("deny", "denied")])
def test_a_person_decides_once(org: Aurora, decision: str, state: str) -> None:
    """The second time the code is not known any more."""
    code, client = asked().user_code, browser(org.elena)

    first = client.post("/device/decide", {"user_code": code, "decision": decision})
    second = client.post("/device/decide", {"user_code": code, "decision": "allow"})

    assert (200, 404, state) == (first.status_code, second.status_code, DeviceRequest.objects.get().state)


def test_a_seat_without_claude_code_can_only_deny(org: Aurora) -> None:
    """Farid sees why; a form that asks for more is refused."""
    code, client = asked().user_code, browser(org.farid)

    _, shown = text(client, code)
    answer = client.post("/device/decide", {"user_code": code, "decision": "allow"})

    assert "Your seat type does not include Claude Code" in shown
    assert 'value="allow"' not in shown
    assert (403, "waiting") == (answer.status_code, DeviceRequest.objects.get().state)


def test_a_wrong_code_says_what_to_do_and_the_eleventh_in_a_minute_is_not_looked_up(org: Aurora) -> None:
    """404 with a sentence ten times, then 429, also for a right one; another person is not concerned."""
    client = browser(org.elena)

    assert [404] * 10 == [text(client, "BBBB-BBBB")[0] for _ in range(10)]
    status, shown = text(client, asked().user_code)

    assert 429 == status
    assert "Too many codes were tried" in shown
    assert 200 == text(browser(org.ada), asked().user_code)[0]


def test_an_address_tries_thirty_codes_a_minute_whoever_sits_there(org: Aurora) -> None:
    """Three people's ten each; the fourth is refused from that address and served from another."""
    for who in (org.elena, org.farid, org.ada):
        client = browser(who)
        assert [404] * 10 == [text(client, "BBBB-BBBB")[0] for _ in range(10)]
    fourth, code = browser(org.giulia), asked().user_code

    assert 429 == text(fourth, code)[0]
    assert 200 == fourth.get("/device", {"user_code": code}, REMOTE_ADDR="192.0.2.99").status_code


def test_a_code_is_shown_as_the_device_shows_it_however_it_was_typed(org: Aurora) -> None:
    """A person compares letters, so what a link wrote around them is not repeated."""
    code = asked().user_code

    _, shown = text(browser(org.elena), f" {code[:3].lower()}.{code[3:]}! ")

    assert f"{code[:4]}-{code[4:]}" in shown
    assert f"{code[3:]}!" not in shown


def test_the_page_asks_for_a_code_in_italian_too(org: Aurora) -> None:
    """The form has one field; whoever is not signed in is asked to first, and keeps the code."""
    Person.objects.update(language="it")

    _, shown = text(browser(org.elena, "it"))
    outside = Client().get("/device?user_code=WDJB-MJHT")

    assert "Accesso di un dispositivo" in shown
    assert 'name="user_code"' in shown
    assert "/device%3Fuser_code%3DWDJB-MJHT" in outside["location"]


@pytest.mark.parametrize("code", ["<script>", "é" * 500, "' or 1=1", "WDJB-MJHT" * 400])
def test_hostile_codes_are_codes_nobody_knows(org: Aurora, code: str) -> None:
    """404, escaped, at once."""
    status, shown = text(browser(org.elena), code)

    assert 404 == status
    assert "<script>" not in shown.replace("<script>", "", shown.count("<script src="))


def test_a_signed_in_device_stands_among_the_keys_until_it_is_revoked(org: Aurora) -> None:
    """Its name, its address, until when it can be renewed; the button ends it."""
    device, client = asked(), browser(org.elena)
    client.post("/device/decide", {"user_code": device.user_code, "decision": "allow"})
    tokens = device_tokens.redeem(device.device_code)
    key = ApiKey.objects.get(key_hash=None)

    shown = client.get("/keys").content.decode()
    client.post(f"/keys/{key.id}/revoke")

    assert all(words in shown for words in ("Claude Code 2.1.330", "a device at 192.0.2.7", "renewed", "until"))
    assert isinstance(tokens, device_tokens.Tokens)
    assert isinstance(device_tokens.renew(tokens.refresh_token), devices.Refused)
    assert "revoked" in client.get("/keys").content.decode()


def test_a_sign_in_that_was_not_renewed_in_time_is_expired_among_the_keys(org: Aurora) -> None:
    """A word instead of the button, and no date that it would be good until."""
    device, client = asked(), browser(org.elena)
    client.post("/device/decide", {"user_code": device.user_code, "decision": "allow"})
    device_tokens.redeem(device.device_code)

    before = client.get("/keys").content.decode()
    DeviceToken.objects.update(expires_us=clock.timestamp(clock.now()))
    after = client.get("/keys").content.decode()

    revoke = f"/keys/{ApiKey.objects.get(key_hash=None).id}/revoke"
    assert (False, True, True) == ("expired" in before, "renewed" in before, revoke in before)
    assert (True, False, False) == ("expired" in after, "renewed" in after, revoke in after)
