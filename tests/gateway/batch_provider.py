"""A provider of batches that a test tells what becomes of each request, and when; and what a test asks of batches."""

import asyncio
import io
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tokenpool.compliance import verify
from tokenpool.gateway.batches.watch import Watch
from tokenpool.kernel import clock
from tokenpool.limits.models import MessageBatch

from .conftest import BODY, BOOK, MESSAGE, USAGE, Gate

HALF = 544_000  # the usual usage at half price: 12 x 2,000 + 100 x 2,500 + 2,000 x 100 + 7 x 10,000
BOUND = (len(json.dumps(BODY)) + 4_000) * 2_000 + 100 * 10_000
PATH = "/v1/messages/batches"
CREATED = "created"


@dataclass
class Batches:
    """The batches of the scripted provider: what it was sent, and what it will say."""

    sent: dict[str, dict[str, Any]] = field(default_factory=dict)  # its id -> body
    created_at: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    outcomes: list[dict[str, Any]] = field(default_factory=list)  # of the requests, in order; the last one repeats
    asked: list[str] = field(default_factory=list)  # method and path of every request
    create: str = CREATED  # or: lost (taken, then reset), reset (not taken), a status
    results: int | str = 200  # or another status, or "cut" after some lines
    cut_after: int = 1
    silent: bool = False  # results without a line
    pause: float = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer as the provider does."""
        self.asked.append(f"{request.method} {request.path}")
        await asyncio.sleep(self.pause)
        batch_id, verb = ([*request.path.split("/")[4:], "", ""])[:2]
        if request.method == "POST" and not batch_id:
            return await self._created(request)
        if not batch_id:
            data = [self.document(one) for one in reversed(self.sent)]
            return web.json_response({"data": data, "has_more": False})
        if batch_id not in self.sent:
            return web.json_response(
                {"type": "error", "error": {"type": "not_found_error", "message": "gone"}}, status=404
            )
        if verb == "results":
            return await self._results(request, batch_id)
        if request.method == "DELETE":
            del self.sent[batch_id]
            return web.json_response({"id": batch_id, "type": "message_batch_deleted"})
        return web.json_response(self.document(batch_id))

    def document(self, batch_id: str) -> dict[str, Any]:
        """Return a batch as the provider describes it."""
        number, ended = len(self.sent[batch_id]["requests"]), batch_id in self.ended
        counts = {"processing": 0 if ended else number, "succeeded": number if ended else 0}
        return {
            "id": batch_id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {**counts, "errored": 0, "canceled": 0, "expired": 0},
            "created_at": self.created_at[batch_id],
            "expires_at": "2030-01-01T00:00:00Z",
            "ended_at": None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"https://provider.example/v1/messages/batches/{batch_id}/results" if ended else None,
        }

    def take(self, body: dict[str, Any]) -> str:
        """Take a batch, as if somebody had sent it."""
        batch_id = f"msgbatch_theirs{len(self.created_at)}"
        self.sent[batch_id] = body
        self.created_at[batch_id] = clock.now().isoformat()
        return batch_id

    async def _created(self, request: web.Request) -> web.StreamResponse:
        if self.create not in (CREATED, "lost", "reset"):
            return web.json_response(
                {"type": "error", "error": {"type": "api_error", "message": "no"}}, status=int(self.create)
            )
        if self.create != "reset":
            batch_id = self.take(json.loads(await request.read()))
        if self.create != CREATED:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return web.json_response(self.document(batch_id))

    async def _results(self, request: web.Request, batch_id: str) -> web.StreamResponse:
        if isinstance(self.results, int) and self.results != 200:
            return web.json_response({"type": "error", "error": {"type": "x", "message": "no"}}, status=self.results)
        if batch_id not in self.ended:
            return web.json_response({"type": "error", "error": {"type": "x", "message": "not ended"}}, status=400)
        response = web.StreamResponse(headers={"content-type": "application/x-jsonl"})
        await response.prepare(request)
        for index, one in enumerate(self.sent[batch_id]["requests"] if not self.silent else ()):
            outcome = self.outcomes[min(index, len(self.outcomes) - 1)]
            line = json.dumps({"custom_id": one["custom_id"], "result": outcome}) + "\n"
            await response.write(line.encode())
            if self.results == "cut" and index + 1 == self.cut_after:
                await asyncio.sleep(0.05)
                assert request.transport is not None
                request.transport.abort()
                return response
        return response


def succeeded(usage: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the outcome of a request that was answered."""
    told = {**USAGE, "service_tier": "batch"} if usage is None else usage
    return {"type": "succeeded", "message": {**MESSAGE, "usage": told, **more}}


def speaking_batches(gate: Gate) -> Batches:
    """Let the scripted provider speak batches; every request succeeds with the usual usage."""
    found = Batches(outcomes=[succeeded()])
    gate.provider.script = found.handle
    return found


async def call(gate: Gate, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
    """Send a request and return status and JSON (or text)."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    data = io.BytesIO(data) if data else None
    headers = {"x-api-key": key or gate.key, "content-type": "application/json"}
    async with gate.session.request(method, gate.url + path, data=data, headers=headers) as answer:
        text = await answer.text()
    return answer.status, json.loads(text) if answer.content_type == "application/json" else text


def requests_of(count: int, **more: Any) -> dict[str, Any]:
    """Return a batch of *count* usual requests called r0, r1, ..."""
    return {"requests": [{"custom_id": f"r{n}", "params": {**BODY, **more}} for n in range(count)]}


async def created(gate: Gate, count: int = 2) -> str:
    """Create a batch and return its id."""
    status, document = await call(gate, "POST", PATH, requests_of(count))
    assert 200 == status, document
    return str(document["id"])


async def watched(gate: Gate) -> int:
    """Let a watch look at every batch now."""
    MessageBatch.objects.filter(look_at_us__isnull=False).update(look_at_us=0)
    return await Watch(gate.parts).run_once()


def broken() -> list[str]:
    """Return what verification finds."""
    return [finding.broken for finding in verify.check(book=BOOK) if not finding.holds]
