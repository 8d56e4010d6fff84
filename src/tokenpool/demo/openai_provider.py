"""The simulated provider's other language: OpenAI's addresses, the same answers, usage computed from the body.

Deterministic like the first. What stood before the last message of an earlier call is read from the
cache, from 1,024 tokens on, as it is there: unasked. Reasoning is a quarter of the output.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from tokenpool.demo.provider import DELTA_SECONDS, MOST_REMEMBERED, WORDS, digest_of, tokens_of

LEAST_CACHED = 1_024
_CREATED = 1_767_225_600  # the first second of 2026: an answer does not depend on when it is asked for


class OpenAiProvider:
    """The memory of cached prefixes and the three addresses."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def chat(self, request: Request) -> Response:
        """Answer `POST /v1/chat/completions`, streamed or whole."""
        body = json.loads(await request.body())
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        prompt, cached, output = self._counted(body, body["messages"], limit)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": output // 4},
        }
        base = {"id": f"chatcmpl-{digest_of(body)[:24]}", "created": _CREATED, "model": body["model"]}
        words, end = _words(output), "length" if output == limit else "stop"
        if body.get("stream"):
            told = usage if (body.get("stream_options") or {}).get("include_usage") else None
            return StreamingResponse(_chunks(base, words, end, told), media_type="text/event-stream")
        await asyncio.sleep(DELTA_SECONDS)
        message = {"role": "assistant", "content": " ".join(words), "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": end, "logprobs": None}
        return JSONResponse({**base, "object": "chat.completion", "choices": [choice], "usage": usage})

    async def responses(self, request: Request) -> Response:
        """Answer `POST /v1/responses`, streamed or whole."""
        body = json.loads(await request.body())
        given = body.get("input") or ""
        limit = body.get("max_output_tokens")
        items = given if isinstance(given, list) else [given]
        prompt, cached, output = self._counted(body, items, limit)
        usage = {
            "input_tokens": prompt,
            "output_tokens": output,
            "total_tokens": prompt + output,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": output // 4},
        }
        response = _response(body, " ".join(_words(output)), usage, is_cut=output == limit)
        if body.get("stream"):
            return StreamingResponse(_events(response), media_type="text/event-stream")
        await asyncio.sleep(DELTA_SECONDS)
        return JSONResponse(response)

    async def embeddings(self, request: Request) -> Response:
        """Answer `POST /v1/embeddings` with small vectors that depend on the text."""
        body = json.loads(await request.body())
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": [byte / 255 for byte in bytes.fromhex(digest_of(text))],
            }
            for index, text in enumerate(texts)
        ]
        usage = dict.fromkeys(("prompt_tokens", "total_tokens"), sum(tokens_of(text) for text in texts))
        return JSONResponse({"object": "list", "model": body["model"], "data": data, "usage": usage})

    def _counted(self, body: dict[str, Any], items: list[Any], limit: int | None) -> tuple[int, int, int]:
        """Return the tokens of the prompt, those of them that were read from the cache, and those of the output."""
        prompt, before = tokens_of(items), tokens_of(items[:-1])
        cached = before if before >= LEAST_CACHED and digest_of(items[:-1]) in self._seen else 0
        self._seen[digest_of(items)] = None
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)
        wanted = 40 + int(digest_of(body)[:4], 16) % 160
        return prompt, cached, wanted if limit is None else min(limit, wanted)


def routes() -> list[BaseRoute]:
    """Return the addresses, to be mounted beside the others."""
    provider = OpenAiProvider()
    return [
        Route("/v1/chat/completions", provider.chat, methods=["POST"]),
        Route("/v1/responses", provider.responses, methods=["POST"]),
        Route("/v1/embeddings", provider.embeddings, methods=["POST"]),
    ]


def _words(tokens: int) -> list[str]:
    return [WORDS[i % len(WORDS)] for i in range(max(1, tokens * 3 // 4))]


def _response(body: dict[str, Any], text: str, usage: dict[str, Any], *, is_cut: bool) -> dict[str, Any]:
    item = {
        "id": f"msg_{digest_of(body)[:24]}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    return {
        "id": f"resp_{digest_of(body)[:24]}",
        "object": "response",
        "created_at": _CREATED,
        "model": body["model"],
        "status": "incomplete" if is_cut else "completed",
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


async def _chunks(
    base: dict[str, Any], words: list[str], end: str, usage: dict[str, Any] | None
) -> AsyncIterator[bytes]:
    """Stream a chat as the provider does, a few words at a time, the usage last if it was asked for."""
    base = {**base, "object": "chat.completion.chunk", **({} if usage is None else {"usage": None})}

    def chunk(delta: dict[str, Any], finished: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finished, "logprobs": None}
        return _data({**base, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for i in range(0, len(words), 8):
        await asyncio.sleep(DELTA_SECONDS)
        yield chunk({"content": ("" if i == 0 else " ") + " ".join(words[i : i + 8])})
    yield chunk({}, end)
    if usage is not None:
        yield _data({**base, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


async def _events(response: dict[str, Any]) -> AsyncIterator[bytes]:
    """Stream a response as the provider does, typed and numbered."""
    item = response["output"][0]
    part, place = item["content"][0], {"item_id": item["id"], "output_index": 0, "content_index": 0}
    words = part["text"].split(" ")
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
    ]
    for i in range(0, len(words), 8):
        delta = ("" if i == 0 else " ") + " ".join(words[i : i + 8])
        events.append({"type": "response.output_text.delta", **place, "delta": delta, "logprobs": []})
    events += [
        {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": f"response.{response['status']}", "response": response},
    ]
    for number, event in enumerate(events):
        if event["type"] == "response.output_text.delta":
            await asyncio.sleep(DELTA_SECONDS)
        yield f"event: {event['type']}\n".encode() + _data({**event, "sequence_number": number})


def _data(facts: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(facts)}\n\n".encode()
