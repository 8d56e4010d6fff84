"""What is billed when things break: the table's other rows; streams have test_streams."""

import asyncio
from contextlib import suppress

import pytest
from aiohttp import web

from tokenpool.gateway import upstream
from tokenpool.gateway.origins import Origin
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent

from .conftest import BODY, COST, USAGE, Gate, events, sse

INPUT_NANO = 12 * 4_000 + 100 * 5_000 + 2_000 * 200  # the input side of the usual answer


NONSENSE = (-5, "many", 10**18, 1e308, float("nan"), True, [7])


def estimated(text: str) -> int:
    """Return the estimate's cost: exact input, bytes / 3 rounded up and 50 tokens of output."""
    return INPUT_NANO + (-(-len(text.encode()) // 3) + 50) * 20_000


@pytest.mark.parametrize("status", [400, 429, 500, 529])
async def test_an_error_before_the_answer_bills_nothing_and_passes_unchanged(gate: Gate, status: int) -> None:
    """Clients match the provider's words; the hold is void at once."""
    gate.provider.answers(status=status)

    answer = await gate.post()

    assert (status, "msg_1") == (answer.status, (await answer.json())["id"])
    assert ("void", f"upstream answered {status}", (0, 0)) == (
        Hold.objects.get().state,
        Hold.objects.get().end_reason,
        gate.account(),
    )


async def test_a_provider_that_is_away_bills_nothing(gate: Gate) -> None:
    """502 with a sentence."""
    gate.parts.upstreams.serving(BODY["model"], "anthropic").origin = Origin("http://127.0.0.1:1", internal=False)

    answer = await gate.post()

    assert (502, "void", (0, 0)) == (answer.status, Hold.objects.get().state, gate.account())


async def test_an_error_event_after_the_start_is_an_estimate(gate: Gate) -> None:
    """It passes to the client as it came."""
    error = sse("error", error={"type": "overloaded_error", "message": "Overloaded"})
    gate.provider.streams([*events("Hello there")[:3], error])

    answer = await gate.post({"stream": True})

    assert error in await answer.read()
    assert (estimated("Hello there"), "estimated upstream_error") == (
        (await gate.at_rest()).settled_nano,
        UsageEvent.objects.get().flags,
    )


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        7,
        {"output_tokens": 5},
        {"input_tokens": 0, "output_tokens": 0},
        *(
            {"input_tokens": 5, "output_tokens": value}
            for value in (-5, "many", 10**18, 1e308, float("nan"), True, [7])
        ),
        {"input_tokens": 5, "output_tokens": 5, "iterations": [{"type": "message", "output_tokens": -1}]},
        {"input_tokens": 5, "output_tokens": 5, "iterations": [{"type": "compaction"}] * 1_000},
    ],
)
async def test_hostile_or_missing_usage_is_never_free(gate: Gate, usage: object) -> None:
    """200 without believable usage bills bounds and flags them, and the process lives."""
    gate.provider.answers(usage)

    answer = await gate.post()

    event = UsageEvent.objects.get()
    assert 200 == answer.status
    assert ("estimated no_usage", True) == (event.flags, event.cost_nano > 0)
    assert (event.cost_nano, 0) == gate.account()


@pytest.mark.parametrize("text", ["{not json", "[" * 100_000])
async def test_an_answer_that_is_no_json_still_ends_its_hold(gate: Gate, text: str) -> None:
    """Malformed, or nested beyond reading: bounds, flagged, nothing held for ever."""

    async def script(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    gate.provider.script = script

    answer = await gate.post()

    assert (200, "estimated no_usage") == (answer.status, UsageEvent.objects.get().flags)
    assert ("settled", 0) == (Hold.objects.get().state, gate.account()[1])


async def test_an_answer_without_end_is_cut_off(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no model writes is not kept in memory; the request is an estimate."""
    monkeypatch.setattr(upstream, "MOST_ANSWER_BYTES", 2**20)

    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b" " * 2**16)
        return response

    gate.provider.script = script

    answer = await gate.post()

    assert (502, "estimated upstream_lost") == (answer.status, UsageEvent.objects.get().flags)


async def test_hostile_usage_in_a_stream_is_an_estimate(gate: Gate) -> None:
    """The input is believed from message_start, the nonsense is not."""
    chunks = events("Hello there")
    chunks[4] = sse("message_delta", delta={}, usage={"output_tokens": -7})
    gate.provider.streams(chunks)

    await gate.post({"stream": True})

    await gate.at_rest()
    assert (estimated("Hello there"), "estimated hostile_usage") == (
        UsageEvent.objects.get().cost_nano,
        UsageEvent.objects.get().flags,
    )


async def test_the_hold_shrinks_to_the_real_input_at_the_start(gate: Gate) -> None:
    """What is left of the hold covers that input and the whole output, and the evidence is on disk."""
    gate.provider.streams(events()[:1], then="stall")
    headers = {"x-api-key": gate.key}
    answer = await gate.session.post(f"{gate.url}/v1/messages", json={**BODY, "stream": True}, headers=headers)
    await answer.content.readuntil(b"message_start")
    for _ in range(100):
        await asyncio.sleep(0.01)
        if (
            "output_bytes" in Hold.objects.get().evidence
            and Hold.objects.get().amount_nano < Hold.objects.get().reserved_nano
        ):
            break

    assert (INPUT_NANO + 100 * 20_000, "reserved") == (Hold.objects.get().amount_nano, Hold.objects.get().state)
    answer.close()


def test_the_usual_answer_costs_what_the_vector_says() -> None:
    """$0.001088, as three independent ledgers measured it."""
    assert COST == INPUT_NANO + USAGE["output_tokens"] * 20_000
