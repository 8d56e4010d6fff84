"""What is billed when things break in OpenAI's formats: the table, with the input by its bytes until it is told."""

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tokenpool.gateway.admission import Running
from tokenpool.gateway.resolver import Resolver
from tokenpool.kernel import clock
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent

from .conftest import Gate
from .openai_provider import CHAT_BODY, COMPLETION, COST, RESPONSE_BODY, chunks, data, happenings, post

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
STREAMED = {CHAT: {**CHAT_BODY, "stream": True}, RESPONSES: {**RESPONSE_BODY, "stream": True}}
DEAREST = 250  # nano a token: what a newer model writes to its cache unasked


def estimated(path: str, text: str = "") -> int:
    """Return the estimate of a stream that broke: a third of the body's bytes in, a third of the text's and 50 out."""
    return -(-len(json.dumps(STREAMED[path])) // 3) * 200 + (-(-len(text) // 3) + 50) * 1_200


@pytest.mark.parametrize("then", ["end", "reset"])
@pytest.mark.parametrize("cut", range(1, 5))
async def test_a_chat_that_stops_anywhere_is_billed_by_its_evidence(bilingual: Gate, cut: int, then: str) -> None:
    """Cut after each chunk: an estimate, or exact once the usage was told; never free, never held for ever."""
    bilingual.provider.streams(chunks()[:cut], then=then, pause=0.01)

    with suppress(aiohttp.ClientError):
        await post(bilingual, CHAT, STREAMED[CHAT])

    hold, text = await bilingual.at_rest(), "Hello there" if cut >= 2 else ""
    lost = {"end": "no_usage", "reset": "upstream_lost"}[then]
    expected = COST if cut == 4 else estimated(CHAT, text)
    assert ("settled", expected) == (hold.state, hold.settled_nano)
    assert ("" if cut == 4 and then == "end" else lost) == UsageEvent.objects.get().flags.removeprefix("estimated ")
    assert (expected, 0) == bilingual.account()


@pytest.mark.parametrize("cut", range(1, 8))
async def test_a_response_that_stops_anywhere_is_billed_by_its_evidence(bilingual: Gate, cut: int) -> None:
    """The same, event by event."""
    bilingual.provider.streams(happenings()[:cut], then="reset", pause=0.01)

    with suppress(aiohttp.ClientError):
        await post(bilingual, RESPONSES, STREAMED[RESPONSES])

    hold = await bilingual.at_rest()
    begun = cut > 1
    expected = estimated(RESPONSES, "Hello there" if cut >= 4 else "") if begun else hold.settled_nano
    assert ("settled", expected) == (hold.state, hold.settled_nano)
    assert ("estimated upstream_lost", True) == (UsageEvent.objects.get().flags, hold.settled_nano > 50 * 1_200)


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_client_that_leaves_closes_the_provider_and_pays_the_estimate(bilingual: Gate, path: str) -> None:
    """Where the settings say cancel: nobody pays for text that nobody reads."""
    told = chunks()[:2] if path == CHAT else happenings()[:4]
    bilingual.provider.streams(told, then="stall")

    await leave(bilingual, path, b"Hello there")

    await settled(bilingual)
    event = UsageEvent.objects.get()
    assert (estimated(path, "Hello there"), "estimated client_gone") == (event.cost_nano, event.flags)


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_client_that_leaves_a_drained_provider_pays_exactly(bilingual: Gate, path: str) -> None:
    """Reasoning is in no byte of the stream, so this is the default for this format."""
    bilingual.parts.upstreams.serving("gpt-5.6-luna", "openai").drains = True
    told = chunks() if path == CHAT else happenings()
    bilingual.provider.streams(told, pause=0.03)

    await leave(bilingual, path, told[0][:20])

    await settled(bilingual)
    event = UsageEvent.objects.get()
    assert (COST, "client_gone", 7) == (event.cost_nano, event.flags, event.output_tokens)


async def test_a_client_that_leaves_at_the_end_of_its_text_pays_exactly(bilingual: Gate) -> None:
    """Nothing more is generated after the last choice has ended, so its usage is waited for, also with cancel."""
    bilingual.provider.streams(chunks(), pause=0.05)

    await leave(bilingual, CHAT, b'"stop"')

    await settled(bilingual)
    event = UsageEvent.objects.get()
    assert (COST, "client_gone") == (event.cost_nano, event.flags)


async def test_an_estimate_is_not_of_a_tier_that_nobody_asked_for(bilingual: Gate) -> None:
    """It was held, as the account's default may be the fast one; what broke is billed as standard, or as asked."""
    for tier, nano in ((None, 10_000), ("priority", 20_000)):
        bilingual.provider.streams(chunks()[:2], then="reset", pause=0.01)
        body = {**STREAMED[CHAT], "model": "gpt-5", "service_tier": tier}
        with suppress(aiohttp.ClientError):
            await post(bilingual, CHAT, body)
        hold = await bilingual.at_rest()
        bound = (len(json.dumps(body)) + 4_000) * 2_500 + 100 * 20_000
        cost = -(-len(json.dumps(body)) // 3) * nano // 8 + (4 + 50) * nano
        assert (bound, cost) == (hold.reserved_nano, hold.settled_nano)


async def test_a_failure_before_anything_was_made_bills_nothing(bilingual: Gate) -> None:
    """As an error in place of the first chunk, as an error event, as a response that failed."""
    failed = [happenings()[0], data({"type": "response.failed", "response": {"usage": None, "error": {"code": "x"}}})]
    streams = [
        (CHAT, [data({"error": {"message": "overloaded", "code": "server_error"}})]),
        (RESPONSES, [happenings()[0], data({"type": "error", "message": "overloaded"})]),
        (RESPONSES, failed),
    ]
    for path, told in streams:
        bilingual.provider.streams(told)
        answer = await post(bilingual, path, STREAMED[path])
        assert told[-1] in await answer.read()
        hold = await bilingual.at_rest()
        assert ("void", "upstream_error", (0, 0)) == (hold.state, hold.end_reason, bilingual.account())


async def test_a_failure_in_the_middle_is_an_estimate(bilingual: Gate) -> None:
    """It passes to the client as it came."""
    error = data({"error": {"message": "overloaded"}})
    bilingual.provider.streams([*chunks()[:2], error])

    answer = await post(bilingual, CHAT, STREAMED[CHAT])

    assert error in await answer.read()
    hold = await bilingual.at_rest()
    assert (estimated(CHAT, "Hello there"), "estimated upstream_error") == (
        hold.settled_nano,
        UsageEvent.objects.get().flags,
    )


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"prompt_tokens": 5}, {"prompt_tokens": -5, "completion_tokens": 1}, {"prompt_tokens": 10**18}, 7],
)
async def test_hostile_or_missing_usage_is_never_free(bilingual: Gate, usage: Any) -> None:
    """200 without believable usage bills the bound of the input, streamed or whole, flagged."""
    whole = json.dumps({**COMPLETION, "usage": usage})

    async def script(_: web.Request) -> web.StreamResponse:
        return web.Response(text=whole, content_type="application/json")

    bilingual.provider.script = script
    await post(bilingual, CHAT, CHAT_BODY)
    bilingual.provider.streams([*chunks()[:3], data({"choices": [], "usage": usage}), chunks()[4]])
    await post(bilingual, CHAT, STREAMED[CHAT])
    await bilingual.at_rest()

    first, second = UsageEvent.objects.order_by("admitted_at_us")
    bound = (len(json.dumps(CHAT_BODY)) + 4_000) * 200 + min(100, -(-len(whole) // 3) + 50) * 1_200
    streamed = (len(json.dumps(STREAMED[CHAT])) + 4_000) * 200 + (4 + 50) * 1_200
    assert (bound, "estimated no_usage") == (first.cost_nano, first.flags)
    assert (streamed, True) == (second.cost_nano, second.flags in ("estimated no_usage", "estimated hostile_usage"))
    assert 0 == bilingual.account()[1]


async def test_a_hold_is_not_lowered_to_an_estimate(bilingual: Gate) -> None:
    """The input is told at the end alone: until then the hold covers what was bounded."""
    bilingual.provider.streams(chunks()[:2], then="stall")
    answer = await bilingual.session.post(
        f"{bilingual.url}{CHAT}", json=STREAMED[CHAT], headers={"authorization": f"Bearer {bilingual.key}"}
    )
    await answer.content.readuntil(b"Hello there")
    await asyncio.sleep(0.1)

    hold = Hold.objects.get()
    assert hold.reserved_nano == hold.amount_nano == (len(json.dumps(STREAMED[CHAT])) + 4_000) * DEAREST + 100 * 1_200
    assert json.loads(hold.evidence)["start"]["input"] == -(-len(json.dumps(STREAMED[CHAT])) // 3)
    answer.close()


async def test_a_killed_process_leaves_a_doubt_that_its_evidence_resolves(bilingual: Gate) -> None:
    """Settled as the same estimate when the lease has passed."""
    bilingual.provider.streams(chunks()[:2], then="stall")
    answer = await bilingual.session.post(
        f"{bilingual.url}{CHAT}", json=STREAMED[CHAT], headers={"authorization": f"Bearer {bilingual.key}"}
    )
    await answer.content.readuntil(b"Hello there")
    await asyncio.sleep(0.05)
    bilingual.parts.running = Running()

    with clock.standing_at(clock.now() + timedelta(seconds=31)):
        assert 1 == await Resolver(bilingual.parts, watch_seconds=0).run_once()

    assert "estimated process_lost" == UsageEvent.objects.get().flags
    assert UsageEvent.objects.get().cost_nano >= estimated(CHAT)
    answer.close()
    await bilingual.at_rest()
    assert 1 == UsageEvent.objects.count()


async def leave(gate: Gate, path: str, after: bytes) -> None:
    """Ask for a stream and leave once *after* has come."""
    headers = {"authorization": f"Bearer {gate.key}"}
    answer = await gate.session.post(f"{gate.url}{path}", json=STREAMED[path], headers=headers)
    await answer.content.readuntil(after)
    answer.close()


async def settled(gate: Gate) -> None:
    """Wait until the hold has ended."""
    for _ in range(300):
        await asyncio.sleep(0.01)
        if UsageEvent.objects.exists():
            break
    await gate.at_rest()
