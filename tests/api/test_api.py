"""The API: an organization run by HTTP alone, exact bodies, and every kind of bad input."""

import time
from typing import Any

import pytest
from django.test import Client

from builders import aurora
from tokenpool.audit.models import AuditEvent
from tokenpool.limits.models import SpendLimit
from tokenpool.organizations import api_keys
from tokenpool.organizations.models import Member

from .conftest import Machine


def test_an_organization_is_run_by_http_alone(machine: Machine) -> None:
    """A member, a seat, a key, a limit, the summary, the feed."""
    status, member = machine.call(
        "POST", "tokenpool/members", {"email": "hana@aurora.example", "name": "Hana Sato", "seat_type": "chat"}
    )
    _, moved = machine.call("PUT", f"tokenpool/members/{member['id']}/seat", {"seat_type": "chat_claude_code"})
    _, key = machine.call("POST", f"tokenpool/members/{member['id']}/keys", {"product": "claude_code", "name": "CI"})
    scope = {"type": "user", "user_id": member["id"]}
    _, limit = machine.call("POST", "organizations/spend_limits", {"scope": scope, "amount": "1250"})
    _, summary = machine.call("GET", "tokenpool/usage/summary?limit=50")
    _, feed = machine.call("GET", "compliance/activities?limit=3", kind="compliance")

    assert (201, "chat", "chat_claude_code") == (status, member["seat_type"], moved["seat_type"])
    assert api_keys.looks_like_key(key["key"])
    assert ("1250", "each", "monthly", True) == (limit["amount"], limit["basis"], limit["period"], limit["is_enabled"])
    row = next(one for one in summary["members"] if one["id"] == member["id"])
    assert (0, "0.00", 12_500_000_000, limit["id"]) == (
        row["spent_nano"], row["spent"], row["left_nano"], row["binding_limit"],
    )  # fmt: skip
    assert ["spend_limit_set", "api_key_created", "seat_type_assigned"] == [one["type"] for one in feed["data"]]
    assert ("admin_api_key_actor", "12500000000") == (
        feed["data"][0]["actor"]["type"], str(feed["data"][0]["after"]["amount_nano"]),
    )  # fmt: skip
    assert feed["has_more"]


def test_limits_read_back_and_end(machine: Machine) -> None:
    """Listed in order, found by id, deleted once."""
    machine.call("POST", "organizations/spend_limits", {"scope": {"type": "organization"}, "amount": None})
    tier = {"type": "seat_tier", "seat_tier": "chat"}
    _, row = machine.call("POST", "organizations/spend_limits", {"scope": tier, "amount": "5", "basis": "each"})

    _, listed = machine.call("GET", "organizations/spend_limits")
    deleted = machine.call("DELETE", f"organizations/spend_limits/{row['id']}")
    again, _ = machine.call("DELETE", f"organizations/spend_limits/{row['id']}")

    assert [("organization", "pool", None), ("seat_tier", "each", "5")] == [
        (one["scope"]["type"], one["basis"], one["amount"]) for one in listed["data"]
    ]
    assert (200, {"id": row["id"], "type": "spend_limit_deleted"}) == deleted
    assert 409 == again


