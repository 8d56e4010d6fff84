"""What a scripted provider of OpenAI's format answers, and what it costs."""

import json
from typing import Any

import aiohttp
from aiohttp import web

USAGE = {
    "prompt_tokens": 2_112,
    "completion_tokens": 7,
    "total_tokens": 2_119,
    "prompt_tokens_details": {"cached_tokens": 2_000, "cache_write_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
COST = 12 * 200 + 2_000 * 20 + 100 * 250 + 7 * 1_200  # gpt-5.6-luna: 0.20 in, 0.02 read, 0.25 written, 1.20 out
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5.6-luna-2026-07-30",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there"},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": USAGE,
    "service_tier": "default",
}
RESPONSE_USAGE = {
    "input_tokens": 2_112,
    "output_tokens": 7,
    "total_tokens": 2_119,
    "input_tokens_details": {"cached_tokens": 2_000, "cache_write_tokens": 100},
    "output_tokens_details": {"reasoning_tokens": 5},
}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5.6-luna-2026-07-30",
    "status": "completed",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello there", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": RESPONSE_USAGE,
}
EMBEDDING = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}],
    "usage": {"prompt_tokens": 1_000, "total_tokens": 1_000},
}
PLAIN = {"model": "gpt-5.6-luna", "service_tier": "default"}
CHAT_BODY = {**PLAIN, "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 100}
RESPONSE_BODY = {**PLAIN, "input": "Hello", "max_output_tokens": 100}
EMBEDDING_BODY = {"model": "text-embedding-3-small", "input": "Hello"}


def data(facts: dict[str, Any]) -> bytes:
    """Return one event as it is written."""
    return f"data: {json.dumps(facts)}\n\n".encode()


def chunks(text: str = "Hello there", usage: dict[str, Any] | None = None) -> list[bytes]:
    """Return the chunks of an ordinary chat that was asked to tell its usage."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5.6-luna", "usage": None}

    def chunk(delta: dict[str, Any], end: str | None = None) -> bytes:
        return data({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": end, "logprobs": None}]})

    return [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": text}),
        chunk({}, "stop"),
        data({**base, "choices": [], "usage": usage or USAGE}),
        b"data: [DONE]\n\n",
    ]


def happenings(text: str = "Hello there") -> list[bytes]:
    """Return the events of an ordinary response."""
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    item = {**RESPONSE["output"][0], "status": "in_progress", "content": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    told = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": part},
        {"type": "response.output_text.delta", **place, "delta": text, "logprobs": []},
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": {**part, "text": text}},
        {"type": "response.output_item.done", "output_index": 0, "item": RESPONSE["output"][0]},
        {"type": "response.completed", "response": RESPONSE},
    ]
    return [
        f"event: {one['type']}\ndata: {json.dumps({**one, 'sequence_number': number})}\n\n".encode()
        for number, one in enumerate(told)
    ]


def obeying(provider: Any) -> None:
    """Let *provider* answer as OpenAI does: by path, whole or streamed, with usage where it is asked for."""

    async def script(request: web.Request) -> web.StreamResponse:
        body = json.loads(provider.seen[-1][2])
        whole = {"/chat/completions": COMPLETION, "/responses": RESPONSE, "/embeddings": EMBEDDING}[request.path[3:]]
        if not body.get("stream"):
            return web.json_response(whole, headers={"x-request-id": "req-of-the-provider", "openai-organization": "o"})
        told = happenings()
        if request.path == "/v1/chat/completions":
            asked = (body.get("stream_options") or {}).get("include_usage")
            told = [one for one in chunks() if asked or b'"choices": []' not in one]
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for one in told:
            await response.write(one)
        return response

    provider.script = script


async def post(gate: Any, path: str, body: dict[str, Any], **headers: str) -> aiohttp.ClientResponse:
    """Send a call in OpenAI's format and read the answer."""
    sent = {"authorization": f"Bearer {gate.key}", **headers}
    answer = await gate.session.post(f"{gate.url}{path}", json=body, headers=sent)
    try:
        await answer.read()
    except aiohttp.ClientError:
        answer.close()
        raise
    return answer
