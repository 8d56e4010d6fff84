"""The stream's meter: any split of the bytes gives the same result; frames are cumulative."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering import events
from tokenpool.metering.stream import StreamMeter

START = {"input_tokens": 12, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 2000, "output_tokens": 1}


def event(kind: str, **facts: Any) -> bytes:
    """Return one event as the provider writes it."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **facts}, ensure_ascii=False)}\n\n".encode()


STREAM = b"".join(
    [
        event("message_start", message={"id": "msg_1", "usage": START}),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        b": a comment\n\n",
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Perché no?"}),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a":'}),
        event("something_new", index=0),
        event("message_delta", delta={}, usage={"output_tokens": 3}),
        event("message_delta", delta={}, usage={"output_tokens": 7, "input_tokens": None}),
        event("message_stop"),
    ]
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.booleans())
def test_any_split_of_a_stream_gives_the_same_usage(cuts: list[int], crlf: bool) -> None:
    """Chunks end anywhere, also within a character."""
    data = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    meter = StreamMeter()
    for start, end in pairwise(edges):
        meter.feed(data[start:end])

    found = meter.reported()

    assert found is not None
    assert ((None, TokenCounts(12, 2000, 100, 0, 7)),) == found.parts
    assert (True, True, 18) == (meter.started, meter.finished, meter.output_bytes)


def test_the_input_is_known_from_the_first_event() -> None:
    """It trims the hold before the answer is written."""
    meter = StreamMeter()
    meter.feed(STREAM[: STREAM.index(b"event: ping")])

    assert TokenCounts(12, 2000, 100, 0, 1) == meter.start_input
    assert meter.reported() is None


def test_garbage_and_hostile_usage_end_in_no_usage_not_in_a_crash() -> None:
    """Nonsense is counted as bytes, never believed."""
    meter = StreamMeter()
    meter.feed(event("message_start", message={"usage": START}) + b"data: {not json}\n\ndata: 7\n\n")
    meter.feed(event("message_delta", usage={"output_tokens": -5}))

    assert meter.reported() is None
    assert "output_tokens" in meter.hostile
    assert 11 == meter.output_bytes


def test_data_over_several_lines_is_one_event() -> None:
    """The field's standard joins them; a provider behind a formatter writes so."""
    meter = StreamMeter()
    lines = json.dumps({"type": "message_start", "message": {"usage": START}}, indent=1).splitlines()
    meter.feed("".join(f"data: {line}\r\n" for line in lines).encode())
    before = meter.started

    meter.feed(b"\r\n")

    assert (False, True, 0) == (before, meter.started, meter.output_bytes)
    assert TokenCounts(12, 2000, 100, 0, 1) == meter.start_input


def test_usage_that_more_output_followed_is_not_final() -> None:
    """A stream that breaks then is estimated; so is one whose last frame tells no usage."""
    meter = StreamMeter()
    meter.feed(STREAM[: STREAM.index(b"event: message_stop")])
    assert meter.reported() is not None

    meter.feed(event("content_block_delta", index=2, delta={"type": "text_delta", "text": "more"}))
    meter.feed(event("message_delta", delta={"stop_reason": "end_turn"}))

    assert meter.reported() is None


def test_hostile_nesting_is_garbage() -> None:
    """It neither crashes the relay nor is it free."""
    meter = StreamMeter()
    meter.feed(b"data:" + b"[" * 100_000 + b"\n\n")

    assert 100_000 == meter.output_bytes


def test_an_endless_line_is_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the rest of it after the limit; the next event is read as ever."""
    monkeypatch.setattr(events, "MOST_BUFFERED", 1_000)
    meter = StreamMeter()
    for _ in range(50):
        meter.feed(b"data: " + b"x" * 94)
        assert len(meter._rest) <= 1_000
    meter.feed(b"data: end\n\n" + STREAM)

    assert 50 * 100 + len("data: end") + 18 == meter.output_bytes
    assert meter.reported() is not None


def test_an_event_of_endless_lines_is_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit holds for the lines of one event together."""
    monkeypatch.setattr(events, "MOST_BUFFERED", 1_000)
    meter = StreamMeter()
    for _ in range(50):
        meter.feed(b"data:" + b"x" * 99 + b"\n")
        assert len(meter._data) <= 1_000
    meter.feed(b"\n" + STREAM)

    assert 50 * 99 <= meter.output_bytes - 18 <= 50 * 100
    assert meter.reported() is not None


def test_what_tools_at_the_provider_made_it_read_again_is_counted() -> None:
    """Each result: the prompt and a third of the bytes so far; each summary: the whole prompt it may have read."""
    meter = StreamMeter()
    result = event("content_block_start", index=1, content_block={"type": "web_search_tool_result", "content": []})
    meter.feed(STREAM[: STREAM.index(b"event: ping")])
    before = len(STREAM[: STREAM.index(b"event: ping")])

    meter.feed(result)
    summary = {"type": "compaction", "content": "Perché no?"}
    meter.feed(event("content_block_start", index=2, content_block=summary))

    again = 2_112 + (before + len(result)) // 3
    assert (again + 9_000, 11) == (meter.read_again(9_000), meter.output_bytes)


def test_a_stream_without_its_start_has_no_usage() -> None:
    """The last frame tells the output; input that nobody told is not free."""
    meter = StreamMeter()
    meter.feed(STREAM[STREAM.index(b"event: content_block_start") :])

    assert (None, True) == (meter.reported(), meter.finished)


@pytest.mark.parametrize(("text", "free"), [("", True), ("Well", False)])
def test_a_refusal_before_any_output_is_free(text: str, free: bool) -> None:
    """Told by the last frame; one that came after some text is billed."""
    meter = StreamMeter()
    meter.feed(event("message_start", message={"usage": START | {"output_tokens": 0}}))
    if text:
        meter.feed(event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}))
    delta = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": None}}
    meter.feed(event("message_delta", delta=delta, usage={"output_tokens": 0}) + event("message_stop"))

    found = meter.reported()

    assert found is not None
    assert free == found.free


def test_an_error_event_is_kept() -> None:
    """It decides how the hold ends."""
    meter = StreamMeter()
    meter.feed(event("error", error={"type": "overloaded_error"}))

    assert meter.error is not None
    assert not meter.started
