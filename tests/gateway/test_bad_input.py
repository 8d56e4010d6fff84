"""Bad input against the real server, byte by byte: a clear answer, the process alive, the money untouched."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from tokenpool.config import listening
from tokenpool.gateway import received
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent

from .conftest import BODY, COST, Gate

USUAL = json.dumps(BODY).encode()


async def raw(gate: Gate, *pieces: bytes, pause: float = 0, seconds: float = 5) -> bytes:
    """Send *pieces* as they are and return everything that comes back until the server closes or falls silent."""
    host, port = gate.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = asyncio.create_task(_everything(reader, seconds))
    with suppress(ConnectionError):  # the server may close while more is being sent
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
    found = await answer
    writer.close()
    return found


async def _everything(reader: asyncio.StreamReader, seconds: float) -> bytes:
    found = b""
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            while piece := await reader.read(2**16):
                found += piece
    return found


def head(gate: Gate, *lines: str, length: int | None = len(USUAL), key: bool = True) -> bytes:
    """Return the head of a request with *lines* added; the connection is to be closed after it."""
    told = ["POST /v1/messages HTTP/1.1", "host: x", "connection: close", "content-type: application/json", *lines]
    told += [f"x-api-key: {gate.key}"] * key
    told += [f"content-length: {length}"] * (length is not None)
    return "\r\n".join([*told, "", ""]).encode("latin-1")


async def alive_and_untouched(gate: Gate) -> None:
    """Assert that no money has moved and that the next request is served as ever."""
    assert (0, 0) == gate.account()
    assert not Hold.objects.exists()
    assert [] == gate.provider.seen
    gate.provider.answers()
    assert 200 == (await gate.post()).status
    assert (COST, 0) == gate.account()


SMUGGLED = b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        (["transfer-encoding: chunked"], len(SMUGGLED)),
        (["transfer-encoding: chunked"], 4),
        (["transfer-encoding: chunked, identity"], None),
        (["transfer-encoding: xchunked"], None),
        (["transfer-encoding : chunked"], None),
        (["transfer-encoding: identity", "transfer-encoding: chunked"], len(SMUGGLED)),
        (["content-length: 5"], 6),
        (["content-length: +5"], None),
        (["content-length: 5, 5"], None),
        (["content-length: -1"], None),
        (["content-length: 99999999999999999999999"], None),
        (["x-a: b\x00c"], 0),
        (["x-a\x01: b"], 0),
        (["x a: b"], 0),
        ([": b"], 0),
        (["x-a: b\n transfer-encoding: chunked"], 0),
    ],
)
async def test_a_head_that_can_be_read_in_two_ways_is_refused_and_nothing_is_smuggled(
    gate: Gate, lines: list[str], length: int | None
) -> None:
    """CL.TE, TE.CL, doubled lengths, control characters: one 400 in the envelope, and the connection ends."""
    answer = await raw(gate, head(gate, *lines, length=length) + SMUGGLED)

    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert 1 == answer.count(b"HTTP/1.1 ")
    assert "invalid_request_error" == json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"]
    await alive_and_untouched(gate)


@pytest.mark.parametrize(
    "request_line", [b"NONSENSE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n"]
)
async def test_what_is_no_http_is_told_so(gate: Gate, request_line: bytes) -> None:
    """Garbage, a TLS greeting on the plain port, a version from the future."""
    assert (await raw(gate, request_line)).startswith(b"HTTP/1.1 400 ")
    await alive_and_untouched(gate)


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(b"x-a: b\r\n" * 100_000, id="100,000 headers"),
        pytest.param(b"x-a: " + b"b" * 200_000 + b"\r\n", id="one of 200 KB"),
        pytest.param(b"x-a: " + b"b" * 50_000_000, id="one without end"),
    ],
)
async def test_a_head_without_end_is_cut_off(gate: Gate, piece: bytes) -> None:
    """431 naming both limits; the rest is not read."""
    answer = await raw(gate, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n", piece)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"256 headers or 64 KiB" in answer
    await alive_and_untouched(gate)


@pytest.mark.parametrize(
    "headers",
    [
        ["x-api-key: tp-chat-other"],
        ["authorization: Bearer tp-chat-other"],
        ["authorization: Bearer a", "authorization: Bearer b"],
    ],
)
async def test_two_credentials_are_refused(gate: Gate, headers: list[str]) -> None:
    """Whichever of them a proxy would believe."""
    answer = await raw(gate, head(gate, *headers) + USUAL)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Send one credential" in answer
    await alive_and_untouched(gate)


DEEP = b"[" * 200_000
BODIES: list[tuple[bytes, str]] = [
    (b"", "not valid JSON"),
    (b"{", "not valid JSON"),
    (b"[]", "must be a JSON object"),
    (b"null", "must be a JSON object"),
    (DEEP, "nested too deeply"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    (b'{"model":"m","model":"n"}', "twice in one object"),
    (b'{"messages":[{"a":1,"a":2}]}', "twice in one object"),
    (b'{"max_tokens":NaN}', "not JSON"),
    (b'{"max_tokens":' + b"9" * 5_000 + b"}", "not valid JSON"),
    ('{"model":"é"}'.encode("latin-1"), "not UTF-8"),
    ('{"model":"中"}'.encode("utf-16"), "not UTF-8"),
    (b'{"model":"\xed\xa0\x80"}', "not UTF-8"),
    (b"\x1f\x8b\x08\x00", "not UTF-8"),
    (b'{"model":"m\\ud800","max_tokens":1,"messages":[]}', "model: “m?” has no price"),
    (b'{"\\ud800":1,"\\ud800":2}', "the key “?” twice"),
    (b'{"messages":[' + b"{}," * 200_001 + b"{}]}", "more than 400,000 values"),
    (b'{"messages":[' + b'"",' * 800_000 + b"0]}", "more than 400,000 values"),
    (b'{"max_tokens":1,"messages":[],"model":"' + b"," * 400_001 + b'\\",' + b'"}', "model: no provider"),
    (b'{"model":"' + b"," * 400_001 + b'\\"' * 10_000, "not valid JSON"),
]


@pytest.mark.parametrize(("body", "sentence"), BODIES, ids=[f"{body[:20]!r}" for body, _ in BODIES])
async def test_a_body_that_is_no_json_object_is_refused_with_its_reason(gate: Gate, body: bytes, sentence: str) -> None:
    """400 that says what is wrong; nothing is parsed twice, nothing sent on."""
    answer = await raw(gate, head(gate, length=len(body)) + body)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert sentence in answer.decode()
    await alive_and_untouched(gate)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_a_compressed_body_is_refused_unread(gate: Gate, encoding: str) -> None:
    """A kilobyte can grow to gigabytes; no client of the provider's compresses."""
    answer = await raw(gate, head(gate, f"content-encoding: {encoding}", length=1_000) + b"\x1f\x8b" + b"\x00" * 998)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"send the body uncompressed" in answer
    await alive_and_untouched(gate)


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_over_the_cap_is_refused_before_it_is_parsed(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """413 at once when its length is told, at the byte over the cap when it comes in chunks; the connection ends."""
    monkeypatch.setattr(received, "MOST_BODY_BYTES", 2**20)
    if told:
        answer = await raw(gate, head(gate, length=2**20 + 1))
    else:
        chunk = b"10000\r\n" + b" " * 2**16 + b"\r\n"
        answer = await raw(gate, head(gate, "transfer-encoding: chunked", length=None) + chunk * 17)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer
    await alive_and_untouched(gate)


MAX_TOKENS: list[Any] = [None, -1, 10**7 + 1, 10**18, 1e18, 1.0, 0.5, "100", "", True, [], {}, [100], {"value": 1}]


@pytest.mark.parametrize("value", MAX_TOKENS, ids=repr)
async def test_max_tokens_that_are_no_count_are_refused_by_name(gate: Gate, value: Any) -> None:
    """Null, negative, beyond any model, with a point, in quotes, of another kind."""
    answer = await gate.post({"max_tokens": value})

    error = (await answer.json())["error"]
    assert (400, "max_tokens") == (answer.status, error["details"]["field"])
    assert "must be a whole number from 0 to 10,000,000" in error["message"]
    await alive_and_untouched(gate)


async def test_absent_max_tokens_are_refused_by_name(gate: Gate) -> None:
    """Without them the largest cost is unknown."""
    body = json.dumps({name: value for name, value in BODY.items() if name != "max_tokens"}).encode()

    answer = await gate.post(body)

    assert (400, "max_tokens") == (answer.status, (await answer.json())["error"]["details"]["field"])
    await alive_and_untouched(gate)


async def test_max_tokens_of_zero_warm_the_cache_and_cost_their_input(gate: Gate) -> None:
    """The provider's way to fill its cache: the hold is the input's, the bill exact."""
    gate.provider.answers({"input_tokens": 3, "cache_creation_input_tokens": 1_000, "output_tokens": 0})

    assert 200 == (await gate.post({"max_tokens": 0})).status
    assert 3 * 4_000 + 1_000 * 5_000 == UsageEvent.objects.get().cost_nano


@pytest.mark.parametrize(
    "lines",
    [["x-tokenpool-project: \xe9"], ["x-tokenpool-project: " + "p" * 81], ["x-claude-code-session-id: a\tb"]],
)
async def test_labels_that_cannot_be_stored_are_refused_by_name(gate: Gate, lines: list[str]) -> None:
    """At most 80 printable ASCII characters."""
    answer = await raw(gate, head(gate, *lines) + USUAL)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert lines[0].partition(":")[0].encode() in answer
    await alive_and_untouched(gate)


async def test_a_head_that_trickles_is_closed(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slowloris: a byte at a time; 408 when the time for the head is over, and others are served meanwhile."""
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.2)
    gate.provider.answers()
    trickle = [bytes([byte]) for byte in head(gate)[:100]]

    answers, served = await asyncio.gather(
        asyncio.gather(*(raw(gate, *trickle, pause=0.02) for _ in range(50))), gate.post()
    )

    assert 200 == served.status
    assert [True] * 50 == [answer.startswith(b"HTTP/1.1 408 ") for answer in answers]


async def test_a_connection_that_says_nothing_is_closed(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that has opened and waits; nothing is answered to nothing."""
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.1)

    assert b"" == await raw(gate, seconds=2)
    await alive_and_untouched(gate)


async def test_a_body_that_trickles_is_closed(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 below 1 KiB a second; nothing was held for it."""
    monkeypatch.setattr(listening, "BODY_SECONDS", 0.2)
    trickle = [bytes([byte]) for byte in USUAL[:40]]

    answer = await raw(gate, head(gate), *trickle, pause=0.02)

    assert answer.startswith(b"HTTP/1.1 408 ")
    await alive_and_untouched(gate)


async def test_a_slow_but_steady_body_is_served(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several checks, each time with enough bytes."""
    monkeypatch.setattr(listening, "BODY_SECONDS", 0.4)
    monkeypatch.setattr(listening, "LEAST_BODY_BYTES", 10)
    gate.provider.answers()
    pieces = [USUAL[start : start + 20] for start in range(0, len(USUAL), 20)]

    answer = await raw(gate, head(gate), *pieces, pause=0.1)

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_an_idle_connection_waits_for_its_answer_without_a_clock(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks are for requests; an answer may take its time."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS"):
        monkeypatch.setattr(listening, name, 0.05)
    gate.provider.answers()
    whole = gate.provider.script
    assert whole is not None

    async def script(request: Any) -> Any:
        await asyncio.sleep(0.3)
        return await whole(request)

    gate.provider.script = script
    answer = await raw(gate, head(gate) + USUAL)

    assert answer.startswith(b"HTTP/1.1 200 ")