@pytest.mark.parametrize("amount", ["-1", "1e18", "NaN", "12,50", "12.50", "", " 1", "٣", "9" * 19, 5, 5.0, True])
def test_what_is_no_amount_is_refused_and_sets_nothing(machine: Machine, amount: object) -> None:
    """Whole cents as text, nothing else."""
    status, body = machine.call(
        "POST", "organizations/spend_limits", {"scope": {"type": "organization"}, "amount": amount}
    )

    assert (400, "invalid_request_error", "amount") == (
        status,
        body["error"]["type"],
        body["error"]["details"]["field"],
    )
    assert 0 == SpendLimit.objects.count()


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"currency": "EUR"}, "currency"),
        ({"currency": ""}, "currency"),
        ({"period": "yearly"}, "period"),
        ({"period": "month"}, "period"),
        ({"basis": "some"}, "basis"),
        ({"exception": True}, "exception"),
        ({"scope": {"type": "planet"}}, "scope.type"),
        ({"scope": {"type": "user"}}, "scope.user_id"),
        ({"reason": "x" * 201}, "reason"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_its_field(machine: Machine, more: dict[str, Any], field: str) -> None:
    """Another currency, a window that does not exist, and their like: 400, nothing set."""
    body = {"scope": {"type": "organization"}, "amount": "100", **more}

    status, answer = machine.call("POST", "organizations/spend_limits", body)

    assert (400, field, 0) == (status, answer["error"]["details"]["field"], SpendLimit.objects.count())


def test_a_limit_may_say_the_organizations_currency(machine: Machine) -> None:
    """Dollars are dollars."""
    body = {"scope": {"type": "organization"}, "amount": "100", "currency": "USD"}

    assert 200 == machine.call("POST", "organizations/spend_limits", body)[0]


def test_of_two_seats_given_at_once_the_second_is_a_conflict(machine: Machine) -> None:
    """`expect` is what was seen: 409 names what stands now, 200 when it still does."""
    path = f"tokenpool/members/{machine.org.farid.member_id}/seat"

    statuses = [
        machine.call("PUT", path, {"seat_type": "chat_claude_code", "expect": "chat"})[0],
        machine.call("PUT", path, {"seat_type": None, "expect": "chat"})[0],
        machine.call("PUT", path, {"seat_type": None, "expect": "chat_claude_code"})[0],
        machine.call("PUT", path, {"seat_type": "chat", "expect": "none"})[0],
    ]

    assert [200, 409, 200, 200] == statuses


@pytest.mark.parametrize("kind", ["meter", "compliance", "product"])
def test_what_a_key_of_another_kind_can_read(machine: Machine, kind: str) -> None:
    """The price list and whose key it is; neither the plan's fees nor its seat types."""
    paths = ("organizations/me", "tokenpool/prices", "tokenpool/plan", "tokenpool/seat_types")

    assert [200, 200, 403, 403] == [machine.call("GET", path, kind=kind)[0] for path in paths]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        (b'{"email": "a@b.it", "email": "c@d.it", "name": "x"}', "key “email” stands twice"),
        (b'{"email": NaN}', "NaN is not JSON"),
        (b"[" * 50_000, "not valid JSON"),
        ({"email": "a@b.it", "name": "x", "organization_id": "org_x"}, "organization_id: Extra inputs"),
        ({"email": "a@b.it", "name": "x", "role": "primary_owner"}, "role: must be one of"),
        ({"email": "a@b.it", "name": "x", "seat_type": "gold"}, "it must be chat, chat_claude_code or null"),
        ({"email": 5, "name": "x"}, "email: "),
        ({"name": "x"}, "email: Field required"),
        ([], "body: "),
    ],
)
def test_bad_bodies_name_the_field_and_add_nobody(machine: Machine, body: object, said: str) -> None:
    """400 in the envelope, never 422."""
    before = Member.objects.count()

    status, answer = machine.call("POST", "tokenpool/members", body)

    assert (400, before) == (status, Member.objects.count())
    assert said in answer["error"]["message"]


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("tokenpool/members", "GET"),
        ("tokenpool/usage/summary", "GET"),
        ("tokenpool/invoices", "GET"),
        ("organizations/spend_limits", "GET"),
        ("tokenpool/members", "POST"),
    ],
)
@pytest.mark.parametrize("kind", ["meter", "compliance", "product"])
def test_only_an_admin_key_administers(machine: Machine, kind: str, path: str, method: str) -> None:
    """403 with the right that is missing."""
    status, body = machine.call(method, path, {"email": "a@b.it", "name": "x"} if method == "POST" else None, kind=kind)

    assert (403, "permission_error") == (status, body["error"]["type"])


def test_unknown_missing_and_doubled_credentials(machine: Machine) -> None:
    """401, 401, 400."""
    secret = machine.keys["admin"]
    statuses = [
        machine.call("GET", "tokenpool/plan", kind="tp-admin-" + "x" * 43)[0],
        machine.call("GET", "tokenpool/plan", kind="")[0],
        machine.call("GET", "tokenpool/plan", authorization=f"Bearer {secret}")[0],
    ]

    assert [401, 401, 400] == statuses


def test_another_organizations_ids_answer_like_missing_ones(machine: Machine) -> None:
    """The same body but for its request id."""
    there = aurora("Borealis", "borealis.example")
    answers = []
    for member_id in (there.farid.member_id, "user_00000000000000000000000000"):
        for method, path, body in [
            ("GET", f"tokenpool/members/{member_id}", None),
            ("PUT", f"tokenpool/members/{member_id}/seat", {"seat_type": None}),
            ("DELETE", f"tokenpool/members/{member_id}", None),
            ("POST", f"tokenpool/members/{member_id}/keys", {"product": "chat", "name": "k"}),
            ("GET", f"tokenpool/limits/explain?member={member_id}", None),
        ]:
            status, answer = machine.call(method, path, body)
            answers.append((status, answer["error"]))

    assert answers[:5] == answers[5:]
    assert {404} == {status for status, _ in answers}


