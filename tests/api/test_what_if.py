"""`POST price_what_if`: prices or limits tried on a past month, in one document or with progress."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient, Client

from builders import DOLLAR, Aurora, aurora
from past import MILLION, MODEL, NOVEMBER, Past, october
from tokenpool.kernel import clock
from tokenpool.metering import what_if
from tokenpool.organizations import api_keys

PATH = "/v1/tokenpool/price_what_if"


@pytest.fixture
async def past(database: Path) -> Past:
    """Return an organization with usage in October."""
    with clock.standing_at(datetime(2026, 9, 1, tzinfo=UTC)):
        found = Past(aurora(), database)
    await found.spend((found.org.farid, october(9), MILLION), (found.org.giulia, october(11), MILLION))
    return found


def admin(org: Aurora, kind: str = "admin") -> str:
    """Return a new key."""
    return api_keys.mint(by=org.ada, kind=kind, name=kind)[1]


def ask(past: Past, body: object, key: str = "") -> tuple[int, dict[str, Any]]:
    """Ask and return status and answer."""
    client = Client(headers={"x-api-key": key or admin(past.org)})
    with clock.standing_at(NOVEMBER):
        answer = client.post(PATH, json.dumps(body), content_type="application/json")
    return answer.status_code, json.loads(answer.content)


def test_prices_are_tried_per_member_and_in_total(past: Past) -> None:
    """A contract of $15 for output: a quarter less for both; exact and as text."""
    status, told = ask(past, {"month": "2026-10", "rows": [{"model": MODEL, "prices": {"output": "15"}}]})

    assert (200, "price_what_if", 2, 40 * DOLLAR, 30 * DOLLAR, "-10.00") == (
        status, told["type"], told["total"]["requests"], told["total"]["actual_nano"], told["total"]["what_if_nano"],
        told["total"]["difference"],
    )  # fmt: skip
    assert {(one["id"], one["what_if"]) for one in told["members"]} == {
        (past.org.farid.member_id, "15.00"), (past.org.giulia.member_id, "15.00"),
    }  # fmt: skip


def test_limits_are_tried_in_the_shape_that_sets_them(past: Past) -> None:
    """$20 for everybody together let the first through and name the second."""
    limit = {"scope": {"type": "organization"}, "amount": "2000"}

    status, told = ask(past, {"month": "2026-10", "limits": [limit]})

    assert (200, "limit_what_if", 1, 20 * DOLLAR, False) == (
        status, told["type"], told["total"]["refused"], told["total"]["what_if_nano"], told["has_more"],
    )  # fmt: skip
    assert [(past.org.giulia.member_id, MODEL, "20.00", "organization", "pool")] == [
        (one["member_id"], one["model"], one["cost"], one["scope"], one["basis"]) for one in told["refused"]
    ]


async def test_progress_comes_line_by_line(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the right Accept; the last line is the answer."""
    monkeypatch.setattr(what_if, "AT_ONCE", 1)
    headers = {"x-api-key": admin(past.org), "accept": "application/x-ndjson"}
    body = json.dumps({"month": "2026-10", "rows": [{"percent": "-50"}]})
    await sync_to_async(connections.close_all)()  # of an earlier test's database, in the thread that serves this one
    answer = await AsyncClient().post(PATH, body, content_type="application/json", headers=headers)

    assert 200 == answer.status_code, answer.content
    lines = [json.loads(line) async for line in answer.streaming_content]  # type: ignore[attr-defined]

    assert [("progress", 0, 2), ("progress", 1, 2), ("progress", 2, 2), ("progress", 2, 2)] == [
        (line["type"], line["done"], line["of"]) for line in lines[:-1]
    ]
    assert (200, 20 * DOLLAR) == (answer.status_code, lines[-1]["total"]["what_if_nano"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"month": "2026-13"}, "month"),
        ({"month": "2026-12"}, "month"),
        ({"month": "2026-10", "base": "free"}, "base"),
        ({"month": "2026-10", "rows": [{"model": "gpt"}]}, "model"),
        ({"month": "2026-10", "rows": [{"provider": "x\ny"}]}, "provider"),
        ({"month": "2026-10", "rows": [{"percent": "1e3"}]}, "percent"),
        ({"month": "2026-10", "rows": [{"percent": -5}]}, "rows.0.percent"),
        ({"month": "2026-10", "rows": [{"prices": {"input": "1"}}]}, "prices"),
        ({"month": "2026-10", "rows": [{"model": MODEL, "prices": {"inputs": "1"}}]}, "prices"),
        ({"month": "2026-10", "rows": [{"model": MODEL, "prices": {"input": "NaN"}}]}, "input"),
        ({"month": "2026-10", "rows": [{"model": MODEL, "prices": {"input": 1}}]}, "rows.0.prices.input"),
        ({"month": "2026-10", "rows": [{}] * 2}, "rows"),
        ({"month": "2026-10", "rows": [{}] * 1001}, "rows"),
        ({"month": "2026-10", "rows": [], "limits": []}, "limits"),
        ({"month": "2026-10", "limits": []}, "limits"),
        ({"month": "2026-10", "limits": [{"scope": {"type": "organization"}, "amount": "-1"}]}, "amount"),
        (
            {"month": "2026-10", "limits": [{"scope": {"type": "organization"}, "amount": "1", "period": "hour"}]},
            "period",
        ),
        ({"month": "2026-10", "limits": [{"scope": {"type": "organization"}, "amount": "1", "basis": "x"}]}, "basis"),
        ({"month": "2026-10", "limits": [{"scope": {"type": "user", "user_id": "u"}, "amount": "1"}]}, "scope"),
        ({"month": "2026-10", "surprise": 1}, "surprise"),
        ({}, "month"),
    ],
)
def test_bad_questions_are_named(past: Past, body: object, field: str) -> None:
    """400 (404 for a member of nobody) with the field."""
    status, told = ask(past, body)

    assert (status in (400, 404), field) == (True, told["error"]["details"]["field"]), told


def test_more_limits_than_can_be_tried_are_refused_and_not_cut_off(past: Past) -> None:
    """1,001 limits: 400 with the most there can be, where the last one was left out in silence."""
    limit = {"scope": {"type": "organization"}, "amount": "1"}

    status, told = ask(past, {"month": "2026-10", "limits": [limit] * 1001})

    assert (400, "limits: at most 1,000.") == (status, told["error"]["message"])


def test_only_who_sees_spend_may_ask(past: Past) -> None:
    """A meter key may not; another organization's month is empty."""
    there = aurora("Borealis", "borealis.example")

    assert 403 == ask(past, {"month": "2026-10"}, key=admin(past.org, "meter"))[0]
    assert 0 == ask(past, {"month": "2026-10"}, key=admin(there))[1]["total"]["requests"]
