"""A device is signed in once, its secrets rotate, and whoever holds an old one ends the sign-in."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from builders import Aurora, aurora
from tokenpool.audit.models import AuditEvent
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Conflict, NotAllowed
from tokenpool.organizations import device_tokens, devices, members, seats
from tokenpool.organizations.device_tokens import Tokens
from tokenpool.organizations.devices import Asked, Refused
from tokenpool.organizations.models import ApiKey, DeviceRequest, DeviceToken

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def org(either_database: Path | str) -> Aurora:
    """Return the usual organization, on SQLite and on PostgreSQL."""
    return aurora()


def later(seconds: float) -> datetime:
    """Return an instant after noon."""
    return NOON + timedelta(seconds=seconds)


def asked() -> Asked:
    """Let a device ask at noon."""
    with clock.standing_at(NOON):
        found = devices.ask(user_agent="claude-code/2.1.330 (external)", address="192.0.2.7")
    assert isinstance(found, Asked)
    return found


def poll(device: Asked, seconds: float) -> Tokens | Refused:
    """Ask for tokens so many seconds after noon."""
    with clock.standing_at(later(seconds)):
        return device_tokens.redeem(device.device_code)


def error(answer: Tokens | Refused) -> str:
    """Return the error of a refusal."""
    assert isinstance(answer, Refused)
    return answer.error


def decide(org: Aurora, device: Asked, *, approved: bool = True, seconds: float = 10) -> None:
    """Let Elena decide."""
    with clock.standing_at(later(seconds)):
        found = devices.look_up(device.user_code)
        assert found is not None
        devices.decide(by=org.elena, request=found, approved=approved)


def signed_in(org: Aurora) -> Tokens:
    """Sign a device of Elena's in."""
    device = asked()
    decide(org, device)
    tokens = poll(device, 20)
    assert isinstance(tokens, Tokens)
    return tokens


def renewed(token: str, seconds: float = 3600) -> Tokens | Refused:
    """Renew so many seconds after noon."""
    with clock.standing_at(later(seconds)):
        return device_tokens.renew(token)


def test_a_device_waits_is_slowed_down_and_signed_in_once(org: Aurora) -> None:
    """Pending; too fast; after the approval tokens for Elena; the same code once more ends what it gave."""
    device = asked()

    assert ["authorization_pending", "slow_down"] == [error(poll(device, at)) for at in (5, 7)]
    decide(org, device)
    tokens = poll(device, 20)

    assert isinstance(tokens, Tokens)
    assert (org.elena.name, 604_800) == (tokens.email, tokens.expires_in)
    key = ApiKey.objects.get(key_hash=None)
    assert ("Claude Code 2.1.330", "192.0.2.7", "claude_code", org.elena.member_id, None) == (
        key.name, key.hint, key.product, key.member_id, key.revoked_at,
    )  # fmt: skip
    assert "invalid_grant" == error(poll(device, 30))
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_a_denied_an_expired_and_an_unknown_code_give_nothing(org: Aurora) -> None:
    """access_denied, expired_token after ten minutes, invalid_grant; no sign-in has come of any."""
    denied, expired = asked(), asked()
    decide(org, denied, approved=False)

    assert "access_denied" == error(poll(denied, 20))
    assert "expired_token" == error(poll(expired, 601))
    assert "invalid_grant" == error(device_tokens.redeem("guessed"))
    assert not ApiKey.objects.filter(key_hash=None).exists()


def test_a_code_is_decided_once_and_only_by_a_seat_that_opens_claude_code(org: Aurora) -> None:
    """Farid's chat seat lets nothing in; Elena's approval cannot be taken back by a second decision."""
    device = asked()
    found = devices.look_up(device.user_code)
    assert found is not None
    with clock.standing_at(later(5)), pytest.raises(NotAllowed, match="does not include Claude Code"):
        devices.decide(by=org.farid, request=found, approved=True)

    decide(org, device)

    with clock.standing_at(later(20)), pytest.raises(Conflict, match="decided already"):
        devices.decide(by=org.farid, request=found, approved=False)


def test_a_code_reads_however_it_is_typed_and_wears_out(org: Aurora) -> None:
    """Small letters, spaces and dashes are one code; the eleventh look is too many."""
    device = asked()
    code = device.user_code
    typed = [f" {code[:4].lower()} - {code[4:]} "] * 10

    assert all(devices.look_up(one) is not None for one in typed)
    found = devices.look_up(code)

    assert found is not None
    assert "expired" == devices.state_of(found, later(1))
    assert None is devices.look_up("BBBB-BBBB")


def test_secrets_are_kept_as_hashes_alone(org: Aurora) -> None:
    """Neither code nor token stands in a row."""
    device = asked()
    decide(org, device)
    tokens = poll(device, 20)
    assert isinstance(tokens, Tokens)

    rows = [str(row) for table in (DeviceRequest, DeviceToken, ApiKey) for row in table.objects.values_list()]

    for secret in (device.device_code, device.user_code, tokens.access_token, tokens.refresh_token):
        assert not any(secret in row for row in rows)


def test_renewing_gives_new_tokens_and_a_lost_answer_may_be_asked_again(org: Aurora) -> None:
    """The same refresh token twice is fine until what it gave was used."""
    first = signed_in(org)
    lost, second = renewed(first.refresh_token), renewed(first.refresh_token, 3601)
    assert isinstance(second, Tokens)
    assert isinstance(lost, Tokens)

    third = renewed(second.refresh_token, 3700)

    assert isinstance(third, Tokens)
    assert 4 == len({one.access_token for one in (first, lost, second, third)})


