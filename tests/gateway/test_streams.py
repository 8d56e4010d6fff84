"""Streams break: every fault at every event, a client that leaves at every event; the table holds to the nano-dollar.

What is expected is computed from the table by itself (`expected`), never by the product's meter.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from tokenpool.gateway import forward, upstream
from tokenpool.gateway.call import OVERHEAD_TOKENS
from tokenpool.gateway.origins import Origin
from tokenpool.kernel.sqlite import SqliteStore
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent

from .conftest import BODY, MESSAGE, Gate
from .scripted import ENDINGS, Scripted, scripted, sse

Event = dict[str, Any]

USAGE = {"input_tokens": 12, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 2000}
INPUT_NANO = 12 * 4_000 + 100 * 5_000 + 2_000 * 200
OUTPUT_NANO = 20_000
OUTPUT = 41
EVENTS: list[Event] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {**USAGE, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Perché no?"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2lnbmF0dXJl"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "It costs 5 € "}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "or 6 €, both of them 😀"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t", "name": "n"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"price":'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": " 6}"}},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": OUTPUT}},
    {"type": "message_stop"},
]
GARBAGE = [b"data: {not json\n\n", b"\x00\xff\xfe nonsense \r\n\r\n", b": a comment\n\n", b"data: [1, 2\n\n"]
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
REQUEST = json.dumps({**BODY, "max_tokens": 4_096, "stream": True}).encode()
BOUND_NANO = (len(REQUEST) + OVERHEAD_TOKENS) * 4_000


def expected(heard: list[Event | bytes], ending: str) -> tuple[str, int, str]:
    """Return (state, nano-dollars, flags) by the table, of the events the gateway heard and how the stream ended."""
    started = final = stopped = erred = False
    received = 0
    for event in heard:
        if isinstance(event, bytes):
            received += len(event.removeprefix(b"data:").strip(b"\n")) if event.startswith(b"data:") else 0
            continue
        text = [value for name, value in event.get("delta", {}).items() if name in ("text", "thinking", "partial_json")]
        received += sum(len(one.encode()) for one in text)
        started |= event["type"] == "message_start"
        erred |= event["type"] == "error"
        final = event["type"] == "message_delta" or (
            final and event["type"] not in ("content_block_delta", "content_block_start", "message_start")
        )
        stopped |= event["type"] == "message_stop"
        if stopped:
            break  # settled at once: what comes later changes nothing
    why = {"end": "no_usage", "left": "client_gone"}.get(ending, "upstream_lost")
    if stopped:
        why = "no_usage"
    elif erred:
        why = "upstream_error"
    if started and final:
        return "settled", INPUT_NANO + OUTPUT * OUTPUT_NANO, "" if why == "no_usage" else why
    if erred and not started and not stopped:
        return "void", 0, ""
    output = (-(-received // 3) + 50) * OUTPUT_NANO
    return "settled", (INPUT_NANO if started else BOUND_NANO) + output, f"estimated {why}"


def faults() -> Iterator[tuple[str, list[Event | bytes], str]]:
    """Yield (name, what the provider writes, how it ends): each fault at each index."""
    for at in range(len(EVENTS) + 1):
        before, after = EVENTS[:at], EVENTS[at:]
        for ending in ENDINGS:
            yield f"{ending} before {at}", list(before), ending
        yield f"error at {at}", [*before, ERROR], "end"
        yield f"error at {at}, then goes on", [*before, ERROR, *after], "end"
        for garbage in GARBAGE:
            yield f"{garbage!r} before {at}", [*before, garbage, *after], "end"
            yield f"{garbage!r} instead of {at}", [*before, garbage, *after[1:]], "end"
        if after:
            yield f"without {at}", [*before, *after[1:]], "end"
            yield f"{at} twice", [*before, after[0], *after], "end"
        if len(after) > 1:
            yield f"{at} and the next the wrong way round", [*before, after[1], after[0], *after[2:]], "end"


FAULTS = list(faults())


@pytest.fixture
async def script(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scripted]:
    """Return the scripted provider, which the gateway now speaks to, with little patience for silence."""
    monkeypatch.setattr(upstream, "STREAM_IDLE_SECONDS", 0.1)
    monkeypatch.setattr(upstream, "ANSWER_SECONDS", 0.1)
    assert isinstance(gate.parts.store, SqliteStore)
    gate.parts.store._connection.execute("pragma synchronous=off")  # durability has tests of its own
    async with scripted() as found:
        gate.parts.upstreams.serving(BODY["model"], "anthropic").origin = Origin(found.url, internal=False)
        yield found


async def ask(gate: Gate) -> aiohttp.ClientResponse:
    """Send the usual request for a stream."""
    headers = {"x-api-key": gate.key, "content-type": "application/json"}
    return await gate.session.post(f"{gate.url}/v1/messages", data=REQUEST, headers=headers)


def written(heard: list[Event | bytes]) -> list[bytes]:
    """Return the bytes of a script."""
    return [event if isinstance(event, bytes) else sse(event) for event in heard]


async def outcome(gate: Gate) -> tuple[str, int, str]:
    """Return how the latest hold has ended; wait for that at most two seconds."""
    for _ in range(200):
        hold = await gate.at_rest()
        if hold.ended_at_us is not None:
            break
        await asyncio.sleep(0.01)
    event = UsageEvent.objects.filter(request_id=f"req_{hold.id.removeprefix('hold_')}").first()
    assert (event is None) == (hold.state == "void")
    return hold.state, hold.settled_nano or 0, event.flags if event else ""


@pytest.mark.parametrize("part", range(4))
async def test_every_fault_at_every_event_is_billed_by_the_table(gate: Gate, script: Scripted, part: int) -> None:
    """End, close, reset, stall, error, garbage, loss, repetition, disorder: never free, nothing held, exact."""
    billed = 0
    for name, heard, ending in FAULTS[part::4]:
        swapped = "the wrong way round" in name
        script.will(written(heard), ending, pause=0.005 if swapped else 0)

        with suppress(aiohttp.ClientError):  # a broken body is what a client should see
            answer = await ask(gate)
            await answer.read()

        found = await outcome(gate)
        billed += found[1]
        assert expected(heard, ending) == found, name
        assert found[1] > 0 or found[0] == "void", name
        assert (billed, 0) == gate.account(), name
    assert len(FAULTS[part::4]) == script.requests
    assert 0 == len(gate.parts.running)


async def test_the_client_that_leaves_at_any_event_pays_what_it_received(gate: Gate, script: Scripted) -> None:
    """The provider is closed at once; input exact, output from the bytes; exact once the last usage was told."""
    billed = 0
    for at in range(1, len(EVENTS) + 1):
        script.will(written(EVENTS[:at]), "stall")  # type: ignore[arg-type]
        answer = await ask(gate)
        await answer.content.readuntil(written(EVENTS[:at])[-1])  # type: ignore[arg-type]
        answer.close()

        found = await outcome(gate)

        billed += found[1]
        assert expected(list(EVENTS[:at]), "left") == found, at
        assert (billed, 0) == gate.account(), at


async def test_the_client_that_leaves_before_the_first_event_pays_the_bound(gate: Gate, script: Scripted) -> None:
    """The provider had accepted the request: what it has read by then nobody knows."""
    script.will([], "stall")
    answer = await ask(gate)
    answer.close()

    assert ("settled", BOUND_NANO + 50 * OUTPUT_NANO, "estimated client_gone") == await outcome(gate)


async def test_the_client_that_leaves_a_running_stream_never_gets_it_free(gate: Gate, script: Scripted) -> None:
    """However the race ends: at least the input and what was received, at most the exact bill or its estimate."""
    for at in range(1, len(EVENTS)):
        script.will(written(list(EVENTS)), pause=0.001)
        answer = await ask(gate)
        await answer.content.readuntil(sse(EVENTS[at]))
        answer.close()

        state, nano, _ = await outcome(gate)

        allowed = {expected(list(EVENTS[:heard]), "left")[1] for heard in range(at + 1, len(EVENTS) + 1)}
        assert "settled" == state
        assert nano in allowed, at
        assert 0 == gate.account()[1]


async def test_the_end_is_seen_after_the_settlement_is_durable(gate: Gate, script: Scripted) -> None:
    """Who has read message_stop finds the event in the database."""
    script.will(written(list(EVENTS)))
    answer = await ask(gate)

    await answer.content.readuntil(sse(EVENTS[-1]))

    assert ("settled", INPUT_NANO + OUTPUT * OUTPUT_NANO) == (
        Hold.objects.get().state,
        UsageEvent.objects.get().cost_nano,
    )


@pytest.mark.parametrize("ending", ["close", "reset", "stall"])
async def test_a_whole_answer_that_breaks_off_anywhere_is_an_estimate(
    gate: Gate, script: Scripted, ending: str
) -> None:
    """Its tokens were spent before its first byte: the bound of the input and 50 tokens, and the client hears so."""
    whole = json.dumps({**MESSAGE, "usage": {**USAGE, "output_tokens": OUTPUT}}).encode()
    bound = (len(json.dumps(BODY)) + OVERHEAD_TOKENS) * 4_000 + 50 * OUTPUT_NANO
    for turn, cut in enumerate(range(0, len(whole), len(whole) // 8), 1):
        script.will([whole[:cut]] if cut else [], ending)

        answer = await gate.post()

        assert 502 == answer.status
        assert "billed as an estimate" in await answer.text()
        assert ("settled", bound, "estimated upstream_lost") == await outcome(gate)
        assert (turn * bound, 0) == gate.account()


@pytest.mark.parametrize(("stale_seconds", "billed"), [(0.0, True), (60.0, False)])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_that_got_no_answer_is_billed_only_if_a_whole_one_may_have_been_written(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, stale_seconds: float, billed: bool, stream: bool
) -> None:
    """A stream had not begun, a connection that broke at once was stale: nothing; else the bound and 50 tokens."""
    monkeypatch.setattr(upstream, "STALE_SECONDS", stale_seconds)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    gate.parts.upstreams.serving(BODY["model"], "anthropic").origin = Origin(
        f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", internal=False
    )
    answer = await gate.post({"stream": stream})
    server.close()

    estimated = billed and not stream
    assert 502 == answer.status
    assert ("settled" if estimated else "void") == (await outcome(gate))[0]
    assert ("Nothing was billed" in await answer.text()) != estimated


def test_the_matrix_is_complete() -> None:
    """Sixteen events: 17 places for four endings, two errors and eight kinds of garbage, 16 losses and repetitions."""
    assert 17 * (4 + 2 + 8) + 2 * 16 + 15 == len(FAULTS)
    assert len({name for name, _, _ in FAULTS}) == len(FAULTS)


async def test_a_client_that_does_not_read_is_gone_after_a_while(
    gate: Gate, script: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hold ends with the estimate of what was passed on; the provider is closed, nothing is held for ever."""
    monkeypatch.setattr(forward, "READ_SECONDS", 0.1)
    text = {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "x" * 2**16}}
    script.will(written([*EVENTS[:7], *[text] * 400]), "stall")
    reader, writer = await asyncio.open_connection(*gate.url.removeprefix("http://").split(":"), limit=1)
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: {gate.key}\r\ncontent-length: {len(REQUEST)}\r\n\r\n"
    writer.write(head.encode() + REQUEST)
    await reader.readexactly(1)
    writer.transport.pause_reading()

    state, nano, flags = await outcome(gate)

    assert ("settled", "estimated client_gone") == (state, flags)
    assert INPUT_NANO + 50 * OUTPUT_NANO < nano <= INPUT_NANO + 4_096 * OUTPUT_NANO
    writer.transport.abort()


