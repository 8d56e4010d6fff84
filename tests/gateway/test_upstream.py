"""The way out: destinations come from the settings alone, no redirect is followed, no private address is reached."""

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web
from starlette.datastructures import Headers

from tokenpool.gateway.upstream import Upstream, UpstreamAway
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent

from .conftest import BODY, Gate, events

EVIL = "http://127.0.0.1:9/evil"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_redirect_is_followed_by_nobody(gate: Gate, status: int, stream: bool) -> None:
    """Not by this side and not by the client, who would take their key there: 502, no location, nothing billed."""

    async def script(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"location": gate.provider.url + "/elsewhere"})

    gate.provider.script = script

    answer = await gate.post({"stream": stream})

    assert (502, 1, "void") == (answer.status, len(gate.provider.seen), Hold.objects.get().state)
    assert "location" not in answer.headers
    assert f"redirect ({status})" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_compressed_answer_is_an_estimate(gate: Gate, stream: bool) -> None:
    """Nobody asked for it, so nobody can read it; the provider will bill it all the same: 502, the bound and 50."""

    async def script(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"...", headers={"content-encoding": "br"})

    gate.provider.script = script

    answer = await gate.post({"stream": stream})

    event = UsageEvent.objects.get()
    assert (502, "estimated no_answer", 50) == (answer.status, event.flags, event.output_tokens)
    assert "compressed, which nobody asked for" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example/v1/files?x="},
        {"host": "a@evil.example:99/v1/files#"},
        {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http", "forwarded": "host=evil.example"},
        {"x-original-url": "/v1/files", "x-rewrite-url": "/v1/files", "x-http-method-override": "DELETE"},
        {"anthropic-base-url": EVIL, "x-upstream-url": EVIL, "referer": EVIL, "origin": EVIL},
    ],
)
async def test_no_header_changes_where_a_request_goes(gate: Gate, headers: dict[str, str]) -> None:
    """Nor does one reach the provider that is not on the list."""
    gate.provider.answers()

    answer = await gate.post(None, **headers)

    path, seen, _ = gate.provider.seen[0]
    assert (200, "/v1/messages") == (answer.status, path)
    assert gate.provider.url.endswith(seen["Host"])
    assert not any("evil" in value for value in seen.values())


async def test_no_field_of_a_body_changes_where_a_request_goes(gate: Gate) -> None:
    """Addresses in a body are the provider's to read."""
    gate.provider.answers()

    await gate.post({"base_url": EVIL, "api_base": EVIL, "url": EVIL, "metadata": {"user_id": EVIL}})

    assert ["/v1/messages"] == [path for path, _, _ in gate.provider.seen]


@pytest.mark.parametrize(
    ("target", "status", "seen"),
    [
        ("//evil.example/v1/messages", 404, []),
        ("http://evil.example/v1/messages", 200, ["/v1/messages"]),
        ("/v1/messages/..", 404, []),
    ],
)
async def test_no_request_line_changes_where_a_request_goes(
    gate: Gate, target: str, status: int, seen: list[str]
) -> None:
    """Absolute forms and doubled slashes reach our own path or nothing."""
    gate.provider.answers()
    host, port = gate.url.removeprefix("http://").split(":")
    body = b'{"model": "claude-opus-5-5", "max_tokens": 10, "messages": []}'
    head = f"POST {target} HTTP/1.1\r\nhost: evil.example\r\nx-api-key: {gate.key}\r\ncontent-length: {len(body)}\r\n"

    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
    answer = await reader.read()
    writer.close()

    assert (status, seen) == (int(answer.split()[1]), [path for path, _, _ in gate.provider.seen])


@pytest.mark.parametrize(
    "model", ["../files", "..%2ffiles", "a/../../files", "%2e%2e/files", ".", "a//b", "x?y=z", "%C3%A9"]
)
async def test_a_models_name_is_no_path(gate: Gate, model: str) -> None:
    """404 or a name that stays one; nothing but models is reached with the operator's key."""
    gate.provider.answers()

    answer = await gate.session.get(
        aiohttp.client.URL(f"{gate.url}/v1/models/{model}", encoded=True), headers={"x-api-key": gate.key}
    )

    assert {"/v1/models/x?y=z"} >= {path for path, _, _ in gate.provider.seen}
    assert (200 if model == "x?y=z" else 404) == answer.status


async def test_a_query_goes_along_and_stays_one(gate: Gate) -> None:
    """With what is escaped in it."""
    gate.provider.answers()

    await gate.session.post(f"{gate.url}/v1/messages?beta=true&x=a%26b", json=BODY, headers={"x-api-key": gate.key})

    assert "/v1/messages?beta=true&x=a%26b" == gate.provider.seen[0][0]


@pytest.mark.parametrize("host", ["localtest.example", "2130706433", "0x7f000001", "127.1"])
async def test_nothing_but_the_named_loopback_reaches_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """A public name that resolves to loopback, and loopback in other spellings, are not connected to."""
    server = socket.create_server(("127.0.0.1", 0))
    place = server.getsockname()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [(2, 1, 6, "", place)])
    monkeypatch.setattr("tokenpool.gateway.upstream.ANSWER_SECONDS", 0.2)
    upstream = Upstream(name="x", url=f"http://{host}:{place[1]}", api_key="k")

    with pytest.raises(UpstreamAway):
        await upstream.send("GET", "/v1/models", headers=Headers(), stream=False)

    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.accept()
    server.close()
    await upstream.close()


async def test_a_client_that_leaves_a_drained_provider_pays_exactly(gate: Gate) -> None:
    """Where the whole answer is billed anyway it is read on, and nothing is estimated."""
    gate.parts.upstreams.serving(BODY["model"], "anthropic").drains = True
    gate.provider.streams(events(), pause=0.05)
    headers = {"x-api-key": gate.key}
    answer = await gate.session.post(f"{gate.url}/v1/messages", json={**BODY, "stream": True}, headers=headers)
    await answer.content.readuntil(b"message_start")
    answer.close()

    while not UsageEvent.objects.exists():  # noqa: ASYNC110 - what is awaited is a row
        await asyncio.sleep(0.01)
    await gate.at_rest()

    event = UsageEvent.objects.get()
    assert (1_088_000, "client_gone", 7) == (event.cost_nano, event.flags, event.output_tokens)
    assert (1_088_000, 0) == gate.account()


async def test_a_drained_stream_that_breaks_is_an_estimate(gate: Gate) -> None:
    """Reading on gains nothing then; nothing stays held."""
    gate.parts.upstreams.serving(BODY["model"], "anthropic").drains = True
    gate.provider.streams(events()[:3], pause=0.05, then="reset")
    headers = {"x-api-key": gate.key}
    answer = await gate.session.post(f"{gate.url}/v1/messages", json={**BODY, "stream": True}, headers=headers)
    await answer.content.readuntil(b"message_start")
    answer.close()

    while not UsageEvent.objects.exists():  # noqa: ASYNC110 - what is awaited is a row
        await asyncio.sleep(0.01)
    await gate.at_rest()

    assert ("estimated upstream_lost", 0) == (UsageEvent.objects.get().flags, gate.account()[1])
