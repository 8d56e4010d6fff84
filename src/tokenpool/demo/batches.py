"""Message batches of the simulated provider: in memory, done after two seconds, each request answered like a call."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tokenpool.kernel import clock, ids

TAKES = timedelta(seconds=2)
LASTS = timedelta(hours=24)
PATH = "/v1/messages/batches"
OUTCOMES = ("succeeded", "errored", "canceled", "expired")
Answer = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class _Batch:
    """A batch, and when it was told to stop."""

    id: str
    created_at: datetime
    results: list[dict[str, Any]]
    canceled_at: datetime | None = None

    def outcomes(self) -> list[dict[str, Any]]:
        """Return what became of each request; those of a batch that was stopped in time were not begun."""
        if self.canceled_at is None:
            return self.results
        return [{**one, "result": {"type": "canceled"}} for one in self.results]

    def ended(self) -> bool:
        """Tell whether it is over."""
        return self.canceled_at is not None or clock.now() >= self.created_at + TAKES

    def document(self, address: str) -> dict[str, Any]:
        """Return it as the provider describes it."""
        counts = dict.fromkeys(("processing", *OUTCOMES), 0)
        for one in self.outcomes():
            counts[one["result"]["type"] if self.ended() else "processing"] += 1
        ended_at = clock.text(self.canceled_at or self.created_at + TAKES) if self.ended() else None
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if self.ended() else "in_progress",
            "request_counts": counts,
            "created_at": clock.text(self.created_at),
            "expires_at": clock.text(self.created_at + LASTS),
            "ended_at": ended_at,
            "archived_at": None,
            "cancel_initiated_at": clock.text(self.canceled_at) if self.canceled_at else None,
            "results_url": f"{address}{PATH}/{self.id}/results" if self.ended() else None,
        }


class Batches:
    """The batches of the simulated provider, newest last."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._batches: dict[str, _Batch] = {}

    async def create(self, request: Request) -> Response:
        """Answer `POST /v1/messages/batches`."""
        body = json.loads(await request.body())
        found = [{"custom_id": one["custom_id"], "result": self._result(one["params"])} for one in body["requests"]]
        batch = _Batch(ids.new("msgbatch"), clock.now(), found)
        self._batches[batch.id] = batch
        return self._told(request, batch)

    async def index(self, request: Request) -> Response:
        """Answer `GET /v1/messages/batches`: the newest first."""
        most, after = int(request.query_params.get("limit", 20)), request.query_params.get("after_id")
        newest = [self._batches[batch_id] for batch_id in reversed(self._batches)]
        start = 1 + [one.id for one in newest].index(after) if after in self._batches else 0
        data = [one.document(_address(request)) for one in newest[start : start + most]]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return JSONResponse({"data": data, "has_more": start + most < len(newest), **ends})

    async def one(self, request: Request) -> Response:
        """Answer what is asked of one batch: to show it, to cancel it, its results, to delete it."""
        batch, verb = self._batches.get(request.path_params["batch_id"]), request.path_params.get("verb")
        if batch is None:
            return _error(404, "not_found_error", "There is no such batch.")
        if verb == "cancel" and not batch.ended():
            batch.canceled_at = clock.now()
        if verb == "results" or request.method == "DELETE":
            if not batch.ended():
                return _error(400, "invalid_request_error", "The batch has not ended.")
            if verb == "results":
                lines = "".join(json.dumps(one) + "\n" for one in batch.outcomes())
                return Response(lines, media_type="application/x-jsonl")
            del self._batches[batch.id]
            return JSONResponse({"id": batch.id, "type": "message_batch_deleted"})
        return self._told(request, batch)

    def _result(self, params: dict[str, Any]) -> dict[str, Any]:
        if params["max_tokens"] < 1:
            error = {"type": "invalid_request_error", "message": "max_tokens: must be at least 1"}
            return {"type": "errored", "error": {"type": "error", "error": error}}
        message = self._answer(params)
        return {"type": "succeeded", "message": {**message, "usage": {**message["usage"], "service_tier": "batch"}}}

    def _told(self, request: Request, batch: _Batch) -> Response:
        return JSONResponse(batch.document(_address(request)))


def routes(answer: Answer) -> list[BaseRoute]:
    """Return the addresses of batches whose requests *answer* answers."""
    batches = Batches(answer)
    return [
        Route(PATH, batches.create, methods=["POST"]),
        Route(PATH, batches.index, methods=["GET"]),
        Route(PATH + "/{batch_id}", batches.one, methods=["GET", "DELETE"]),
        Route(PATH + "/{batch_id}/{verb:path}", batches.one, methods=["GET", "POST"]),
    ]


def _address(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"type": "error", "error": {"type": kind, "message": message}}, status)
