"""How the process listens: whose word on an address counts, how long an idle connection stays, when one is closed."""

import asyncio
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
