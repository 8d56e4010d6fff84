"""No prompt, no answer and no key of OpenAI's format is logged or stored either."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tokenpool.gateway import forward, journal, settle
from tokenpool.gateway.openai import call
from tokenpool.limits.models import Hold

from .canary import CANARY, listen, places
from .conftest import Gate, Script
from .openai_provider import (
    CHAT_BODY,
    COMPLETION,
    EMBEDDING,
    EMBEDDING_BODY,
    RESPONSE,
    RESPONSE_BODY,
    chunks,
    data,
    happenings,
    post,
)

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
TOOL = {"type": "function", "name": "t", "description": CANARY, "function": {"name": "t", "description": CANARY}}
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {**CHAT_BODY, "messages": [{"role": "user", "content": CANARY}], "tools": [TOOL], "user": CANARY},
    RESPONSES: {**RESPONSE_BODY, "input": CANARY, "instructions": CANARY, "tools": [TOOL]},
    EMBEDDINGS: {**EMBEDDING_BODY, "input": [CANARY]},
}
WHOLE: dict[str, dict[str, Any]] = {
    CHAT: {**COMPLETION, "choices": [{"index": 0, "message": {"role": "assistant", "content": CANARY}}]},
    RESPONSES: {**RESPONSE, "output": [{"type": "message", "content": [{"type": "output_text", "text": CANARY}]}]},
    EMBEDDINGS: {**EMBEDDING, "data": CANARY},
}
STREAMS: dict[str, Callable[[str], list[bytes]]] = {CHAT: chunks, RESPONSES: happenings}


def whole(body: Any, status: int = 200) -> Script:
    """Return a provider that answers with *body*."""

    async def script(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return script


async def refused(gate: Gate) -> None:
    """Requests that are turned away: by their key, by their body, by what they ask for."""
    gate.provider.script = whole({})
    for path, body in BODIES.items():
        for key in (f"tp-chat-{CANARY}", CANARY):
            await post(gate, path, body, authorization=f"Bearer {key}")
        for more in (
            {"stream": CANARY},
            {"service_tier": CANARY},
            {"tools": CANARY},
            {"tools": [{"type": CANARY}]},
            {"n": CANARY},
            {"max_output_tokens": CANARY},
            {"previous_response_id": CANARY},
            {"prediction": CANARY},
            {"input": [{"type": CANARY}], "messages": [CANARY]},
        ):
            await post(gate, path, {**body, **more})
        await post(gate, path, body, **{"x-tokenpool-project": CANARY * 10})
        await post(gate, path, body, **{"idempotency-key": CANARY * 20})


async def answered(gate: Gate) -> None:
    """Answers of every kind with the canary in them: whole, streamed, broken, left, hostile, erring."""
    for path, body in BODIES.items():
        answers: list[tuple[Any, int]] = [
            (WHOLE[path], 200),
            ({**WHOLE[path], "usage": {"prompt_tokens": CANARY, "input_tokens": CANARY}}, 200),
            (CANARY, 200),
            ({"error": {"message": CANARY, "type": "invalid_request_error"}}, 400),
            (CANARY, 529),
        ]
        for number, (told, status) in enumerate(answers):
            gate.provider.script = whole(told, status)
            await post(gate, path, body, **{"idempotency-key": f"{CANARY}{path}{number}"})
    for path, told_by in STREAMS.items():
        told = told_by(CANARY)
        streams: list[tuple[list[bytes], str]] = [
            (told, "end"),
            (told[:-1], "end"),
            (told[:3], "reset"),
            ([*told[:3], b"data: {" + CANARY.encode() + b"\n\n"], "end"),
            ([*told[:3], data({"type": "error", "error": {"message": CANARY}})], "end"),
            ([data({"usage": CANARY, "response": CANARY, "choices": CANARY})], "reset"),
        ]
        for pieces, then in streams:
            gate.provider.streams(pieces, then=then, pause=0.005)
            with suppress(aiohttp.ClientError):
                await post(gate, path, {**BODIES[path], "stream": True})
        gate.provider.streams(told, pause=0.02)
        left = await gate.session.post(
            gate.url + path, json={**BODIES[path], "stream": True}, headers={"authorization": f"Bearer {gate.key}"}
        )
        await left.content.readuntil(CANARY.encode())
        left.close()
    await gate.at_rest()


async def troubled(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors that nobody expects, whose words hold the canary, at every station of the walk."""
    reached: list[str] = []

    def fails(*_: Any, **__: Any) -> Any:
        reached.append(name)
        raise RuntimeError(CANARY)

    async def fails_later(*_: Any, **__: Any) -> Any:
        fails()

    stations: list[tuple[Any, str, Callable[..., Any] | Callable[..., Awaitable[Any]]]] = [
        (call, "parse_body", fails),
        (gate.parts.book, "price", fails),
        (gate.parts.directory, "last_known", fails),
        (gate.parts.upstreams.serving(str(CHAT_BODY["model"]), "openai"), "send", fails_later),
        (forward, "read", fails_later),
        (journal.Journal, "follow", fails),
        (settle, "rate_reported", fails),
        (gate.parts.store, "run", fails_later),
    ]
    for place, name, failing in stations:
        for path, body in BODIES.items():
            for stream in (False, True) if path in STREAMS else (False,):
                gate.provider.script = whole(WHOLE[path])
                if stream:
                    gate.provider.streams(STREAMS[path](CANARY))
                with monkeypatch.context() as patch:
                    patch.setattr(place, name, failing)
                    with suppress(aiohttp.ClientError):
                        await post(gate, path, {**body, "stream": stream})
    assert [] == [name for _, name, _ in stations if name not in reached]
    await gate.at_rest()


async def test_no_prompt_answer_or_key_of_openais_format_is_logged_or_stored(
    bilingual: Gate,
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Over everything logged at any level, printed, and written to the data folder; nothing runs on."""
    listen(caplog, monkeypatch)
    await refused(bilingual)
    await answered(bilingual)
    await troubled(bilingual, monkeypatch)
    bilingual.org.limit("organization", 0)
    for path, body in BODIES.items():
        assert 429 == (await post(bilingual, path, body)).status

    assert [] == places([CANARY, bilingual.key, "the provider's own key"], database.parent, caplog, capfd)
    assert 20 <= len([record for record in caplog.records if "RuntimeError at" in record.getMessage()])
    assert 0 == len(bilingual.parts.running)
    assert {"settled", "void", "reserved"} == set(Hold.objects.values_list("state", flat=True))
