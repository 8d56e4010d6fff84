"""A provider that does what its last message says: answers, uses a tool, is overloaded once, refuses, breaks off."""

import json
from typing import Any

from aiohttp import web

from .conftest import MESSAGE, USAGE, Provider, sse

DAY = "2026-11-24T00:00:00Z"
MODELS = ("claude-opus-5-5", "claude-haiku-5-5")
INPUT = {"city": "Trento", "days": 3}
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": INPUT}
TEXT = {"type": "text", "text": "Hello there"}


def obeying(provider: Provider) -> None:
    """Let *provider* answer by the path, the last message and the tools of each request."""
    overloaded: set[str] = set()

    async def script(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            listed = [{"type": "model", "id": name, "display_name": name, "created_at": DAY} for name in MODELS]
            ends = {"has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
            return web.json_response({"data": listed, **ends})
        if request.path == "/v1/messages/count_tokens":
            return web.json_response({"input_tokens": 9})
        body = json.loads(provider.seen[-1][2])
        said = body["messages"][-1]["content"]
        if isinstance(said, str) and said.startswith("overloaded once") and said not in overloaded:
            overloaded.add(said)
            return _error(529, "overloaded_error", "Overloaded")
        if said == "bad request":
            return _error(400, "invalid_request_error", "messages.0: the provider's own words")
        block = USE if body.get("tools") and isinstance(said, str) else TEXT
        if not body.get("stream"):
            return web.json_response({**MESSAGE, "content": [block], "stop_reason": _end(block), "usage": USAGE})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in _broken() if said == "break" else _events(block):
            await response.write(event)
        return response

    provider.script = script


def _error(status: int, kind: str, message: str) -> web.Response:
    return web.json_response({"type": "error", "error": {"type": kind, "message": message}}, status=status)


def _end(block: dict[str, Any]) -> str:
    return "tool_use" if block is USE else "end_turn"


def _events(block: dict[str, Any]) -> list[bytes]:
    """Return the events of an answer, `ping`s among them and the input of a tool in pieces."""
    begun = {**block, "input": {}} if block is USE else {**block, "text": ""}
    pieces: list[dict[str, str]] = [{"type": "text_delta", "text": text} for text in ("Hello", " there")]
    if block is USE:
        text = json.dumps(INPUT)
        pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", text[:9], text[9:])]
    return [
        sse("message_start", message={**MESSAGE, "content": [], "usage": {**USAGE, "output_tokens": 1}}),
        sse("content_block_start", index=0, content_block=begun),
        sse("ping"),
        *(sse("content_block_delta", index=0, delta=piece) for piece in pieces),
        sse("content_block_stop", index=0),
        sse("message_delta", delta={"stop_reason": _end(block), "stop_sequence": None}, usage=USAGE),
        sse("message_stop"),
    ]


def _broken() -> list[bytes]:
    return [*_events(TEXT)[:4], sse("error", error={"type": "overloaded_error", "message": "Overloaded"})]