SUMMARIZED = {"context_management": {"edits": [{"type": "compact_20260112", "trigger": {"value": 50_000}}]}}


@pytest.mark.parametrize("heard", [3, 6])
async def test_a_summary_the_provider_writes_is_held_for_and_billed(gate: Gate, script: Scripted, heard: int) -> None:
    """Told in full: exact. Broken off: the prompt it summarized at its bound. Nothing is given back before the end."""
    start = {"input_tokens": 2_000, "output_tokens": 1}
    summary = {"type": "compaction_delta", "content": "so far"}
    told = [
        {"type": "compaction", "input_tokens": 60_000, "output_tokens": 300},
        {"type": "message", "input_tokens": 2_000, "output_tokens": 40},
    ]
    usage = {"input_tokens": 2_000, "output_tokens": 40, "iterations": told}
    story: list[Event] = [
        {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": start}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "compaction", "content": None}},
        {"type": "content_block_delta", "index": 0, "delta": summary},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop"},
    ]
    script.will(written(list(story[:heard])), "end" if heard == 6 else "close", pause=0.01)
    body = {**SUMMARIZED, "max_tokens": 1_000, "messages": [{"role": "user", "content": "x" * 60_000}], "stream": True}

    with suppress(aiohttp.ClientError):
        await gate.post(body)

    state, nano, flags = await outcome(gate)
    hold = Hold.objects.get()
    prompt = len(json.dumps({**BODY, **body})) + OVERHEAD_TOKENS
    if heard == 6:
        assert ("settled", 62_000 * 4_000 + 340 * OUTPUT_NANO, "") == (state, nano, flags)
    else:
        assert ("settled", "estimated upstream_lost") == (state, flags)
        assert (2_000 + prompt) * 4_000 + (2 + 50) * OUTPUT_NANO == nano
    assert hold.reserved_nano == hold.amount_nano == (2 * prompt + 1_000) * 4_000 + 2 * 1_000 * OUTPUT_NANO
