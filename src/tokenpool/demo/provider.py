"""A provider that is simulated: Anthropic's addresses, plausible answers, usage computed from the body.

Deterministic: the same body gets the same answer. Cache writes and reads are real in this much: a
prompt prefix marked with `cache_control` is written the first time and read while it is remembered.
"""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from tokenpool.demo import batches
from tokenpool.kernel import clock
from tokenpool.pricing.book import ModelPrice, PriceBook

BYTES_PER_TOKEN = 4
DELTA_SECONDS = 0.015
MOST_REMEMBERED = 10_000
TEXT = (
    "The pool is shared, the limit is hard, and every dollar leads back to a request. "
    "This answer comes from the simulated provider, so it costs nothing outside this demo. "
    "Ask for more tokens and the hold grows; "
    "ask for more than fits, and the request is refused before it costs anything."
)
WORDS = TEXT.split()


class Provider:
    """The simulated provider's memory of cached prefixes and its addresses."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._cached: OrderedDict[str, None] = OrderedDict()

    async def messages(self, request: Request) -> Response:
        """Answer `POST /v1/messages`, streamed or whole."""
        body = json.loads(await request.body())
        message, words = self.answer(body)
        if body.get("stream"):
            return StreamingResponse(_events(message, words), media_type="text/event-stream")
        await asyncio.sleep(DELTA_SECONDS)
        return JSONResponse(message)

    def answer(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the message that answers *body*, and its words."""
        usage = self._usage(body)
        words, stop_reason = _words(body, usage["output_tokens"])
        message = {
            "id": f"msg_{digest_of(body)[:24]}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [{"type": "text", "text": " ".join(words)}],
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": usage,
        }
        return message, words

    async def count_tokens(self, request: Request) -> Response:
        """Answer `POST /v1/messages/count_tokens`."""
        return JSONResponse({"input_tokens": tokens_of(json.loads(await request.body()))})

    async def models(self, request: Request) -> Response:
        """Answer `GET /v1/models` and `GET /v1/models/{id}` from the price book, to each SDK in its words."""
        anthropic, wanted = "anthropic-version" in request.headers, request.path_params.get("model")
        provider = "anthropic" if anthropic else "openai"
        priced = self._book.models(clock.now().date())
        listed = [_model(price, anthropic) for price in priced if price.retired is None and price.provider == provider]
        found = next((one for one in listed if one["id"] == wanted), None)
        if found is not None:
            return JSONResponse(found)
        if wanted is not None:
            error = {"type": "not_found_error", "message": f"model: {wanted}"}
            return JSONResponse({"type": "error", "error": error}, 404)
        if not anthropic:
            return JSONResponse({"object": "list", "data": listed})
        ends = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]}
        return JSONResponse({"data": listed, "has_more": False, **ends})

    def _usage(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the usage block: marked prefixes are written once and read afterwards."""
        total = tokens_of(body)
        prefix = {"system": body.get("system"), "tools": body.get("tools")}
        read = written = 0
        if "cache_control" in json.dumps(prefix):
            key, tokens = digest_of(prefix), tokens_of(prefix)
            read, written = (tokens, 0) if key in self._cached else (0, tokens)
            self._cached[key] = None
            if len(self._cached) > MOST_REMEMBERED:
                self._cached.popitem(last=False)
        return {
            "input_tokens": max(1, total - read - written),
            "cache_creation_input_tokens": written,
            "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
            "cache_read_input_tokens": read,
            "output_tokens": min(body["max_tokens"], 40 + int(digest_of(body)[:4], 16) % 160),
            "service_tier": "standard",
        }


def routes(book: PriceBook) -> list[BaseRoute]:
    """Return the simulated provider's addresses, to be mounted."""
    provider = Provider(book)
    return [
        *batches.routes(lambda body: provider.answer(body)[0]),
        Route("/v1/messages", provider.messages, methods=["POST"]),
        Route("/v1/messages/count_tokens", provider.count_tokens, methods=["POST"]),
        Route("/v1/models", provider.models, methods=["GET"]),
        Route("/v1/models/{model:path}", provider.models, methods=["GET"]),
    ]


def _model(price: ModelPrice, anthropic: bool) -> dict[str, Any]:  # noqa: FBT001 - which of two shapes
    if not anthropic:
        created = int(datetime.combine(price.effective_from, time(), UTC).timestamp())
        return {"id": price.model, "object": "model", "created": created, "owned_by": price.provider}
    created_at = f"{price.effective_from}T00:00:00Z"
    return {"type": "model", "id": price.model, "display_name": price.model, "created_at": created_at}


def _words(body: dict[str, Any], tokens: int) -> tuple[list[str], str]:
    """Return an answer of about *tokens* tokens and why it stopped."""
    words = [WORDS[i % len(WORDS)] for i in range(max(1, tokens * 3 // 4))]
    return words, "max_tokens" if tokens >= body["max_tokens"] else "end_turn"


async def _events(message: dict[str, Any], words: list[str]) -> AsyncIterator[bytes]:
    """Stream *message* as the provider does, a few words at a time."""
    usage = message["usage"]
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield _event("message_start", message=start)
    yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield _event("ping")
    for i in range(0, len(words), 8):
        await asyncio.sleep(DELTA_SECONDS)
        text = ("" if i == 0 else " ") + " ".join(words[i : i + 8])
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
    yield _event("content_block_stop", index=0)
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=stop, usage={"output_tokens": usage["output_tokens"]})
    yield _event("message_stop")


def _event(kind: str, **facts: Any) -> bytes:  # noqa: ANN401 - JSON
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **facts})}\n\n".encode()


def tokens_of(value: object) -> int:
    """Return how many tokens *value* is taken to have."""
    return max(1, len(json.dumps(value, ensure_ascii=False).encode()) // BYTES_PER_TOKEN)


def digest_of(value: object) -> str:
    """Return what tells equal bodies from others."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
