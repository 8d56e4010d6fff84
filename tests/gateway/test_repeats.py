"""Attempt-level truth: a retry is a new attempt and a new bill; an idempotency key is billed at most once."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tokenpool.gateway.repeats import MOST_VOID
from tokenpool.kernel import ids
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import api_keys

from . import openai_provider
from .conftest import BODY, COST, Gate, events, sse
from .openai_provider import CHAT_BODY, EMBEDDING_BODY, RESPONSE_BODY

KEY = {"idempotency-key": "order-7"}


async def test_without_a_key_every_request_is_an_attempt_of_its_own(gate: Gate) -> None:
    """A client's retry count is no key: two requests, two ids, two bills."""
    gate.provider.answers()

    answers = [await gate.post(**{"x-stainless-retry-count": str(count)}) for count in range(2)]

    assert [200, 200] == [answer.status for answer in answers]
    assert 2 == len({answer.headers["request-id"] for answer in answers})
    assert (2 * COST, 0) == gate.account()


async def test_a_key_that_was_billed_is_never_billed_again(gate: Gate) -> None:
    """409 that names the first request and its cost; the provider is asked once, also by another key of the member."""
    gate.provider.answers()
    first = await gate.post(**KEY)
    other = api_keys.mint(by=gate.org.ada, product="chat", member_id=gate.org.elena.member_id, name="Other")[1]

    again = [await gate.post(**KEY), await gate.post({"max_tokens": 50}, key=other, **KEY)]

    for answer in again:
        error = (await answer.json())["error"]
        assert (409, "conflict_error", "false") == (answer.status, error["type"], answer.headers["x-should-retry"])
        assert f"request {first.headers['request-id']} had this key and was billed 0.001088 dollars" in error["message"]
        assert "idempotency-key" == error["details"]["field"]
    assert 1 == len(gate.provider.seen) == UsageEvent.objects.count()
    assert (COST, 0) == gate.account()
    assert UsageEvent.objects.get().request_id == first.headers["request-id"]


async def test_a_key_is_its_members_own(gate: Gate) -> None:
    """Another member's request under the same words is another request."""
    gate.provider.answers()
    farids = gate.org.key(gate.org.farid, "chat")

    statuses = [(await gate.post(**KEY)).status, (await gate.post(key=farids, **KEY)).status]

    assert ([200, 200], (2 * COST, 0)) == (statuses, gate.account())


async def test_an_attempt_that_cost_nothing_may_be_repeated_under_its_key(gate: Gate) -> None:
    """Overloaded twice, then answered: one bill; a limit's refusal uses the key up as little."""
    gate.org.limit("organization", 0)
    refused = await gate.post(**KEY)
    statuses, told = [refused.status], refused.headers["request-id"]
    gate.org.limit("organization", 1)
    for status in (529, 529, 200):
        gate.provider.answers(status=status)
        statuses.append((await gate.post(**KEY)).status)
    statuses.append((await gate.post(**KEY)).status)

    assert [429, 529, 529, 200, 409] == statuses
    assert ["settled", "void", "void"] == sorted(Hold.objects.values_list("state", flat=True))
    assert (COST, 0) == gate.account()
    assert told == (await refused.json())["request_id"]
    assert "void" == Hold.objects.get(id=ids.twin("hold", told)).state


async def test_a_key_does_not_stand_for_failures_without_end(gate: Gate) -> None:
    """Twenty attempts; then another key is asked for."""
    gate.provider.answers(status=500)

    statuses = [(await gate.post(**KEY)).status for _ in range(MOST_VOID + 1)]

    assert [500] * MOST_VOID + [409] == statuses


