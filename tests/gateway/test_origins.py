"""A provider's place: who may be connected to, and which connections are kept."""

import asyncio
import socket
import ssl

import pytest

from tokenpool.gateway import origins
from tokenpool.gateway.connections import Broken
from tokenpool.gateway.origins import Origin, Unreached

from .raw_provider import ANSWER, ask, body_of, provider


async def test_a_connection_is_kept_and_the_last_used_is_used_first() -> None:
    """Three requests in a row need one; two at once two; the address below the base one and the host are right."""
    heads: list[bytes] = []
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head)
            writer.write(ANSWER)

    async with provider(serve, "/base/") as origin:
        for _ in range(3):
            assert b"ok" == await body_of(await ask(origin, "/v1/x?y=%26", accept="z"))
        await asyncio.gather(ask(origin), ask(origin))

        assert 2 == opened
        host = origin._named
    assert f"GET /base/v1/x?y=%26 HTTP/1.1\r\nhost: {host}\r\naccept: z\r\n\r\n".encode() == heads[0]


async def test_a_connection_that_nobody_used_for_a_minute_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that the provider has closed meanwhile."""
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)

    async with provider(serve) as origin:
        await body_of(await ask(origin))
        monkeypatch.setattr(origins, "KEPT_SECONDS", 0.0)
        await asyncio.sleep(0.01)
        await body_of(await ask(origin))
        assert 2 == len(opened)

        monkeypatch.setattr(origins, "KEPT_SECONDS", 60.0)
        opened[-1].close()
        await asyncio.sleep(0.05)
        await body_of(await ask(origin))
        assert 3 == len(opened)


@pytest.mark.parametrize(
    ("target", "headers"),
    [("/v1/x", {"accept": "a\r\nx-evil: 1"}), ("/v1/x", {"accept": "a\0b"}), ("/v1/x", {"user-agent": "\u2028"})],
)
async def test_no_word_of_a_client_begins_a_line(target: str, headers: dict[str, str]) -> None:
    """Nothing is connected to for it."""

    async def serve(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        raise AssertionError

    async with provider(serve) as origin:
        with pytest.raises(Unreached, match="a character that no header may have"):
            await ask(origin, target, **headers)


async def test_what_no_address_may_have_is_escaped() -> None:
    """A query of other bytes, blanks and line ends stays one query."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)

    async with provider(serve) as origin:
        await ask(origin, "/v1/x?a=\xe9 b\r\nc&d=%20")

    assert heads[0].startswith(b"GET /v1/x?a=%E9%20b%0D%0Ac&d=%20 HTTP/1.1\r\nhost: ")


async def test_nobody_listens() -> None:
    """Named as such: nothing was taken."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(Unreached, match="ConnectionRefusedError"):
        await ask(Origin(f"http://127.0.0.1:{port}", internal=False))


async def test_a_provider_that_does_not_greet_is_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TLS handshake counts as part of the connection."""
    monkeypatch.setattr(origins, "CONNECT_SECONDS", 0.05)

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with provider(serve) as origin:
        origin._tls = ssl.create_default_context()
        with pytest.raises(Unreached, match="TimeoutError"):
            await ask(origin)


async def test_a_provider_without_a_trusted_certificate_is_not_spoken_to() -> None:
    """Not a byte of the request leaves."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(5))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async with provider(serve) as origin:
        origin._tls = ssl.create_default_context()
        with pytest.raises(Broken, match="SSLError"):
            await ask(origin)

    assert b"\x16\x03" == heard[0][:2]  # a TLS greeting


@pytest.mark.parametrize(
    ("host", "internal", "addresses", "allowed"),
    [
        ("api.example", False, ["93.184.216.34"], ["93.184.216.34"]),
        ("api.example", False, ["10.0.0.7", "93.184.216.34"], ["93.184.216.34"]),
        ("api.example", False, ["127.0.0.1"], []),
        ("api.example", False, ["169.254.169.254"], []),
        ("api.example", False, ["::ffff:10.0.0.7", "fd00::1", "::1", "fe80::1"], []),
        ("vllm.internal", True, ["10.0.0.7", "fd00::1"], ["10.0.0.7", "fd00::1"]),
        ("vllm.internal", True, ["169.254.169.254", "fd00:ec2::254", "100.100.100.200"], []),
        ("api.example", False, ["192.0.0.192", "168.63.129.16"], []),
        ("localhost", False, ["127.0.0.1", "::1"], ["127.0.0.1", "::1"]),
        ("localhost", False, ["10.0.0.7"], []),
    ],
)
async def test_a_name_leads_to_public_addresses_only(
    monkeypatch: pytest.MonkeyPatch, host: str, internal: bool, addresses: list[str], allowed: list[str]
) -> None:
    """What is looked at is what is connected to; private ones only where the operator said so, metadata never."""
    found = [(2, 1, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
    resolved = Origin(f"https://{host}", internal=internal).addresses()

    if allowed:
        assert allowed == [one[4][0] for one in await resolved]
    else:
        with pytest.raises(OSError, match=f"{host} has no address that may be connected to"):
            await resolved
