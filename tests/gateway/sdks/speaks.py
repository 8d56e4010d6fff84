"""What an `anthropic` SDK of any version gets of the gateway: run as a program, prints what it was told as JSON."""

import json
import sys
from collections.abc import Callable
from typing import Any

import anthropic

URL, KEY, WHAT = sys.argv[1:]
TOOL: Any = {"name": "weather", "description": "of a city", "input_schema": {"type": "object", "properties": {}}}
attempts: list[str] = []
client = anthropic.Anthropic(base_url=URL, api_key=KEY)
client._client.event_hooks["request"].append(lambda request: attempts.append(request.url.path))


def asking(text: str, **more: Any) -> dict[str, Any]:
    """Return the arguments of a call; what is too new for some version goes as a further field."""
    said = [{"role": "user", "content": text}]
    body = {"model": "claude-opus-5-5", "max_tokens": 100, "messages": said, "extra_body": {"inference_geo": "global"}}
    return {**body, **more}


def whole(text: str, **more: Any) -> list[Any]:
    """Ask for a whole answer."""
    answer: Any = client.messages.create(**asking(text, **more))
    return [answer.content[0].text, answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens]


def streamed(text: str, **more: Any) -> list[Any]:
    """Ask for a stream and put it together."""
    with client.messages.stream(**asking(text, **more)) as stream:
        answer: Any = stream.get_final_message()
    return [answer.content[0].text, answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens]


def tool(*, stream: bool) -> list[Any]:
    """Let the model use a tool and give it the result."""
    if stream:
        with client.messages.stream(**asking("weather in Trento", tools=[TOOL])) as opened:
            first: Any = opened.get_final_message()
    else:
        first = client.messages.create(**asking("weather in Trento", tools=[TOOL]))
    use = first.content[-1]
    result = [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]
    said = [
        {"role": "user", "content": "weather in Trento"},
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": result},
    ]
    return [use.name, use.input, first.stop_reason, whole("", messages=said, tools=[TOOL])[0]]


def counted() -> int:
    """Count tokens; the first version has that among what is beta."""
    messages: Any = client.messages if hasattr(client.messages, "count_tokens") else client.beta.messages
    found = messages.count_tokens(model="claude-opus-5-5", messages=[{"role": "user", "content": "Hello"}])
    return int(found.input_tokens)


def models() -> list[str]:
    """List models; the first version has no word for that."""
    if hasattr(client, "models"):
        return [model.id for model in client.models.list()]
    found: Any = client.get("/v1/models", cast_to=object)
    return [model["id"] for model in found["data"]]


def tried(call: Callable[[], Any]) -> list[Any]:
    """Return what *call* comes to, with the status and the sentence of an error, and how often was asked."""
    attempts.clear()
    try:
        told = call()
    except anthropic.APIStatusError as error:
        body: Any = error.body
        told = [error.status_code, body["error"]["message"]]
    return [told, len(attempts)]


SERVED: dict[str, Callable[[], Any]] = {
    "whole": lambda: whole("hello"),
    "streamed": lambda: streamed("hello"),
    "tool": lambda: tool(stream=False),
    "tool, streamed": lambda: tool(stream=True),
    "count_tokens": counted,
    "models": models,
    "overloaded once": lambda: whole("overloaded once"),
    "overloaded once, streamed": lambda: streamed("overloaded once, streamed"),
    "bad request": lambda: whole("bad request"),
    "stream that breaks": lambda: streamed("break"),
}
REFUSED: dict[str, Callable[[], Any]] = {
    "whole": lambda: whole("hello"),
    "streamed": lambda: streamed("hello"),
    "count_tokens": counted,
}
calls = SERVED if WHAT == "served" else REFUSED
json.dump([anthropic.__version__, {name: tried(call) for name, call in calls.items()}], sys.stdout)