async def test_two_at_once_under_one_key_are_one(gate: Gate) -> None:
    """The second is told that the first is running; a stream that was left is billed, and its key with it."""
    gate.provider.streams(events("Hello there")[:3], then="stall")
    headers = {"x-api-key": gate.key, **KEY}
    first = await gate.session.post(f"{gate.url}/v1/messages", json={**BODY, "stream": True}, headers=headers)
    await first.content.readuntil(b"Hello there")

    running = await gate.post(**KEY)
    first.close()
    while len(gate.parts.running):  # noqa: ASYNC110 - what is awaited is a settlement
        await asyncio.sleep(0.01)
    left = await gate.post(**KEY)

    assert (409, 409, 1) == (running.status, left.status, len(gate.provider.seen))
    assert "is still running" in (await running.json())["error"]["message"]
    assert "was billed" in (await left.json())["error"]["message"]
    assert 1 == UsageEvent.objects.count()


@pytest.mark.parametrize("key", ["", "k" * 256, "caf\u00e9"])
async def test_a_key_that_is_none_is_refused_by_name(gate: Gate, key: str) -> None:
    """1 to 255 printable characters."""
    answer = await gate.post(**{"idempotency-key": key})

    assert (400, "idempotency-key") == (answer.status, (await answer.json())["error"]["details"]["field"])
    assert not Hold.objects.exists()


async def test_a_key_that_stands_twice_is_refused(gate: Gate) -> None:
    """A second header of a billed key beside another is 400, not a second bill."""
    gate.provider.answers()
    await gate.post(**KEY)
    headers = [("x-api-key", gate.key), ("idempotency-key", "another"), *KEY.items()]

    twice = await gate.session.post(f"{gate.url}/v1/messages", json=BODY, headers=headers)

    error = (await twice.json())["error"]
    assert (400, "idempotency-key") == (twice.status, error["details"]["field"])
    assert (1, COST, 0) == (len(gate.provider.seen), *gate.account())


async def test_a_broken_streams_silent_repeat_is_billed_beside_it_or_refused(gate: Gate) -> None:
    """Claude Code asks again without streaming: with room both are billed, without it the repeat is refused unsent."""
    error = sse("error", error={"type": "overloaded_error", "message": "Overloaded"})
    gate.provider.streams([*events("Hello there")[:3], error])
    broken = gate.provider.script
    gate.provider.answers()
    good = gate.provider.script

    async def script(request: web.Request) -> web.StreamResponse:
        assert broken is not None
        assert good is not None
        return await (broken if json.loads(gate.provider.seen[-1][2]).get("stream") else good)(request)

    gate.provider.script = script

    async def stream_and_repeat() -> tuple[int, int]:
        with suppress(aiohttp.ClientError):
            streamed = await gate.post({"stream": True})
        return streamed.status, (await gate.post()).status

    with_room = await stream_and_repeat()
    billed = [event.flags for event in UsageEvent.objects.order_by("id")]
    gate.org.limit("organization", 0)
    without: Any = await stream_and_repeat()

    assert ((200, 200), (429, 429)) == (with_room, without)
    assert ["estimated upstream_error", ""] == billed
    assert 2 == len(gate.provider.seen)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {**CHAT_BODY, "stream": True}),
        ("/v1/responses", RESPONSE_BODY),
        ("/v1/embeddings", EMBEDDING_BODY),
    ],
)
async def test_a_key_is_billed_once_in_openais_format_too(bilingual: Gate, path: str, body: dict[str, Any]) -> None:
    """By a limit, answered, refused: told in OpenAI's envelope, `param` names the header; no format is apart."""
    bilingual.org.limit("organization", 0)
    answers = [await openai_provider.post(bilingual, path, body, **KEY)]
    bilingual.org.limit("organization", 1)
    answers += [await openai_provider.post(bilingual, path, body, **KEY) for _ in range(2)]
    other_format = await bilingual.post(**KEY)

    assert [429, 200, 409] == [answer.status for answer in answers]
    error = (await answers[2].json())["error"]
    first = answers[1].headers["x-request-id"]
    assert ("conflict_error", "idempotency-key", "false") == (
        error["type"],
        error["param"],
        answers[2].headers["x-should-retry"],
    )
    assert f"request {first} had this key and was billed" in error["message"]
    assert 409 == other_format.status
    assert answers[0].headers["x-request-id"] == first
    assert (1, first) == (len(bilingual.provider.seen), UsageEvent.objects.get().request_id)
