"""Signing in a device as OAuth has it: metadata, forms, errors, and nothing kept by anybody on the way."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from builders import Aurora, aurora
from tokenpool.organizations import devices
from tokenpool.organizations.models import DeviceRequest

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def org(database: Path) -> Aurora:
    """Return the usual organization."""
    return aurora()


def post(path: str, body: str = "", content_type: str = FORM) -> Any:
    """Send a form as a client does, without cookies or a CSRF token."""
    client = Client(enforce_csrf_checks=True, headers={"user-agent": "claude-code/2.1.330"})
    return client.generic("POST", path, body.encode(), content_type=content_type)


def test_metadata_tells_endpoints_on_the_public_origin(org: Aurora) -> None:
    """Issuer, device, token and revocation endpoint; both grants; no authorization endpoint."""
    found = Client().get("/.well-known/oauth-authorization-server").json()

    base = settings.PUBLIC_URL
    assert [base, f"{base}/oauth/device_authorization", f"{base}/oauth/token", f"{base}/oauth/revoke"] == [
        found["issuer"], found["device_authorization_endpoint"], found["token_endpoint"], found["revocation_endpoint"],
    ]  # fmt: skip
    assert [GRANT, "refresh_token"] == found["grant_types_supported"]
    assert "authorization_endpoint" not in found


def test_a_sign_in_from_the_first_request_to_the_last(org: Aurora) -> None:
    """Codes, pending, approval, tokens, renewal, revocation; no answer may be kept by a cache."""
    asked = post("/oauth/device_authorization", "surface=claude_code&scope=anything")
    told = asked.json()
    assert (600, 5, f"{settings.PUBLIC_URL}/device") == (told["expires_in"], told["interval"], told["verification_uri"])
    assert told["verification_uri_complete"].endswith(f"/device?user_code={told['user_code']}")
    poll = f"grant_type={GRANT}&device_code={told['device_code']}"
    pending = post("/oauth/token", poll)
    assert (400, "authorization_pending") == (pending.status_code, pending.json()["error"])

    found = devices.look_up(told["user_code"])
    assert found is not None
    devices.decide(by=org.elena, request=found, approved=True)
    DeviceRequest.objects.update(polled_at=None)  # five seconds later
    tokens = post("/oauth/token", poll)
    renewed = post("/oauth/token", f"grant_type=refresh_token&refresh_token={tokens.json()['refresh_token']}")

    assert {"access_token", "refresh_token", "email", "expires_in", "token_type"} == set(tokens.json())
    assert ("Bearer", "elena@aurora.example") == (tokens.json()["token_type"], tokens.json()["email"])
    assert 200 == post("/oauth/revoke", f"token={renewed.json()['access_token']}").status_code
    refused = post("/oauth/token", f"grant_type=refresh_token&refresh_token={renewed.json()['refresh_token']}")
    assert (401, "invalid_grant") == (refused.status_code, refused.json()["error"])
    for answer in (asked, pending, tokens, renewed, refused):
        assert "no-store" == answer["Cache-Control"]


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status", "error", "named"),
    [
        ("token", "", FORM, 400, "unsupported_grant_type", "grant_type"),
        ("token", "grant_type=password&username=a", FORM, 400, "unsupported_grant_type", "grant_type"),
        ("token", f"grant_type={GRANT}", FORM, 400, "invalid_request", "device_code"),
        ("token", "grant_type=refresh_token&refresh_token=", FORM, 400, "invalid_request", "refresh_token"),
        ("token", f"grant_type={GRANT}&device_code=x", FORM, 400, "invalid_grant", "start again"),
        ("token", "grant_type=refresh_token&refresh_token=x", FORM, 401, "invalid_grant", "sign in again"),
        ("token", f"grant_type={GRANT}&device_code=a&device_code=b", FORM, 400, "invalid_request", "device_code"),
        ("token", '{"grant_type": "refresh_token"}', "application/json", 400, "invalid_request", "content-type"),
        ("token", "a=" + "x" * 17_000, FORM, 413, "invalid_request", "16384"),
        ("revoke", "", FORM, 400, "invalid_request", "token"),
        ("device_authorization", "{}", "application/json", 400, "invalid_request", "content-type"),
    ],
)
def test_a_wrong_form_is_refused_by_name(
    org: Aurora, path: str, body: str, content_type: str, status: int, error: str, named: str
) -> None:
    """Each with the status, the error of RFC 6749 and what to do; nothing is written."""
    answer = post(f"/oauth/{path}", body, content_type)

    assert (status, error) == (answer.status_code, answer.json()["error"])
    assert named in answer.json()["error_description"]
    assert not DeviceRequest.objects.exists()


def test_only_the_method_that_is_meant_is_taken(org: Aurora) -> None:
    """GET of a form's address is 405."""
    assert [405, 405, 405] == [
        Client().get(f"/oauth/{path}").status_code for path in ("token", "revoke", "device_authorization")
    ]
