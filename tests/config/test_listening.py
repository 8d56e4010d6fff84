"""How the process listens: whose word on an address counts, how long an idle connection stays, when one is closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway_server import serving
from tokenpool.config import listening
from tokenpool.kernel.errors import InvalidInput


@pytest.mark.parametrize(
    ("told", "believed"),
    [("", "127.0.0.1,::1"), ("10.0.0.5", "10.0.0.5"), ("10.0.0.0/24, fd00::/64", "10.0.0.0/24, fd00::/64")],
)
def test_the_proxies_that_are_believed(monkeypatch: pytest.MonkeyPatch, told: str, believed: str) -> None:
    """Those that the operator names, else this machine's."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", told)

    assert believed == listening.options()["forwarded_allow_ips"]


@pytest.mark.parametrize("told", ["*", "10.0.0.0/33", "10.0.0.7/24", "proxy.internal", "10.0.0.5,"])
def test_what_is_no_proxy_stops_the_start(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """Believing everybody would let everybody choose an address; the others would be believed of nobody."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", told)

    with pytest.raises(InvalidInput, match=r"FORWARDED_ALLOW_IPS: .* is no address or network of a proxy"):
        listening.options()


def test_an_idle_connection_outlives_the_proxys() -> None:
    """Caddy keeps one for 120 seconds, nginx and the usual load balancers for 60."""
    assert 130 == listening.options()["timeout_keep_alive"]


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    """Refuse without reading the body, and close."""
    await send({"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"too large"})


async def test_who_is_refused_early_reads_the_answer_after_a_long_body() -> None:
    """Eight million bytes are sent before anything is read; closing on them would have reset the connection."""
    async with serving(refusing) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n")
        for _ in range(80):
            writer.write(b"x" * 100_000)
            await writer.drain()
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"too large" in answer


async def dripping(writer: asyncio.StreamWriter) -> None:
    """Send one byte after the other, for ever."""
    while True:
        writer.write(b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def test_a_body_without_end_ends_with_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the answer, as long as one may finish."""
    monkeypatch.setattr(listening, "LINGER_SECONDS", 0.2)
    async with serving(refusing) as url:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(dripping(writer), 5)


@asynccontextmanager
async def connected(url: str, *pieces: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield a connection on which *pieces* were sent one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.05)
    try:
        yield reader, writer
    finally:
        writer.close()


async def reading(_: Any, receive: Any, send: Any) -> None:
    """Answer with the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def greeting(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer before the body is here."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@pytest.mark.parametrize(
    "pieces",
    [
        [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"],
        [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\r\n"],
        [b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nab", b"cd"],
    ],
)
async def test_a_connection_on_which_nothing_is_asked_ends(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes]
) -> None:
    """After the idle time: also when an empty line, or the rest of a body, came behind the answer."""
    monkeypatch.setattr(listening, "IDLE_SECONDS", 0.3)
    async with serving(greeting) as url, connected(url, *pieces) as (reader, _):
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"hi")


async def test_what_stands_behind_a_body_is_no_longer_than_a_head() -> None:
    """A trailer without end is refused after 64 KiB; the parser would keep and copy it as it grows."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    async with serving(reading) as url:
        async with connected(url, head + b"x-h: ", b"y" * 2**15, b"y\r\n\r\n") as (reader, _):
            assert b"ok" == (await reader.readuntil(b"ok"))[-2:]
        async with connected(url, head + b"x-h: ", b"y" * (2**16 + 1)) as (reader, _):
            assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("length", [b"content-length: 33", b"transfer-encoding: chunked"])
async def test_the_body_of_a_request_to_upgrade_is_no_request(length: bytes) -> None:
    """The parser would read it as one, and a proxy in front would give its answer to somebody else."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n%s\r\n\r\n" % length
    async with serving(reading) as url, connected(url, head, b"GET /other HTTP/1.1\r\nhost: x\r\n\r\n") as (reader, _):
        answer = await asyncio.wait_for(reader.read(), 5)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert 1 == answer.count(b"HTTP/1.1")
    assert b"send the body without Upgrade" in answer
