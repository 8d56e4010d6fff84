"""The walk in OpenAI's formats: answers unchanged, money exact, refusals in the envelope its clients read."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import members, settings

from .conftest import BODY, Gate
from .openai_provider import (
    CHAT_BODY,
    COMPLETION,
    COST,
    EMBEDDING,
    EMBEDDING_BODY,
    RESPONSE,
    RESPONSE_BODY,
    chunks,
    happenings,
    post,
)

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"


@pytest.mark.parametrize(
    ("path", "body", "answer", "cost"),
    [
        (CHAT, CHAT_BODY, COMPLETION, COST),
        (RESPONSES, RESPONSE_BODY, RESPONSE, COST),
        (EMBEDDINGS, EMBEDDING_BODY, EMBEDDING, 1_000 * 20),
    ],
)
async def test_an_answer_arrives_unchanged_and_costs_to_the_nano_dollar(
    bilingual: Gate, path: str, body: dict[str, Any], answer: dict[str, Any], cost: int
) -> None:
    """Cached, written, uncached and written-out tokens at their own prices; the request goes out as it came."""
    got = await post(bilingual, path, body, **{"openai-beta": "x=1", "openai-organization": "org-9"})

    event, (sent, seen, bytes_) = UsageEvent.objects.get(), bilingual.provider.seen[0]
    headers = {name.lower(): value for name, value in seen.items()}
    assert (200, answer, cost) == (got.status, await got.json(), event.cost_nano)
    assert ((cost, 0), "", "settled") == (bilingual.account(), event.flags, Hold.objects.get().state)
    assert (path, json.dumps(body).encode()) == (sent, bytes_)
    assert ("Bearer the provider's own key", "x=1", None) == (
        headers.get("authorization"),
        headers.get("openai-beta"),
        headers.get("openai-organization"),
    )
    assert event.request_id == got.headers["x-request-id"] == got.headers["request-id"]
    assert "openai-organization" not in got.headers
    assert "x-api-key" not in headers


async def test_a_chat_streams_and_tells_its_usage_to_this_side_alone(bilingual: Gate) -> None:
    """The provider is asked for it, the client sees every event but that one, and the settlement was first."""
    answer = await post(bilingual, CHAT, {**CHAT_BODY, "stream": True})

    told = await answer.read()
    assert {"include_usage": True} == json.loads(bilingual.provider.seen[0][2])["stream_options"]
    assert b"".join(one for one in chunks() if b'"choices": []' not in one) == told
    assert ("settled", (COST, 0)) == (Hold.objects.get().state, bilingual.account())


async def test_a_client_that_asks_for_the_usage_gets_it(bilingual: Gate) -> None:
    """Then nothing is changed in either direction."""
    body = {**CHAT_BODY, "stream": True, "stream_options": {"include_usage": True}}

    answer = await post(bilingual, CHAT, body)

    assert b"".join(chunks()) == await answer.read()
    assert json.dumps(body).encode() == bilingual.provider.seen[0][2]
    assert (COST, 0) == bilingual.account()


async def test_a_response_streams_unchanged(bilingual: Gate) -> None:
    """Its usage comes with its last event."""
    answer = await post(bilingual, RESPONSES, {**RESPONSE_BODY, "stream": True})

    assert b"".join(happenings()) == await answer.read()
    assert ("settled", (COST, 0)) == (Hold.objects.get().state, bilingual.account())


async def test_the_settlement_comes_before_the_end(bilingual: Gate) -> None:
    """When the client has seen the last event, the hold has ended."""
    for path, body, mark in ((CHAT, CHAT_BODY, b"[DONE]"), (RESPONSES, RESPONSE_BODY, b"response.completed")):
        headers = {"authorization": f"Bearer {bilingual.key}"}
        answer = await bilingual.session.post(f"{bilingual.url}{path}", json={**body, "stream": True}, headers=headers)
        await answer.content.readuntil(mark)
        assert {"settled"} == set(Hold.objects.values_list("state", flat=True))
        answer.close()


@pytest.mark.parametrize(
    ("asked", "served", "nano"),
    [("auto", "default", 460_000), ("auto", "priority", 920_000), ("flex", "flex", 230_000)],
)
async def test_the_tier_that_served_is_billed(bilingual: Gate, asked: str, served: str, nano: int) -> None:
    """Gpt-5: priority costs twice the standard, flex the half; what may be dearer was held."""
    answer = {**COMPLETION, "service_tier": served}

    async def script(_: web.Request) -> web.StreamResponse:
        return web.json_response(answer)

    bilingual.provider.script = script
    await post(bilingual, CHAT, {**CHAT_BODY, "model": "gpt-5", "service_tier": asked})

    event = UsageEvent.objects.get()
    assert (nano, served == "priority", served == "flex") == (event.cost_nano, event.fast, event.batch)
    assert Hold.objects.get().reserved_nano >= nano


async def test_a_limit_refuses_in_the_envelope_of_the_format(bilingual: Gate) -> None:
    """429 of the type that clients know as final, our code, our sentence, our numbers; nothing is sent."""
    bilingual.org.limit(f"member:{bilingual.org.elena.member_id}", 0, basis="each")

    for path, body in ((CHAT, CHAT_BODY), (RESPONSES, RESPONSE_BODY), (EMBEDDINGS, EMBEDDING_BODY)):
        refused = await post(bilingual, path, body)
        error = (await refused.json())["error"]
        assert (429, "insufficient_quota", "tokenpool_member_limit_reached", None) == (
            refused.status,
            error["type"],
            error["code"],
            error["param"],
        )
        assert "Spending is blocked: your own monthly spend limit is $0" in error["message"]
        assert ("0.00", "USD") == (error["details"]["limit"], error["details"]["currency"])
        assert "false" == refused.headers["x-should-retry"]
        assert refused.headers["x-request-id"].startswith("req_")
    assert [] == bilingual.provider.seen
    settings.change(by=bilingual.org.ada, refusal_status=402)
    assert 402 == (await post(bilingual, CHAT, CHAT_BODY)).status


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (CHAT, {**CHAT_BODY, "max_completion_tokens": None}, "max_completion_tokens"),
        (CHAT, {**CHAT_BODY, "max_completion_tokens": 900_000}, "max_completion_tokens"),
        (CHAT, {**CHAT_BODY, "max_completion_tokens": None, "max_tokens": 900_000}, "max_tokens"),
        (RESPONSES, {**RESPONSE_BODY, "max_output_tokens": None}, "max_output_tokens"),
        (RESPONSES, {**RESPONSE_BODY, "max_output_tokens": 900_000}, "max_output_tokens"),
    ],
)
async def test_the_last_dollars_stay_usable_by_clamping(
    bilingual: Gate, path: str, body: dict[str, Any], field: str
) -> None:
    """$1 does not cover the longest answer at $10 a million: what fits is written into the field that limits it."""
    bilingual.org.limit("organization", 1)
    body = {**body, "model": "gpt-5"}

    answer = await post(bilingual, path, body)

    clamped = int(answer.headers["x-tokenpool-max-tokens"])
    assert 200 == answer.status
    assert 99_000 < clamped < 100_000
    assert {**body, field: clamped} == json.loads(bilingual.provider.seen[0][2])
    assert (12 * 1_250 + 2_000 * 125 + 100 * 1_250 + 7 * 10_000, 0) == bilingual.account()


async def test_choices_share_what_fits(bilingual: Gate) -> None:
    """Three answers of a third each; a refusal tells the share of one."""
    bilingual.org.limit("organization", 1)
    body = {**CHAT_BODY, "model": "gpt-5", "n": 3, "max_completion_tokens": 120_000}

    answer = await post(bilingual, CHAT, body)
    settings.change(by=bilingual.org.ada, clamps_max_tokens=False)
    refused = await post(bilingual, CHAT, body)

    clamped = int(answer.headers["x-tokenpool-max-tokens"])
    assert clamped == json.loads(bilingual.provider.seen[0][2])["max_completion_tokens"]
    assert 33_000 < clamped < 33_334
    assert 33_000 < (await refused.json())["error"]["details"]["affordable_max_tokens"] < 33_334


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        (CHAT, {**CHAT_BODY, "prediction": {}}, 400, None, "prediction"),
        (CHAT, {**CHAT_BODY, "model": "gpt-5.6-lunar"}, 400, None, "model"),
        (CHAT, {**CHAT_BODY, "n": 0}, 400, None, "n"),
        (RESPONSES, {**RESPONSE_BODY, "previous_response_id": "resp_1"}, 400, None, "previous_response_id"),
        (EMBEDDINGS, {"input": "x"}, 400, None, "model"),
    ],
)
async def test_bad_input_is_named_and_touches_no_money(
    bilingual: Gate, path: str, body: dict[str, Any], status: int, code: str | None, param: str
) -> None:
    """One sentence, nothing held, nothing sent, no second try."""
    answer = await post(bilingual, path, body)

    error = (await answer.json())["error"]
    assert (status, "invalid_request_error", code, param) == (
        answer.status,
        error["type"],
        error["code"],
        error["param"],
    )
    assert "false" == answer.headers["x-should-retry"]
    assert ([], (0, 0), 0) == (bilingual.provider.seen, bilingual.account(), Hold.objects.count())


async def test_a_key_that_is_none_answers_as_the_format_does(bilingual: Gate) -> None:
    """401 with the code that clients know; a removed member's key is none either."""
    unknown = await post(bilingual, CHAT, CHAT_BODY, authorization="Bearer tp-nobody")
    members.remove(by=bilingual.org.ada, member_id=bilingual.org.elena.member_id)
    removed = await post(bilingual, CHAT, CHAT_BODY)

    for answer in (unknown, removed):
        error = (await answer.json())["error"]
        assert (401, "authentication_error", "invalid_api_key") == (answer.status, error["type"], error["code"])
        assert "false" == answer.headers["x-should-retry"]


