"""Errors in OpenAI's envelope, and what of a stream is for this side alone."""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from tokenpool.metering.events import MOST_BUFFERED, parsed

ID_HEADERS = ("x-request-id", "request-id")
_TYPES = {"billing_error": "insufficient_quota"}  # by which clients know that another try is no use
_CODES = {"authentication_error": "invalid_api_key", "rate_limit_error": "rate_limit_exceeded"}
_EVENT_END = re.compile(rb"\r?\n\r?\n")
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')


def envelope(
    status: int,
    kind: str,
    message: str,
    *,
    request_id: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error in OpenAI's envelope: `param` is the field, `code` the cause; limits keep their numbers."""
    told = dict(details or {})
    error: dict[str, Any] = {
        "message": message,
        "type": _TYPES.get(kind, kind),
        "param": told.pop("field", None),
        "code": told.pop("error_code", _CODES.get(kind)),
    }
    if told:
        error["details"] = told
    return Response(
        json.dumps({"error": error}, ensure_ascii=False).encode(errors="replace"),
        status,
        {**dict.fromkeys(ID_HEADERS, request_id), **(headers or {})},
        media_type="application/json; charset=utf-8",
    )


class UsageHider:
    """Passes events on whole, but for the one that tells the usage of a client who did not ask for it.

    An event that has not ended cannot be acted on, so nobody waits for anything.
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that have ended."""
        looked = max(0, len(self._rest) - 3)
        self._rest += chunk
        out = bytearray()
        while found := _EVENT_END.search(self._rest, looked):
            event, looked = bytes(self._rest[: found.end()]), 0
            del self._rest[: found.end()]
            if not _tells_usage_alone(event):
                out += event
        return bytes(out) + (self.end() if len(self._rest) > MOST_BUFFERED else b"")

    def end(self) -> bytes:
        """Return what is left."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def _tells_usage_alone(event: bytes) -> bool:
    """Tell whether *event* has usage and no choice."""
    if not _NO_CHOICES.search(event):
        return False
    data = b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    chunk = parsed(data)
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
