"""A provider that answers as each request's name says, by itself or in a batch.

Everything about a request is drawn from its name, which travels with it (`x-client-request-id` to
the provider, `x-tokenpool-project` to the hold): so each side knows what the other should have seen.
A batch has a name too, and its requests are called by it and their number.
"""

import asyncio
import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tokenpool.kernel import clock, ids
from tokenpool.proofs.serving import free_port

MODEL = "claude-opus-5-5"
MOST_OUTPUT, PIECES, OVERLOADED = 200, 6, 529
IN_BATCH, MOST_IN_BATCH = "b-", 10
CLOSE_SECONDS = 5.0
_PATH = "/v1/messages/batches"


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

    def message(self, output_tokens: int) -> dict[str, Any]:
        """Return the message so far."""
        usage = {"input_tokens": self.input_tokens, "output_tokens": output_tokens}
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": [], "usage": usage}


@dataclass(frozen=True)
class DrawnBatch:
    """What a batch is like and what becomes of it."""

    names: tuple[str, ...]
    taken: bool
    confirmed: bool  # its caller hears of it; else it hears of an error that proves nothing
    seconds: float  # until it has ended

    @classmethod
    def of(cls, name: str) -> "DrawnBatch":
        """Draw it from its name."""
        chance = random.Random(name)  # noqa: S311 - drawn, not secret
        names = tuple(f"{name}-{number}" for number in range(chance.randrange(2, MOST_IN_BATCH)))
        kind = chance.random()
        return cls(names, taken=kind < 0.75, confirmed=kind < 0.6 or kind > 0.85, seconds=chance.random() * 0.4)  # noqa: PLR2004


@dataclass
class _Batch:
    """A batch that was taken."""

    id: str
    drawn: DrawnBatch
    called: tuple[str, ...]  # what its sender calls the requests
    created_at: str
    ends_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.ends_at = time.monotonic() + self.drawn.seconds

    @property
    def ended(self) -> bool:
        """Tell whether its results are there."""
        return time.monotonic() >= self.ends_at

    def document(self) -> dict[str, Any]:
        """Return it as the provider describes it."""
        status, counts = "ended" if self.ended else "in_progress", {"processing": len(self.called)}
        return {"id": self.id, "processing_status": status, "request_counts": counts, "created_at": self.created_at}

    def results(self) -> str:
        """Return its results, in another order than they were asked for."""
        lines = []
        for called, name in zip(self.called, self.drawn.names, strict=True):
            one = Drawn.of(name)
            succeeded = {"type": "succeeded", "message": one.message(one.output_tokens)}
            outcome = {"type": "expired"} if one.fails else succeeded
            lines.append(json.dumps({"custom_id": called, "result": outcome}) + "\n")
        return "".join(reversed(lines))


class Provider:
    """Answers messages and batches; remembers which requests it has answered, failed ones apart."""

    def __init__(self) -> None:
        self.port = free_port()
        self.ahead = timedelta()  # how far its clock runs before this machine's
        self.silent = False  # the batches it takes now do not end before it speaks
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._batches: dict[str, _Batch] = {}

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def speak(self) -> None:
        """Let every batch have ended."""
        self.silent = False
        for batch in list(self._batches.values()):
            batch.ends_at = 0

    def routes(self) -> list[Route]:
        """Return what it serves."""
        one = f"{_PATH}/{{batch_id}}"
        return [
            Route("/v1/messages", self._answer, methods=["POST"]),
            Route(_PATH, self._take, methods=["POST"]),
            Route(_PATH, self._list),
            Route(one, self._show),
            Route(one, self._delete, methods=["DELETE"]),
            Route(f"{one}/results", self._results),
        ]

    async def _answer(self, request: Request) -> Response:
        """Answer as the request's name says."""
        drawn = self._remembered(request.headers["x-client-request-id"])
        if drawn.fails:
            return _overloaded(OVERLOADED)
        if drawn.streams:
            return StreamingResponse(_streamed(drawn), media_type="text/event-stream")
        await asyncio.sleep(drawn.pause)
        return JSONResponse({**drawn.message(drawn.output_tokens), "content": [{"type": "text", "text": "Hello"}]})

    def _remembered(self, name: str) -> Drawn:
        drawn = Drawn.of(name)
        (self.failed if drawn.fails else self.answered)[name] += 1
        return drawn

    async def _take(self, request: Request) -> Response:
        """Take a batch or not, and say so or not, as its name says."""
        drawn = DrawnBatch.of(request.headers["x-client-request-id"])
        called = tuple(one["custom_id"] for one in (await request.json())["requests"])
        if drawn.taken:
            created_at = (clock.now() + self.ahead).isoformat()
            batch = _Batch(ids.new("msgbatch"), drawn, called, created_at)
            self._batches[batch.id] = batch
            if self.silent:
                batch.ends_at = math.inf
            for name in drawn.names:
                self._remembered(name)
        if not drawn.confirmed:
            return _overloaded(500)
        return JSONResponse(batch.document()) if drawn.taken else _overloaded(OVERLOADED)

    async def _list(self, _: Request) -> Response:
        batches = sorted(self._batches.values(), key=lambda one: one.created_at, reverse=True)
        return JSONResponse({"data": [one.document() for one in batches], "has_more": False})

    async def _show(self, request: Request) -> Response:
        batch = self._batches.get(request.path_params["batch_id"])
        return JSONResponse(batch.document()) if batch else _overloaded(404)

    async def _results(self, request: Request) -> Response:
        batch = self._batches.get(request.path_params["batch_id"])
        if batch is None or not batch.ended:
            return _overloaded(404)
        return Response(batch.results(), media_type="application/x-jsonl")

    async def _delete(self, request: Request) -> Response:
        gone = self._batches.pop(request.path_params["batch_id"], None)
        return JSONResponse({"id": gone.id, "type": "message_batch_deleted"}) if gone else _overloaded(404)


@contextmanager
def running() -> Iterator[Provider]:
    """Run a provider in a thread of its own."""
    one = Provider()
    app = Starlette(routes=one.routes())
    server = uvicorn.Server(uvicorn.Config(app, port=one.port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        server.should_exit = True
        thread.join(CLOSE_SECONDS)


def _overloaded(status: int) -> Response:
    return JSONResponse({"type": "error", "error": {"type": "overloaded_error"}}, status)


async def _streamed(drawn: Drawn) -> AsyncIterator[bytes]:
    pieces: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": drawn.message(1)})]
    delta = {"type": "text_delta", "text": "Hello "}
    pieces += [("content_block_delta", {"index": 0, "delta": delta})] * PIECES
    pieces += [("message_delta", {"delta": {}, "usage": {"output_tokens": drawn.output_tokens}}), ("message_stop", {})]
    for kind, facts in pieces:
        yield f"event: {kind}\ndata: {json.dumps({'type': kind, **facts})}\n\n".encode()
        await asyncio.sleep(drawn.pause)