async def test_a_model_of_the_other_format_is_told_where_it_is(bilingual: Gate) -> None:
    """Each in its own envelope; the patterns of the settings decide."""
    for one in bilingual.parts.upstreams._upstreams:
        one.models = ("claude-*",) if one.speaks == "anthropic" else ("gpt-*",)

    there = await post(bilingual, CHAT, {**CHAT_BODY, "model": "claude-opus-5-5"})
    here = await bilingual.post({"model": "gpt-5.6-luna"})

    assert "is served here at POST /v1/messages, not in this format" in (await there.json())["error"]["message"]
    assert "is served here at POST /v1/chat/completions" in (await here.json())["error"]["message"]
    assert (400, 400, []) == (there.status, here.status, bilingual.provider.seen)


async def test_both_formats_spend_from_one_account(bilingual: Gate) -> None:
    """A chat and a message beside each other, each at its provider."""
    await post(bilingual, CHAT, CHAT_BODY)
    bilingual.provider.answers()
    await bilingual.post(BODY)

    assert (COST + 1_088_000, 0) == bilingual.account()
    assert [CHAT, "/v1/messages"] == [path for path, _, _ in bilingual.provider.seen]


async def test_the_providers_error_passes_without_its_account(bilingual: Gate) -> None:
    """Clients match its words; whose account it is they need not know. Nothing is billed."""
    body = {"error": {"message": "Rate limit reached in organization org-aB3dE6gH9jK2mN5pQ8sT1vW4 on tokens."}}

    async def script(_: Any) -> Any:
        return web.json_response(body, status=429, headers={"x-ratelimit-remaining-tokens": "7", "retry-after": "3"})

    bilingual.provider.script = script

    answer = await post(bilingual, CHAT, CHAT_BODY)

    assert (429, "3") == (answer.status, answer.headers["retry-after"])
    assert "in organization org-... on tokens." in (await answer.json())["error"]["message"]
    assert "x-ratelimit-remaining-tokens" not in answer.headers
    assert ("void", (0, 0)) == (Hold.objects.get().state, bilingual.account())


