"""What a client of OpenAI's format is told, and the one event that it did not ask for."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tokenpool.gateway.openai.answers import UsageHider, envelope

CHOICE = b'data: {"choices": [{"delta": {"content": "\xc3\xa8"}}], "usage": null}\n\n'
FILTER = b'data: {"choices": [], "prompt_filter_results": []}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 5}}\n\n'
BOTH = b'data: {"choices": [{"delta": {}}], "usage": {"prompt_tokens": 5}}\n\n'
TRAP = b'data: {"choices": [{"delta": {"content": "\\"choices\\": [] \\"usage\\": {}"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = b": hello\n\n" + FILTER + CHOICE + TRAP + BOTH + USAGE + DONE


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.booleans())
def test_the_usage_alone_is_hidden_at_any_split(cuts: list[int], crlf: bool) -> None:
    """Every other byte passes in its order, and no event waits for the next."""
    data = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    hidden = USAGE.replace(b"\n", b"\r\n") if crlf else USAGE
    hider, out = UsageHider(), b""
    for start, end in pairwise(sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})):
        out += hider.feed(data[start:end])

    assert data.replace(hidden, b"") == out
    assert b"" == hider.end()


def test_what_did_not_end_passes_at_the_end() -> None:
    """Half an event is half an event for the client too."""
    hider = UsageHider()

    assert (CHOICE, b"data: {", b"") == (hider.feed(CHOICE + b"data: {"), hider.end(), hider.end())


def test_an_event_without_end_is_not_kept_for_ever() -> None:
    """Beyond sixteen MiB it passes as it is."""
    hider, chunk = UsageHider(), b"x" * 2**20

    sent = sum(len(hider.feed(chunk)) for _ in range(17))

    assert (17 * 2**20, 0) == (sent, len(hider.end()))


def test_an_error_has_the_names_that_clients_read() -> None:
    """`param` is the field, `code` the cause; what a limit tells beside stays under details."""
    field = envelope(400, "invalid_request_error", "n: must be.", request_id="req_1", details={"field": "n"})
    limit = envelope(
        429,
        "billing_error",
        "No.",
        request_id="req_1",
        details={"error_code": "tokenpool_member_limit_reached", "left": "0.03"},
        headers={"x-should-retry": "false"},
    )

    assert {"error": {"message": "n: must be.", "type": "invalid_request_error", "param": "n", "code": None}} == (
        json.loads(bytes(field.body))
    )
    assert {
        "error": {
            "message": "No.",
            "type": "insufficient_quota",
            "param": None,
            "code": "tokenpool_member_limit_reached",
            "details": {"left": "0.03"},
        }
    } == json.loads(bytes(limit.body))
    assert ("req_1", "req_1", "false") == tuple(
        limit.headers[name] for name in ("x-request-id", "request-id", "x-should-retry")
    )
