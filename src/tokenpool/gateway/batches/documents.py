"""What a client is told of its batches: the provider's own words, under our id and with our address of results."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tokenpool.gateway.parts import Parts
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Conflict, InvalidInput
from tokenpool.limits.message_batches import BatchRow

LASTS = timedelta(hours=24)
MOST_TEXT = 64 * 1024
UPSTREAM_ID = re.compile(r"[!-~]{1,200}")


def read(body: bytes) -> dict[str, Any]:
    """Return the provider's batch.

    Raises:
        InvalidInput: it is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The provider's batch is not JSON.") from error
    text(document)
    return document  # type: ignore[no-any-return]


def text(document: object) -> str:
    """Return a batch of the provider's as it is stored.

    Raises:
        InvalidInput: it is none, or holds what could be told to no client.
    """
    try:
        found = json.dumps(document, ensure_ascii=False, allow_nan=False)
        found.encode()
    except ValueError as error:
        raise InvalidInput("The provider's batch holds what JSON has not.") from error
    if len(found) > MOST_TEXT:
        raise InvalidInput("The provider's batch is too long.")
    upstream_id = document.get("id") if isinstance(document, dict) else None
    if not isinstance(upstream_id, str) or not UPSTREAM_ID.fullmatch(upstream_id):
        raise InvalidInput("The provider's batch has no id.")
    return found


def answer(
    parts: Parts, request: Request, row: BatchRow, document: Mapping[str, Any], headers: Mapping[str, str]
) -> Response:
    """Return a batch as its client sees it."""
    hidden = ("content-type", "content-length")
    kept = {name: value for name, value in headers.items() if name not in hidden}
    return JSONResponse(told(parts, request, row, document), headers={**kept, "request-id": request.state.request_id})


def told(parts: Parts, request: Request, row: BatchRow, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a batch as its client sees it: as *document* says, else as the provider said last."""
    found = dict(document or stored(row))
    found["id"] = row.id
    if found.get("results_url") is not None:
        found["results_url"] = f"{_address(parts, request)}/v1/messages/batches/{row.id}/results"
    return found


def stored(row: BatchRow) -> dict[str, Any]:
    """Return what the provider said of a batch last; of one that it has not confirmed, that it is under way."""
    if row.document:
        document: dict[str, Any] = json.loads(row.document)
        return document
    created_at = clock.from_timestamp(row.created_at_us)
    return {
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": {"processing": row.requests, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": clock.text(created_at),
        "expires_at": clock.text(created_at + LASTS),
        "ended_at": None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": None,
    }


def confirmed(row: BatchRow) -> None:
    """Do nothing if the provider has confirmed a batch.

    Raises:
        Conflict: it has not confirmed that it has it.
    """
    if not row.upstream_id:
        raise Conflict(f"The provider has not confirmed {row.id} yet; it is looked for. Ask again later.")


def _address(parts: Parts, request: Request) -> str:
    """Return the address that clients open: the one in the settings when it is https, else that of this request."""
    return parts.public_url if parts.public_url.startswith("https://") else str(request.base_url).rstrip("/")