def test_addresses_and_methods_that_do_not_exist(machine: Machine) -> None:
    """In the envelope too."""
    assert (404, "not_found_error") == _told(machine.call("GET", "nothing/here"))
    assert (405, "api_error") == _told(machine.call("DELETE", "tokenpool/plan"))


@pytest.mark.parametrize("path", ["/v1/v1/messages", "/messages", "/chat/completions", "/responses", "/embeddings"])
def test_a_base_address_with_one_v1_too_many_or_too_few_is_told(machine: Machine, path: str) -> None:
    """The SDKs show the sentence of the envelope, and nothing of a page."""
    answer = Client(headers={"x-api-key": machine.keys["product"]}).post(path, {}, content_type="application/json")

    assert (404, "not_found_error") == (answer.status_code, answer.json()["error"]["type"])
    assert "Claude Code ends without /v1, that of OpenAI's SDKs with it." in answer.json()["error"]["message"]


def test_the_catalog_and_the_preview(machine: Machine) -> None:
    """Seat types with their fees, one model's price, the running month."""
    _, types = machine.call("GET", "tokenpool/seat_types")
    _, prices = machine.call("GET", "tokenpool/prices?model=claude-haiku-5-5&on=2026-11-24")
    _, preview = machine.call("GET", "tokenpool/invoices/preview")
    status, _ = machine.call("GET", "tokenpool/prices?on=tomorrow")

    assert [("chat", 20_000_000_000), ("chat_claude_code", 40_000_000_000)] == [
        (one["key"], one["fee_nano"]) for one in types["data"]
    ]
    assert [0, 100_000] == [band["above_prompt_tokens"] for band in prices["data"][0]["bands"]]
    assert ("preview", None) == (preview["status"], preview["number"])
    assert 400 == status


def _told(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["type"]


def test_a_key_that_stands_twice_is_found_at_once(machine: Machine) -> None:
    """Two hundred thousand other keys before it cost no minutes, whoever sends them."""
    names = ",".join(f'"{number:06d}":1' for number in range(200_000))
    began = time.monotonic()

    status, body = machine.call("POST", "tokenpool/members", f'{{{names},"199999":1}}'.encode(), kind="product")

    assert (400, True) == (status, "“199999” stands twice" in body["error"]["message"])
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("half", [b"\\ud800", b"\\udfff", b"\xed\xa0\x80"])
def test_half_a_character_is_no_json(machine: Machine, half: bytes) -> None:
    """A lone surrogate cannot be stored; written out or escaped, it is 400 and adds nobody."""
    body = b'{"email": "a@b.it", "name": "x", "cost_center": "' + half + b'"}'

    status, answer = machine.call("POST", "tokenpool/members", body)

    assert (400, "The body is not valid JSON: it holds half a surrogate pair.") == (status, answer["error"]["message"])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"tokenpool/members?offset={'9' * 30}", "limit"),
        (f"tokenpool/usage/summary?offset={'9' * 30}", "limit"),
        (f"tokenpool/members?text={'x' * 60_000}", "text"),
        ("compliance/activities?created_at.gte=0001-01-01T00:00:00%2B23:59", "created_at"),
        ("compliance/activities?created_at.lt=9999-12-31T23:59:59-23:59", "created_at"),
    ],
)
def test_what_is_beyond_all_measure_is_named(machine: Machine, path: str, field: str) -> None:
    """400 with the field, never 500."""
    status, body = machine.call("GET", path)

    assert (400, field) == (status, body["error"]["details"]["field"])


def test_an_instant_without_a_zone_is_utc_in_the_feed_too(machine: Machine) -> None:
    """As in the list of events."""
    instant = AuditEvent.objects.order_by("-sequence")[0].created_at

    _, at = machine.call("GET", f"compliance/activities?created_at.gte={instant:%Y-%m-%dT%H:%M:%S.%f}")
    _, after = machine.call("GET", f"compliance/activities?created_at.gt={instant:%Y-%m-%dT%H:%M:%S.%f}")

    assert (1, 0) == (len(at["data"]), len(after["data"]))
