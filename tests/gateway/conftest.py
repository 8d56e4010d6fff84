"""A real gateway on a real port, between real clients and a provider whose every byte is scripted."""

import asyncio
import io
import json
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from django.db import connections
from starlette.applications import Starlette

from builders import Aurora, aurora
from gateway_server import serving
from pointing import pointing_at_file
from stores import store_of
from tokenpool.config.wiring import ledger_commits
from tokenpool.gateway.app import routes
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.spool import Spool
from tokenpool.gateway.upstream import Upstream
from tokenpool.gateway.upstreams import Upstreams
from tokenpool.kernel.sqlite import SqliteStore
from tokenpool.limits.models import Account, Hold
from tokenpool.organizations.directory import Directory
from tokenpool.pricing import load

from . import openai_provider

MODEL = "claude-opus-5-5"  # 4 in, 20 out, 5 write, 0.20 read dollars per million: 4,000 and 20,000 nano a token
USAGE = {"input_tokens": 12, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 2000, "output_tokens": 7}
COST = 1_088_000
BOOK = load.standard()
BODY = {
    "model": MODEL,
    "max_tokens": 100,
    "inference_geo": "global",
    "messages": [{"role": "user", "content": "Hello"}],
}


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [{"type": "text", "text": "Hello there"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
}


def sse(kind: str, **facts: Any) -> bytes:
    """Return one event as the provider writes it."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **facts})}\n\n".encode()


def events(text: str = "Hello there", usage: dict[str, Any] | None = None) -> list[bytes]:
    """Return the events of an ordinary answer."""
    told = usage or USAGE
    return [
        sse("message_start", message={**MESSAGE, "content": [], "usage": {**told, "output_tokens": 1}}),
        sse("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        sse("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
        sse("content_block_stop", index=0),
        sse("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": told["output_tokens"]}),
        sse("message_stop"),
    ]


Script = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Provider:
    """The scripted provider: what it will do, and what it has seen."""

    url: str = ""
    script: Script | None = None
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Write down the request and follow the script."""
        self.seen.append((request.path_qs, dict(request.headers), await request.read()))
        assert self.script is not None
        return await self.script(request)

    def answers(self, usage: Any = USAGE, status: int = 200, **headers: str) -> None:
        """Answer whole messages."""
        message = {**MESSAGE, "usage": usage}

        async def script(_: web.Request) -> web.StreamResponse:
            return web.Response(
                text=json.dumps(message), status=status, content_type="application/json", headers=headers
            )

        self.script = script

    def streams(self, chunks: list[bytes], *, pause: float = 0, then: str = "end") -> None:
        """Stream *chunks*, then end, reset the connection, or stall for ever."""

        async def script(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            for chunk in chunks:
                await response.write(chunk)
                await asyncio.sleep(pause)
            if then == "reset" and request.transport is not None:
                request.transport.abort()
            while then == "stall":
                await asyncio.sleep(0.05)
                await response.write(b"")
            return response

        self.script = script


@asynccontextmanager
async def provided() -> AsyncIterator[Provider]:
    """Serve a provider that has no script yet."""
    found, app = Provider(), web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    found.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    yield found
    await runner.cleanup()


@dataclass
class Gate:
    """What a gateway test works with."""

    url: str
    org: Aurora
    provider: Provider
    parts: Parts
    session: aiohttp.ClientSession
    key: str

    async def post(self, body: Any = None, *, key: str | None = None, **headers: str) -> aiohttp.ClientResponse:
        """Send a message and read the answer."""
        data = body if isinstance(body, bytes) else json.dumps({**BODY, **(body or {})}).encode()
        sent = {"x-api-key": self.key if key is None else key, "content-type": "application/json", **headers}
        payload = io.BytesIO(data)
        answer = await self.session.post(f"{self.url}/v1/messages", data=payload, headers=sent)
        try:
            await answer.read()
        except aiohttp.ClientError:
            answer.close()
            raise
        return answer

    def account(self, scope: str = "organization") -> tuple[int, int]:
        """Return (spent, held)."""
        row = Account.objects.filter(organization_id=self.org.organization_id, scope=scope).first()
        return (row.spent_nano, row.held_nano) if row else (0, 0)

    async def at_rest(self) -> Hold:
        """Wait until no work is under way and return the latest hold."""
        while self.parts.tasks:
            await asyncio.gather(*self.parts.tasks, return_exceptions=True)
        return Hold.objects.order_by("-id")[0]


@pytest.fixture(scope="session")
def _founded(_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Aurora, str]:
    """Return a database with the usual organization, that organization, and Elena's key for Claude Code."""
    path = tmp_path_factory.mktemp("founded") / "tokenpool.sqlite3"
    shutil.copy(_template, path)
    with pointing_at_file(path):
        org = aurora()
        key = org.key(org.elena, "claude_code")
    return path, org, key


@pytest.fixture
def database(_founded: tuple[Path, Aurora, str], tmp_path: Path) -> Iterator[Path]:
    """Return the path of a fresh copy of that database, which Django's connection points at."""
    path = tmp_path / "tokenpool.sqlite3"
    shutil.copy(_founded[0], path)
    with pointing_at_file(path):
        yield path


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Return a served provider that has no script yet."""
    async with provided() as found:
        yield found


@pytest.fixture
async def gate(database: Path, provider: Provider, _founded: tuple[Path, Aurora, str]) -> AsyncIterator[Gate]:
    """Return a served gateway with the usual organization and Elena's key for Claude Code."""
    _, org, key = _founded
    store = SqliteStore(database)
    upstream = Upstream(name="provider", url=provider.url, api_key="the provider's own key")
    parts = Parts(
        store,
        ledger_commits(store),
        Directory(store),
        BOOK,
        Upstreams([upstream]),
        Spool(database.parent / "settlements"),
    )
    async with serving(Starlette(routes=routes(parts))) as url, aiohttp.ClientSession() as session:
        yield Gate(url, org, provider, parts, session, key)
    await parts.close()
    await store.close()


@pytest.fixture
async def gates(
    either_database: Path | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Gate, Gate]]:
    """Return two gateways on one database, of either kind, before one provider."""
    monkeypatch.setattr(connections, "_connections", threading.local())  # every thread has its own
    async with AsyncExitStack() as stack:
        provider, org = await stack.enter_async_context(provided()), aurora()
        key = org.key(org.elena, "claude_code")
        session = await stack.enter_async_context(aiohttp.ClientSession())
        made = []
        for name in ("first", "second"):
            store = store_of(either_database)
            stack.push_async_callback(store.close)
            upstreams = Upstreams([Upstream(name="provider", url=provider.url, api_key="k")])
            parts = Parts(store, ledger_commits(store), Directory(store), BOOK, upstreams, Spool(tmp_path / name))
            stack.push_async_callback(parts.close)
            url = await stack.enter_async_context(serving(Starlette(routes=routes(parts))))
            made.append(Gate(url, org, provider, parts, session, key))
        yield made[0], made[1]
    connections["default"].close()


@pytest.fixture
def bilingual(gate: Gate) -> Gate:
    """Return a gateway whose provider speaks both formats, each at a base address of its own."""
    key = "the provider's own key"
    openai = Upstream(name="openai", url=f"{gate.provider.url}/v1", api_key=key, speaks="openai")
    gate.parts.upstreams = Upstreams([gate.parts.upstreams.serving(MODEL, "anthropic"), openai])
    openai_provider.obeying(gate.provider)
    return gate
