"""A provider that answers as each request's name says, and callers who write down what they were promised.

Everything about a request is drawn from its name, which travels with it (`x-client-request-id` to
the provider, `x-tokenpool-project` to the hold): so each side knows what the other should have seen.
"""

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tokenpool.kernel import ids
from tokenpool.proofs.serving import free_port

MODEL = "claude-opus-5-5"
MOST_OUTPUT, PIECES, OVERLOADED = 200, 6, 529
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Drawn:
    """What a request is like and how it is answered."""

    input_tokens: int
    output_tokens: int
    streams: bool
    leaves: bool  # its caller goes away in the middle
    fails: bool  # the provider is overloaded
    pause: float  # between the pieces of its answer, in seconds

    @classmethod
    def of(cls, name: str) -> "Drawn":
        """Draw it from the request's name; `long-…` and `short-…` are streamed to their end, for seconds or at once."""
        chance = random.Random(name)  # noqa: S311 - drawn, not secret
        tokens, kind = (chance.randrange(1, 20), chance.randrange(1, MOST_OUTPUT)), chance.random()
        if name.startswith(("long-", "short-")):
            return cls(*tokens, streams=True, leaves=False, fails=False, pause=0.25 if name[0] == "l" else 0)
        return cls(
            *tokens, streams=kind < 0.7, leaves=kind < 0.15, fails=kind > 0.92, pause=chance.random() * 0.01  # noqa: PLR2004
        )  # fmt: skip


class Provider:
    """Answers `/v1/messages`; remembers which requests it has answered, failed ones apart."""

    def __init__(self) -> None:
        self.port = free_port()
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: Request) -> Response:
        """Answer as the request's name says."""
        name = request.headers["x-client-request-id"]
        drawn = Drawn.of(name)
        (self.failed if drawn.fails else self.answered)[name] += 1
        if drawn.fails:
            return JSONResponse({"type": "error", "error": {"type": "overloaded_error"}}, OVERLOADED)
        if drawn.streams:
            return StreamingResponse(_streamed(drawn), media_type="text/event-stream")
        await asyncio.sleep(drawn.pause)
        return JSONResponse({**_message(drawn, drawn.output_tokens), "content": [{"type": "text", "text": "Hello"}]})


@contextmanager
def provider() -> Iterator[Provider]:
    """Run a provider in a thread of its own."""
    one = Provider()
    app = Starlette(routes=[Route("/v1/messages", one.answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=one.port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)


def _message(drawn: Drawn, output: int) -> dict[str, Any]:
    usage = {"input_tokens": drawn.input_tokens, "output_tokens": output}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [], "usage": usage}


async def _streamed(drawn: Drawn) -> AsyncIterator[bytes]:
    pieces: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": _message(drawn, 1)})]
    delta = {"type": "text_delta", "text": "Hello "}
    pieces += [("content_block_delta", {"index": 0, "delta": delta})] * PIECES
    pieces += [("message_delta", {"delta": {}, "usage": {"output_tokens": drawn.output_tokens}}), ("message_stop", {})]
    for kind, facts in pieces:
        yield f"event: {kind}\ndata: {json.dumps({'type': kind, **facts})}\n\n".encode()
        await asyncio.sleep(drawn.pause)


@dataclass
class Promises:
    """What the callers were told, by the names of their requests or the ids of their holds."""

    begun: set[str] = field(default_factory=set)  # an answer has begun: its hold stands
    ended: set[str] = field(default_factory=set)  # an answer came to its end: its settlement stands
    holds: dict[str, str] = field(default_factory=dict)  # id -> how a hold of the hold API stands: held, settled, void

    def __len__(self) -> int:
        return len(self.begun) + len(self.ended) + len(self.holds)


@dataclass
class Answer:
    """An answer as far as it came."""

    status: int = 0
    body: bytes = b""
    complete: bool = False


async def call(port: int, key: str, name: str, promises: Promises) -> None:
    """Send the request *name*; write down what was promised."""
    drawn = Drawn.of(name)
    message = {"role": "user", "content": "Hello, and a little more, so that the bound is enough."}
    body = {"model": MODEL, "max_tokens": MOST_OUTPUT, "stream": drawn.streams, "messages": [message]}
    headers = {"x-api-key": key, "x-client-request-id": name, "x-tokenpool-project": name}
    answer = await exchange(port, "POST /v1/messages", headers, body, leaves=drawn.leaves)
    if answer.status == 200:  # noqa: PLR2004 - HTTP
        promises.begun.add(name)
        if b'"message_stop"' in answer.body if drawn.streams else answer.complete:
            promises.ended.add(name)


async def hold(port: int, key: str, member: str, chance: random.Random, promises: Promises) -> None:
    """Hold, then settle, void, or leave it; write down what was promised."""
    asked = {"member": member, "product": "claude_code", "model": MODEL, "max_tokens": 10, "input_tokens_bound": 10}
    made = await exchange(port, "POST /v1/tokenpool/holds", {"x-api-key": key}, {**asked, "request_id": ids.new("r")})
    if not (made.complete and made.status == 201):  # noqa: PLR2004 - HTTP
        return
    hold_id = json.loads(made.body)["id"]
    promises.holds[hold_id] = "held"
    ends: list[tuple[str, dict[str, Any]]] = [("settle", {"usage": {"output": 3}}), ("void", {"reason": "tried"})]
    verb, body = chance.choice(ends)
    ended = await exchange(port, f"POST /v1/tokenpool/holds/{hold_id}/{verb}", {"x-api-key": key}, body)
    if ended.complete and ended.status == 200:  # noqa: PLR2004 - HTTP
        promises.holds[hold_id] = json.loads(ended.body)["state"]


async def exchange(
    port: int, what: str, headers: dict[str, str], body: dict[str, Any], *, leaves: bool = False
) -> Answer:
    """Send a request on a connection of its own; return the answer as far as it came before the server died."""
    answer, text = Answer(), json.dumps(body)
    lines = [f"{what} HTTP/1.1", "host: localhost", "connection: close", "content-type: application/json",
             f"content-length: {len(text)}", *(f"{name}: {value}" for name, value in headers.items())]  # fmt: skip
    with suppress(OSError, EOFError, asyncio.IncompleteReadError, TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n" + text).encode())
            async with asyncio.timeout(PATIENCE_SECONDS + 5):
                await _receive(reader, answer, leaves=leaves)
        finally:
            writer.close()
    return answer


async def _receive(reader: asyncio.StreamReader, answer: Answer, *, leaves: bool) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    answer.status = int(head.split(" ", 2)[1])
    if leaves:
        await reader.read(1)
        return
    while chunk := await reader.read(2**16):
        answer.body += chunk
    if "transfer-encoding: chunked" in head:
        answer.complete = answer.body.endswith(b"0\r\n\r\n")
    else:
        length = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:"))
        answer.complete = len(answer.body) == int(length)
