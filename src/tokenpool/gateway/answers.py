"""Answers that are not the provider's: errors in the envelope of the format spoken, with the request's id."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tokenpool.gateway.admission import TooMany, bodies
from tokenpool.gateway.formats import Envelope
from tokenpool.kernel import ids
from tokenpool.kernel.errors import TokenpoolError, Unavailable, traced

logger = logging.getLogger("tokenpool.gateway")
Endpoint = Callable[[Request], Awaitable[Response]]

RETRY_SECONDS = 5
TOO_LARGE = 413
LEFT = 499  # the client left before its request was here; nginx's number


def envelope(
    status: int,
    kind: str,
    message: str,
    *,
    request_id: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error in Anthropic's envelope."""
    error: dict[str, Any] = {"type": kind, "message": message}
    if details:
        error["details"] = details
    body = json.dumps({"type": "error", "error": error, "request_id": request_id}, ensure_ascii=False)
    told = body.encode(errors="replace")  # it may quote a client's half of a surrogate pair
    return Response(
        told, status, {"request-id": request_id, **(headers or {})}, media_type="application/json; charset=utf-8"
    )


def from_error(error: TokenpoolError, request_id: str, written: Envelope = envelope) -> Response:
    """Return the answer to one of our own errors; what cannot succeed says so to the SDKs' retry logic."""
    headers = {"x-should-retry": "false"}
    if isinstance(error, TooMany):
        headers = {"retry-after": "1"}
    elif isinstance(error, Unavailable):
        headers = {"retry-after": str(RETRY_SECONDS)}
    elif error.status >= 500:  # noqa: PLR2004
        headers = {}
    if error.status == TOO_LARGE:
        headers["connection"] = "close"  # the rest of the body is not waited for
    details = {"field": error.field} if error.field else None
    return written(error.status, error.kind, error.message, request_id=request_id, details=details, headers=headers)


class Answering:
    """An endpoint as an application: every error becomes an envelope, and nothing unexpected tears the process."""

    def __init__(self, endpoint: Endpoint, written: Envelope = envelope) -> None:
        """*written* is the envelope of the format that *endpoint* speaks."""
        self._endpoint, self._written = endpoint, written

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = await self.answer(Request(scope, receive, send))
        await answer(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """Return the endpoint's answer, or that to its error."""
        request.state.request_id = ids.new("req")
        try:
            return await self._endpoint(request)
        except TokenpoolError as error:
            return from_error(error, request.state.request_id, self._written)
        except ClientDisconnect:
            return Response(status_code=LEFT)  # nobody reads it
        except Exception as error:  # noqa: BLE001 - whatever it is, the process lives
            logger.error("%s failed: %s", request.state.request_id, traced(error))  # noqa: TRY400 - without its words
            sentence = "Tokenpool failed to handle this request; the operator's log has the cause under this id."
            return self._written(500, "api_error", sentence, request_id=request.state.request_id)
        finally:
            if hasattr(request.state, "body_bytes"):
                bodies.give_back(request.state.body_bytes, request.state.body_of)
