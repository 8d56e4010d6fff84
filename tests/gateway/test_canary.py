"""No prompt, no answer and no key is ever logged or stored: canaries on every path, errors provoked on each."""

import asyncio
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tokenpool.gateway import call, forward, journal, settle
from tokenpool.kernel.errors import Unavailable
from tokenpool.limits.models import Hold

from .canary import CANARY, listen, places
from .conftest import BODY, MESSAGE, USAGE, Gate, events, sse

PROMPT = {
    "system": f"system {CANARY}",
    "messages": [{"role": "user", "content": [{"type": "text", "text": f"prompt {CANARY}"}]}],
    "tools": [{"name": "t", "description": CANARY, "input_schema": {"type": "object", "title": CANARY}}],
    "metadata": {"user_id": CANARY},
    "stop_sequences": [CANARY],
}


async def refused(gate: Gate) -> None:
    """Requests that are turned away: at a limit, by their key, by their body, by what they ask for."""
    gate.provider.answers()
    for key in (f"tp-chat-{CANARY}", CANARY, ""):
        await gate.post(PROMPT, key=key)
    await gate.post(PROMPT, authorization=f"Bearer {CANARY}")
    for body in (
        b'{"system": "' + CANARY.encode(),
        b'{"a": {"b": "' + CANARY.encode() + b'", "b": 1}}',
        CANARY.encode() * 10,
        b"[" * 100_000 + CANARY.encode(),
        CANARY.encode("utf-16"),
    ):
        await gate.post(body)
    for more in (
        {"max_tokens": CANARY},
        {"tools": CANARY},
        {"tools": [CANARY]},
        {"container": CANARY},
        {"thinking": {"budget_tokens": CANARY}},
        {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": CANARY}, {}]}},
        {"service_tier": CANARY},
        {"mcp_servers": [{"url": CANARY, "authorization_token": CANARY}]},
    ):
        await gate.post({**PROMPT, **more})
    await gate.post(PROMPT, **{"content-encoding": CANARY})
    await gate.post(PROMPT, **{"x-tokenpool-project": CANARY * 10})


async def answered(gate: Gate) -> None:
    """Answers of every kind, with the canary in them: whole, streamed, broken, hostile, erring, missing."""
    told = {**MESSAGE, "content": [{"type": "text", "text": CANARY}]}
    bodies: list[tuple[int, Any]] = [
        (200, {**told, "usage": USAGE}),
        (200, {**told, "usage": {"output_tokens": CANARY}}),
        (200, {**told, "usage": {**USAGE, "iterations": [{"type": CANARY, "model": "claude-opus-5"}]}}),
        (200, CANARY),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": f"prompt {CANARY}"}}),
        (529, CANARY),
    ]
    for status, body in bodies:

        async def whole(_: web.Request, status: int = status, body: Any = body) -> web.StreamResponse:
            return web.Response(text=json.dumps(body), status=status, content_type="application/json")

        gate.provider.script = whole
        await gate.post(PROMPT)
    streams: list[tuple[list[bytes], str]] = [
        (events(CANARY), "end"),
        (events(CANARY)[:3], "reset"),
        ([*events(CANARY)[:3], b"data: {" + CANARY.encode() + b"\n\n"], "end"),
        ([*events(CANARY)[:3], sse("error", error={"type": "overloaded_error", "message": CANARY})], "end"),
        ([sse("error", error={"type": CANARY})], "end"),
        ([sse("message_start", message={**MESSAGE, "usage": {"input_tokens": CANARY}})], "end"),
        ([sse("message_start", message=CANARY), CANARY.encode()], "reset"),
    ]
    for chunks, then in streams:
        gate.provider.streams(chunks, then=then, pause=0.005)
        with suppress(aiohttp.ClientError):
            await gate.post({**PROMPT, "stream": True})
    gate.provider.streams(events(CANARY)[:3], then="stall")
    data = io.BytesIO(json.dumps({**BODY, **PROMPT, "stream": True}).encode())
    left = await gate.session.post(f"{gate.url}/v1/messages", data=data, headers={"x-api-key": gate.key})
    await left.content.readuntil(CANARY.encode())
    left.close()
    await gate.at_rest()


async def troubled(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors that nobody expects, whose words hold the canary, at every station of the walk; the database away."""
    reached: list[str] = []

    def fails(*_: Any, **__: Any) -> Any:
        reached.append(name)
        raise RuntimeError(CANARY)

    async def fails_later(*_: Any, **__: Any) -> Any:
        fails()

    stations: list[tuple[Any, str, Any]] = [
        (call, "parse_body", fails),
        (gate.parts.book, "price", fails),
        (gate.parts.directory, "last_known", fails),
        (gate.parts.upstreams.serving(BODY["model"], "anthropic"), "send", fails_later),
        (forward, "read", fails_later),
        (journal.Journal, "follow", fails),
        (settle, "rate_reported", fails),
        (gate.parts.store, "run", fails_later),
    ]
    for place, name, failing in stations:
        for stream in (False, True):
            whole_or_stream(gate, stream=stream)
            with monkeypatch.context() as patch:
                patch.setattr(place, name, failing)
                with suppress(aiohttp.ClientError):
                    await gate.post({**PROMPT, "stream": stream})
    assert [] == [name for _, name, _ in stations if name not in reached]
    await gate.at_rest()

    async def away(*_: Any) -> Any:
        raise Unavailable("The database is away.")

    with monkeypatch.context() as patch:
        patch.setattr(settle, "PATIENCE_SECONDS", (0,))
        submit, asked = gate.parts.commits.submit, []

        async def once(organization_id: str, operation: object) -> object:
            asked.append(operation)
            return await (submit if len(asked) == 1 else away)(organization_id, operation)

        whole_or_stream(gate, stream=False)
        patch.setattr(gate.parts.commits, "submit", once)
        await gate.post(PROMPT)
    assert gate.parts.spool.waiting()


def whole_or_stream(gate: Gate, *, stream: bool) -> None:
    """Let the provider answer with the canary."""
    if stream:
        gate.provider.streams(events(CANARY))
    else:
        gate.provider.answers()


async def test_no_prompt_answer_or_key_is_logged_or_stored(
    gate: Gate,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Over everything logged at any level, printed, and written to the data folder; holds have ended all the same."""
    listen(caplog, monkeypatch)
    await refused(gate)
    await answered(gate)
    await troubled(gate, monkeypatch)
    gate.org.limit("organization", 0)
    await gate.post(PROMPT)
    for path in ("/v1/messages/count_tokens", f"/v1/models/{CANARY}", f"/v1/models/{CANARY}?q={CANARY}"):
        gate.provider.answers({"input_tokens": CANARY})
        method = "POST" if "count" in path else "GET"
        headers = {"x-api-key": gate.key, "x-custom": CANARY}
        async with gate.session.request(method, gate.url + path, json=PROMPT, headers=headers) as answer:
            await answer.read()
    await asyncio.sleep(0.05)

    assert [] == places([CANARY, gate.key, "the provider's own key"], database.parent, caplog, capfd)
    assert 12 <= len([record for record in caplog.records if "RuntimeError at" in record.getMessage()])
    assert 0 == len(gate.parts.running)
    assert {"settled", "void", "reserved"} == set(Hold.objects.values_list("state", flat=True))


async def test_what_the_provider_tells_of_the_operator_is_hidden(gate: Gate) -> None:
    """Its key and its account's ids, in errors whose other words stay as they were."""
    account = "3f0c1a52-7c7f-4b6a-9d1e-0123456789ab"
    sentence = (
        f"This would exceed your organization's ({account}) limit; key the provider's own key, org-9f8e7d6c5b4a3210"
    )

    async def script(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"type": "error", "error": {"type": "rate_limit_error", "message": sentence}}, status=429
        )

    gate.provider.script = script

    told = (await (await gate.post()).json())["error"]["message"]

    assert "This would exceed your organization's (...) limit; key ..., org-..." == told