async def test_a_sentence_that_quotes_half_a_character_is_told(bilingual: Gate) -> None:
    """JSON can write half of a surrogate pair, UTF-8 cannot."""
    answer = await post(bilingual, CHAT, {**CHAT_BODY, "model": "m\ud800"})

    assert 400 == answer.status
    assert "model: “m?” has no price" in (await answer.json())["error"]["message"]


async def test_a_race_for_the_last_dollar_is_won_by_what_fits(bilingual: Gate) -> None:
    """Sixty-four at once, in all three formats: never above the limit, nothing held in the end."""
    bilingual.org.limit("organization", 1)
    settings.change(by=bilingual.org.ada, clamps_max_tokens=False)
    body = {**CHAT_BODY, "max_completion_tokens": 100_000}
    kinds = ((CHAT, body), (RESPONSES, {**RESPONSE_BODY, "max_output_tokens": 100_000}), (EMBEDDINGS, EMBEDDING_BODY))

    answers = await asyncio.gather(*(post(bilingual, *kinds[number % 3]) for number in range(64)))
    while bilingual.parts.tasks:
        await asyncio.gather(*bilingual.parts.tasks)

    states = [answer.status for answer in answers]
    assert {200, 429} == set(states)
    assert states.count(200) == UsageEvent.objects.count()
    assert 0 == bilingual.account()[1]
    assert bilingual.account()[0] <= 10**9
