"""Every answer below `/v1/` has a request id, and every error Anthropic's envelope, whoever made it.

So has an answer to a client whose base address lacks the `/v1`.
"""

import json
import re
from collections.abc import Callable, Iterator

from django.http import HttpRequest, HttpResponse, JsonResponse

from tokenpool.kernel import ids
from tokenpool.kernel.errors import TokenpoolError

_KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
_SENTENCES = {
    400: "The request cannot be read: it is too large, or its address holds what no address of ours does.",
    404: "There is no such address here; docs/api.md and docs/gateway.md list what is served. The base address of "
    "Anthropic's SDKs and Claude Code ends without /v1, that of OpenAI's SDKs with it.",
    405: "This address does not take that method.",
    500: "Tokenpool failed to handle this request; the operator's log has the cause under this id.",
}
_WITHOUT_V1 = ("/messages", "/chat/completions", "/responses", "/embeddings")  # where a base address lacks it
LEAST_ERROR = 400
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class Envelope:
    """Turns plain error answers of the API into envelopes and names every request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, wrapped when it is the API's."""
        if not request.path.startswith(("/v1/", *_WITHOUT_V1)):
            return self.get_response(request)
        request_id = request.request_id = ids.new("req")  # type: ignore[attr-defined]
        response = self.get_response(request)
        if response.status_code >= LEAST_ERROR and "json" not in response.get("Content-Type", ""):
            message = _SENTENCES.get(response.status_code, response.reason_phrase)
            response = error(response.status_code, _KINDS.get(response.status_code, "api_error"), message, request_id)
        response["request-id"] = request_id
        response["Cache-Control"] = "no-store"
        return response


def error(status: int, kind: str, message: str, request_id: str, field: str | None = None) -> HttpResponse:
    """Return an error in the envelope."""
    told: dict[str, object] = {"type": kind, "message": message}
    if field:
        told["details"] = {"field": field}
    response = JsonResponse({"type": "error", "error": told, "request_id": request_id}, status=status)
    response["x-should-retry"] = "false"
    return response


def of(request: HttpRequest, problem: TokenpoolError) -> HttpResponse:
    """Return the envelope of one of our own errors."""
    request_id: str = request.request_id  # type: ignore[attr-defined]
    return error(problem.status, problem.kind, problem.message, request_id, problem.field)


def strict_json(body: bytes) -> object:
    """Read a JSON body.

    Raises:
        ValueError: malformed, with duplicate keys, with NaN and its like, or with text that cannot be stored.
    """
    found: object = json.loads(body, object_pairs_hook=_once, parse_constant=_never)
    for text in _texts(found):
        if "\0" in text:
            raise ValueError("it holds a NUL character")
        if _HALF_A_PAIR.search(text):
            raise ValueError("it holds half a surrogate pair")
    return found


def _texts(found: object) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        yield from found
        found = list(found.values())
    if isinstance(found, list):
        for one in found:
            yield from _texts(one)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key “{name[:40]}” stands twice")
        found[name] = value
    return found


def _never(text: str) -> object:
    raise ValueError(f"{text} is not JSON")