def test_an_old_refresh_token_that_comes_again_ends_the_sign_in(org: Aurora) -> None:
    """Two hold it: all its tokens are over, and the audit says why."""
    first = signed_in(org)
    second = renewed(first.refresh_token)
    assert isinstance(second, Tokens)
    assert isinstance(renewed(second.refresh_token, 3700), Tokens)

    assert "invalid_grant" == error(renewed(first.refresh_token, 3800))

    assert "invalid_grant" == error(renewed(second.refresh_token, 3900))
    end = AuditEvent.objects.filter(action="api_key_revoked").get()
    assert {"reason": "an old refresh token came again: two hold the sign-in"} == end.after


def test_a_used_refresh_token_may_come_again_for_an_hour(org: Aurora) -> None:
    """Sixty minutes after its first use it still gives tokens; a second later it ends the sign-in."""
    first = signed_in(org)
    assert isinstance(renewed(first.refresh_token, 3600), Tokens)

    assert isinstance(renewed(first.refresh_token, 7200), Tokens)
    assert "invalid_grant" == error(renewed(first.refresh_token, 7201))

    key = ApiKey.objects.get(key_hash=None)
    assert key.revoked_at is not None


@pytest.mark.parametrize("loss", ["removed", "seat", "expired", "signed out"])
def test_a_sign_in_cannot_be_renewed_by_who_may_not_any_more(org: Aurora, loss: str) -> None:
    """Removed, without the seat, after thirty days, or signed out: invalid_grant."""
    tokens = signed_in(org)
    if loss == "removed":
        members.remove(by=org.ada, member_id=org.elena.member_id)
    if loss == "seat":
        seats.assign(by=org.ada, member_id=org.elena.member_id, seat_type="chat")
    if loss == "signed out":
        device_tokens.sign_out(tokens.access_token)

    assert "invalid_grant" == error(renewed(tokens.refresh_token, 30 * 86_400 + 30 if loss == "expired" else 3600))


def test_a_member_removed_between_approval_and_poll_is_not_signed_in(org: Aurora) -> None:
    """access_denied, and no key."""
    device = asked()
    decide(org, device)
    members.remove(by=org.ada, member_id=org.elena.member_id)

    assert "access_denied" == error(poll(device, 20))
    assert not ApiKey.objects.filter(key_hash=None).exists()


def test_every_step_of_a_sign_in_is_in_the_audit(org: Aurora) -> None:
    """Approved, made, and ended by the device itself."""
    tokens = signed_in(org)
    device_tokens.sign_out(tokens.refresh_token)
    device_tokens.sign_out(tokens.refresh_token)
    device_tokens.sign_out("nobody's")

    rows = AuditEvent.objects.filter(organization_id=org.organization_id).order_by("sequence")
    told = [row.action for row in rows if row.action.startswith(("device", "api_key"))]
    assert ["device_approved", "api_key_created", "api_key_revoked"] == told


def test_an_address_may_not_fill_the_table(org: Aurora) -> None:
    """The hundred and first waiting request of one address is slowed down; another address is not."""
    with clock.standing_at(NOON):
        for _ in range(100):
            assert isinstance(devices.ask(user_agent="x", address="192.0.2.7"), Asked)

        assert "slow_down" == error(devices.ask(user_agent="x", address="192.0.2.7"))  # type: ignore[arg-type]
        assert isinstance(devices.ask(user_agent="x", address="192.0.2.8"), Asked)
    with clock.standing_at(NOON + timedelta(hours=2)):
        assert isinstance(devices.ask(user_agent="x", address="192.0.2.7"), Asked)
    assert 1 == DeviceRequest.objects.count()  # what expired an hour ago is gone


def test_a_network_of_ipv6_is_one_address(org: Aurora) -> None:
    """A hundred addresses of one /64 wait, the next of it is slowed down, another network is not."""
    with clock.standing_at(NOON):
        for host in range(100):
            assert isinstance(devices.ask(user_agent="x", address=f"2001:db8:0:7:{host:x}::1"), Asked)

        assert "slow_down" == error(devices.ask(user_agent="x", address="2001:db8:0:7::ffff"))  # type: ignore[arg-type]
        assert isinstance(devices.ask(user_agent="x", address="2001:db8:0:8::1"), Asked)
        assert isinstance(devices.ask(user_agent="x", address="::ffff:192.0.2.7"), Asked)
        assert isinstance(devices.ask(user_agent="x", address="no address"), Asked)

    kept = sorted({request.address for request in DeviceRequest.objects.all()})
    assert ["192.0.2.7", "2001:db8:0:7::/64", "2001:db8:0:8::/64", "no address"] == kept


def test_a_sign_in_keeps_the_tokens_of_thirty_days_and_at_most_a_thousand(
    org: Aurora, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four renewals leave ten rows, one 29 days later six; a renewal too many is refused and ends nothing."""
    token, rows = signed_in(org).refresh_token, []
    for day in (1, 2, 3, 4, 33):
        tokens = renewed(token, day * 86_400)
        assert isinstance(tokens, Tokens)
        token = tokens.refresh_token
        rows.append(DeviceToken.objects.count())
    assert ([4, 6, 8, 10, 6], 1_000) == (rows, device_tokens.MOST_RENEWABLE)

    monkeypatch.setattr(device_tokens, "MOST_RENEWABLE", 2)
    assert "invalid_grant" == error(renewed(token, 33 * 86_400 + 60))
    monkeypatch.setattr(device_tokens, "MOST_RENEWABLE", 3)
    assert isinstance(renewed(token, 33 * 86_400 + 120), Tokens)
