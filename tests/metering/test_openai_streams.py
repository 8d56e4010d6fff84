"""OpenAI's streams: any split of the bytes gives the same; the usage comes last, or with every chunk, or not at all."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.openai_streams import ChatMeter, ResponsesMeter

USAGE = {"prompt_tokens": 112, "completion_tokens": 7, "total_tokens": 119}
DONE = b"data: [DONE]\n\n"


def chunk(delta: dict[str, Any] | None = None, *, end: str | None = None, index: int = 0, **facts: Any) -> bytes:
    """Return one chunk of a chat as the provider writes it."""
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": end}]
    data = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices, **facts}
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def event(kind: str, **facts: Any) -> bytes:
    """Return one event of a response as the provider writes it."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **facts}, ensure_ascii=False)}\n\n".encode()


CHAT = b"".join(
    [
        chunk({"role": "assistant", "content": ""}, usage=None),
        b": a comment\n\n",
        chunk({"content": "Perché no?"}, usage=None),
        chunk({"reasoning_content": "hm"}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a":'}}]}),
        chunk({}, end="tool_calls"),
        chunk(usage=USAGE, service_tier="priority"),
        DONE,
    ]
)
RESPONSE = b"".join(
    [
        event("response.created", response={"usage": None}),
        event("response.in_progress", response={"usage": None}),
        event("response.output_item.added", item={"type": "message"}),
        event("response.output_text.delta", delta="Perché no?"),
        event("response.function_call_arguments.delta", delta='{"a":'),
        event("response.output_text.done", text="Perché no?"),
        event("response.completed", response={"usage": {"input_tokens": 112, "output_tokens": 7}}),
    ]
)


@given(st.sampled_from(["chat", "response"]), st.lists(st.integers(0, 2_000), max_size=12), st.booleans())
def test_any_split_of_a_stream_gives_the_same_usage(which: str, cuts: list[int], crlf: bool) -> None:
    """Chunks end anywhere, also within a character."""
    data = CHAT if which == "chat" else RESPONSE
    data = data.replace(b"\n", b"\r\n") if crlf else data
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    meter = ChatMeter(50) if which == "chat" else ResponsesMeter(50)
    for start, end in pairwise(edges):
        meter.feed(data[start:end])

    found = meter.reported()

    assert found is not None
    assert ((None, TokenCounts(input=112, output=7)),) == found.parts
    assert (which == "chat", True, True) == (found.fast, meter.started, meter.finished)
    assert (11 + 2 + 1 + 5 if which == "chat" else 11 + 5) == meter.output_bytes


def test_the_input_of_a_stream_that_broke_is_the_estimate() -> None:
    """Neither format tells it before the end."""
    for meter, data in ((ChatMeter(50), CHAT), (ResponsesMeter(60), RESPONSE)):
        meter.feed(data[: data.index(b"Perch")])
        assert (None, False) == (meter.reported(), meter.input_is_told)
    assert (TokenCounts(input=60), False) == (meter.start_input, meter.finished)


def test_a_chat_is_complete_when_every_choice_has_ended() -> None:
    """From then on only the usage is to come."""
    meter = ChatMeter(50, choices=2)
    meter.feed(chunk({"content": "a"}, end="stop", index=0) + chunk({}, end="stop", index=0))
    before = meter.is_complete
    meter.feed(chunk({"content": "b"}, end="length", index=1))

    assert (False, True, False) == (before, meter.is_complete, meter.finished)


def test_usage_in_every_chunk_counts_up_to_the_last_one() -> None:
    """What came after the last usage is not covered by it."""
    meter = ChatMeter(50)
    meter.feed(chunk({"content": "a"}, usage={**USAGE, "completion_tokens": 3, "total_tokens": 115}))
    first = meter.reported()
    meter.feed(chunk({"content": "b"}))
    between = meter.reported()
    meter.feed(chunk({}, end="stop", usage=USAGE))
    last = meter.reported()

    assert first is not None
    assert last is not None
    assert (3, None, 7) == (first.parts[0][1].output, between, last.parts[0][1].output)


@pytest.mark.parametrize("usage", [{"prompt_tokens": 5}, {**USAGE, "completion_tokens": -1}, {}])
def test_usage_that_cannot_be_believed_is_hostile(usage: dict[str, Any]) -> None:
    """The stream goes on; the bill is an estimate."""
    meter = ChatMeter(50)
    meter.feed(chunk({"content": "a"}) + chunk(usage=usage) + DONE)

    assert (None, True) == (meter.reported(), meter.finished)
    assert meter.hostile


def test_an_error_is_kept_and_begins_nothing() -> None:
    """In place of a chunk, as an event, or as a response that failed before anything was made."""
    chat, streamed, failed = ChatMeter(50), ResponsesMeter(50), ResponsesMeter(50)
    chat.feed(b'data: {"error": {"message": "overloaded"}}\n\n')
    streamed.feed(event("response.created", response={}) + event("error", message="overloaded"))
    failed.feed(event("response.created", response={}) + event("response.failed", response={"usage": None}))

    assert [(True, False)] * 3 == [(m.error is not None, m.started) for m in (chat, streamed, failed)]
    assert [False, False, True] == [m.finished for m in (chat, streamed, failed)]


def test_a_response_that_was_cut_short_has_told_its_usage() -> None:
    """Incomplete is an end too, and so is a failure that says what it used."""
    for kind in ("response.incomplete", "response.failed"):
        meter = ResponsesMeter(50)
        meter.feed(event("response.output_text.delta", delta="a"))
        meter.feed(event(kind, response={"usage": {"input_tokens": 5, "output_tokens": 6}, "service_tier": "flex"}))
        found = meter.reported()
        assert found is not None
        assert (6, True, True) == (found.parts[0][1].output, found.batch, meter.finished)


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"choices": 7, "usage": "many"}\n\n',
        b'data: {"choices": [7, {"delta": 7}, {"delta": {"tool_calls": [7, {"function": 7}]}}]}\n\n',
        b'data: {"type": "response.completed", "response": 7}\n\n',
        b'data: {"type": 7, "delta": 7}\n\ndata: [1]\n\ndata: null\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
)
def test_garbage_is_survived(data: bytes) -> None:
    """Whatever stands where something else should."""
    for meter in (ChatMeter(50), ResponsesMeter(50)):
        meter.feed(data)
        assert meter.reported() is None
