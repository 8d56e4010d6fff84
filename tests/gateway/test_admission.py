"""What the process takes on: requests of a member, requests that wait, bytes in memory; the rest is shed early."""

import asyncio
from typing import Any

import pytest

from tokenpool.gateway import admission
from tokenpool.gateway.admission import Bodies, Running, TooMany
from tokenpool.kernel.errors import Unavailable
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent

from . import openai_provider
from .conftest import BODY, COST, Gate, events
from .openai_provider import CHAT_BODY, EMBEDDING_BODY, RESPONSE_BODY


def test_a_member_has_so_many_requests_and_no_more() -> None:
    """While decided and while running; the end of one, told twice, frees one place."""
    running = Running(2)
    running.begin("hold_1", "org_1", "user_1")
    with running.admitting("user_1"):
        with pytest.raises(TooMany, match="You have 2 requests running"), running.admitting("user_1"):
            pass
        with running.admitting("user_2"):
            pass
    running.begin("hold_2", "org_1", "user_1")
    for _ in range(2):
        running.end("hold_1")

    with running.admitting("user_1"):
        assert ["hold_2"] == [hold_id for hold_id, _ in running.items()]
    running.end("hold_2")
    assert (0, {}) == (len(running), dict(running._of_member))


def test_zero_is_any_number() -> None:
    """A thousand at once."""
    running = Running(0)
    for number in range(1_000):
        with running.admitting("user_1"):
            running.begin(f"hold_{number}", "org_1", "user_1")

    assert 1_000 == len(running)


def test_bodies_have_room_for_so_many_bytes() -> None:
    """What is given back can be taken again."""
    bodies = Bodies(100)
    bodies.take(60)
    with pytest.raises(Unavailable, match="hands full"):
        bodies.take(41)
    bodies.take(40)
    bodies.give_back(60)
    bodies.take(60)

    assert 100 == bodies._bytes


def test_a_member_has_a_quarter_of_the_bytes_and_no_more() -> None:
    """Of 100 bytes Elena has 25, whatever of the rest is free; what nobody in particular sends has no share."""
    bodies = Bodies(100)
    bodies.take(25, "elena")
    with pytest.raises(TooMany, match="the most at once"):
        bodies.take(1, "elena")
    bodies.take(25, "farid")
    bodies.take(50)
    with pytest.raises(Unavailable, match="hands full"):
        bodies.take(1, "dana")
    bodies.give_back(25, "farid")
    bodies.give_back(25, "elena")
    bodies.take(25, "elena")

    assert (75, {"elena": 25, "": 50}) == (bodies._bytes, dict(bodies._of_member))


async def test_a_member_whose_bodies_never_end_leaves_the_others_room(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elena's unfinished 200 bytes of 1,000: her next is 429, Farid has his 250; when she leaves, she is served."""
    gate.provider.answers()
    monkeypatch.setattr(admission.bodies, "_most_bytes", 1_000)
    host, port = gate.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: {gate.key}\r\ncontent-length: 900\r\n\r\n"
    writer.write(head.encode() + b" " * 200)
    while admission.bodies._bytes < 200:  # noqa: ASYNC110 - what is awaited is another connection
        await asyncio.sleep(0.01)

    shed = await gate.post()

    assert (429, "1") == (shed.status, shed.headers["retry-after"])
    admission.bodies.take(250, "user_farid")
    admission.bodies.give_back(250, "user_farid")
    writer.close()
    while admission.bodies._bytes:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)
    assert 200 == (await gate.post()).status


async def test_the_request_too_many_is_told_to_come_back_and_costs_nothing(gate: Gate) -> None:
    """Two streams run, the third is 429 with `retry-after: 1`; when one has left, the next is served."""
    gate.parts.running.most_of_member = 2
    gate.provider.streams(events()[:3], then="stall")
    headers = {"x-api-key": gate.key}
    streams = []
    for _ in range(2):
        stream = await gate.session.post(f"{gate.url}/v1/messages", json={**BODY, "stream": True}, headers=headers)
        await stream.content.readuntil(b"message_start")
        streams.append(stream)

    shed = await gate.post()

    error = (await shed.json())["error"]
    assert (429, "rate_limit_error", "1") == (shed.status, error["type"], shed.headers["retry-after"])
    assert "x-should-retry" not in shed.headers
    assert (2, 2) == (Hold.objects.count(), len(gate.provider.seen))
    streams[0].close()
    while len(gate.parts.running) > 1:  # noqa: ASYNC110 - what is awaited is a settlement
        await asyncio.sleep(0.01)
    gate.provider.answers()
    assert 200 == (await gate.post()).status
    streams[1].close()
    await gate.at_rest()


async def test_overload_sheds_new_requests_while_settlements_go_on(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many wait for the database as may: 503 with `retry-after`, and the one under way is billed."""
    gate.provider.answers()
    whole = gate.provider.script
    assert whole is not None
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def script(request: Any) -> Any:
        arrived.set()
        await go_on.wait()
        return await whole(request)

    gate.provider.script = script
    first = asyncio.ensure_future(gate.post())
    await arrived.wait()
    monkeypatch.setattr(gate.parts.commits, "_most_waiting", 0)

    shed = await gate.post()
    go_on.set()
    served = await first

    assert (503, "5") == (shed.status, shed.headers["retry-after"])
    assert "Too many requests" in (await shed.json())["error"]["message"]
    assert (200, COST) == (served.status, UsageEvent.objects.get().cost_nano)
    assert (1, COST, 0) == (len(gate.provider.seen), *gate.account())


async def test_bodies_beyond_what_memory_takes_are_shed_and_their_bytes_given_back(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 before anything is parsed; after any ending, also an error's, the room is as it was."""
    gate.provider.answers()
    monkeypatch.setattr(admission.bodies, "_most_bytes", 1_000)

    shed = await gate.post({"system": "x" * 1_000})
    statuses = [(await gate.post(body)).status for body in ({}, b"{", {"model": "nobody"}, {})]

    assert (503, "5") == (shed.status, shed.headers["retry-after"])
    assert [200, 400, 400, 200] == statuses
    assert 0 == admission.bodies._bytes


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT_BODY),
        ("/v1/responses", RESPONSE_BODY),
        ("/v1/embeddings", EMBEDDING_BODY),
    ],
)
async def test_what_is_shed_is_told_in_openais_envelope(
    bilingual: Gate, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    """One too many of a member, one too many that wait, bytes too many; then as before, and one answer is billed."""
    running, told = bilingual.parts.running, []
    running.most_of_member = 1
    running.begin("hold_1", bilingual.org.organization_id, bilingual.org.elena.member_id)
    told.append(await openai_provider.post(bilingual, path, body))
    running.end("hold_1")
    for place, name in ((bilingual.parts.commits, "_most_waiting"), (admission.bodies, "_most_bytes")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, 0)
            told.append(await openai_provider.post(bilingual, path, body))
    served = await openai_provider.post(bilingual, path, body)

    errors = [(await one.json())["error"] for one in told]
    assert [(429, "1"), (503, "5"), (503, "5")] == [(one.status, one.headers["retry-after"]) for one in told]
    assert ["rate_limit_error", "api_error", "api_error"] == [error["type"] for error in errors]
    assert ["rate_limit_exceeded", None, None] == [error["code"] for error in errors]
    assert all(one.headers["x-request-id"].startswith("req_") and "x-should-retry" not in one.headers for one in told)
    assert (200, 1, 1) == (served.status, len(bilingual.provider.seen), UsageEvent.objects.count())
    assert (0, 0) == (len(running), admission.bodies._bytes)
