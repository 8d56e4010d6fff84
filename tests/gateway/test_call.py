"""Bounds of a body: never below what it can be billed for, images by their maxima, look-alikes by their bytes."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.gateway.call import IMAGE_TOKENS, OVERHEAD_TOKENS, read_call
from tokenpool.kernel.errors import Unbounded
from tokenpool.pricing import load

PRICE = load.standard().price("claude-opus-5-5", date(2026, 11, 24))


def body(**more: Any) -> bytes:
    """Return a small body with *more*."""
    return json.dumps({"model": "claude-opus-5-5", "max_tokens": 10, "messages": [], **more}).encode()


@given(st.text(max_size=200), st.booleans())
def test_the_bound_covers_every_byte_of_text(text: str, ascii_only: bool) -> None:
    """However the client escapes it."""
    raw = json.dumps(
        {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}, ensure_ascii=ascii_only
    ).encode("utf-8", "surrogatepass")

    assert read_call(raw).shape(PRICE).input_tokens >= len(text.encode("utf-8", "surrogatepass"))


def test_an_image_counts_with_its_maximum_and_not_with_its_bytes() -> None:
    """A megabyte of base64 is at most 5,000 tokens."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 10**6}}

    tokens = read_call(body(messages=[{"role": "user", "content": [image]}])).shape(PRICE).input_tokens

    assert IMAGE_TOKENS + OVERHEAD_TOKENS < tokens < IMAGE_TOKENS + OVERHEAD_TOKENS + 500


def test_what_only_looks_like_an_image_counts_in_full() -> None:
    """Text hidden in a tool's input is text."""
    hidden = {"type": "image", "source": {"type": "base64", "data": "A" * 100_000}}
    call = {"type": "tool_use", "id": "t", "name": "n", "input": hidden}

    assert read_call(body(messages=[{"role": "assistant", "content": [call]}])).shape(PRICE).input_tokens > 100_000


@pytest.mark.parametrize(("ttl", "expected"), [(None, (True, False)), ("5m", (True, False)), ("1h", (True, True))])
def test_cache_control_is_found_anywhere_and_however_it_is_written(
    ttl: str | None, expected: tuple[bool, bool]
) -> None:
    """An escaped key is the same key."""
    control = {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}
    raw = body(tools=[{"name": "t", "input_schema": {}, "cache_control": control}])
    escaped = raw.replace(b'"cache_control"', b'"cache\\u005fcontrol"')

    for variant in (raw, escaped):
        shape = read_call(variant).shape(PRICE)
        assert expected == (shape.cache_5m, shape.cache_1h)


def test_documents_are_bounded_by_the_context_window() -> None:
    """A million tokens on Opus 5.5; without a known window they are refused."""
    document = {"type": "document", "source": {"type": "url", "url": "https://x"}}
    call = read_call(body(messages=[{"role": "user", "content": [document]}]))

    assert 1_000_000 == call.shape(PRICE).input_tokens
    with pytest.raises(Unbounded, match="context window is unknown"):
        call.shape(replace(PRICE, context_window=None))


def test_clamping_changes_max_tokens_alone() -> None:
    """Spaces, order and escapes stay as they were; a look-alike elsewhere is not touched."""
    raw = b'{ "max_tokens" : 128000,"model":"claude-opus-5-5","messages":[{"role":"user","content":"\\u00e9"}]}'
    twin = body(metadata={"max_tokens": 10})

    assert raw.replace(b"128000", b"4096") == read_call(raw).body(4096)
    clamped = json.loads(read_call(twin).body(5))
    assert (5, 10) == (clamped["max_tokens"], clamped["metadata"]["max_tokens"])


@pytest.mark.parametrize(
    "raw",
    [
        b'{"max\\u005ftokens": 128000, "model": "m", "metadata": {"max_tokens": 1}}',
        b'{"metadata": {"max_tokens": 128000}, "max\\u005ftokens": 128000, "model": "m"}',
        b'{"model": "m", "system": "say \\"max_tokens\\": 7", "max_tokens": 128000}',
    ],
)
def test_no_spelling_of_the_body_keeps_a_larger_output_than_was_held(raw: bytes) -> None:
    """A look-alike beside an escaped key must not be the one that is lowered."""
    call = read_call(raw)

    assert 128_000 == call.max_tokens
    assert 4_096 == json.loads(call.body(4_096))["max_tokens"]


def test_what_claude_code_sends_of_itself_passes() -> None:
    """128,000 tokens, adaptive thinking, context edits, effort, metadata, unknown fields."""
    call = read_call(
        body(
            max_tokens=128_000,
            stream=True,
            thinking={"type": "adaptive"},
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            output_config={"effort": "high"},
            metadata={"user_id": "{}"},
            tools=[{"name": "Bash", "input_schema": {"type": "object"}}],
            something_new={"a": 1},
        )
    )

    assert (128_000, True, 1_024) == (call.max_tokens, call.stream, call.floor_output)
