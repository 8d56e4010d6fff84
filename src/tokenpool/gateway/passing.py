"""Other paths of a provider: refused, unless the operator listed them; bytes pass, nothing is held."""

import re
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from tokenpool.gateway import forward
from tokenpool.gateway.authenticate import authenticate, entitle
from tokenpool.gateway.formats import Format
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.provider_paths import WORDS, Cost, cost_of
from tokenpool.gateway.received import query_of, read_body
from tokenpool.kernel.errors import NotFound

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.:@~-]*", re.ASCII)
_LONGEST = 1_000
_LEAST_ERROR = 400


class _Known(Convertor[str]):
    """Takes what follows `/v1/` when its first word is a provider's."""

    regex = f"(?:{'|'.join(sorted(WORDS))})(?:/.*)?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("providers", _Known())


async def pass_on(form: Format[Any], parts: Parts, request: Request) -> Response:
    """Serve a path that the operator listed, bytes unchanged in both directions; it is never held.

    Raises:
        NotFound: it is not listed; tells why.
    """
    facts = await authenticate(request.headers, parts.directory)
    entitle(facts)
    path = request.path_params["path"]
    segments = path.split("/")
    if len(path) > _LONGEST or not all(_SEGMENT.fullmatch(one) for one in segments):
        raise NotFound("There is no such address here.")
    upstream = parts.upstreams.passing(segments[0], form.speaks)
    cost = cost_of(segments, upstream.speaks if upstream else _owner(segments[0], form.speaks))
    if upstream is None or cost is not Cost.FREE:
        raise NotFound(f"{request.method} /v1/{path[:80]} is not served here: {cost.value}")
    body = await read_body(request, facts.member_id)
    answer = await upstream.send(
        request.method, f"/v1/{path}", query=query_of(request), headers=request.headers, body=body, stream=True
    )
    named = form.named(request.state.request_id)
    if answer.status >= _LEAST_ERROR:
        return await forward.relay_error(answer, upstream, named)
    return forward.relay_pieces(answer, named)


def _owner(word: str, speaks: str) -> str:
    """Return the format that has *word* among its paths, rather the one spoken."""
    other = "openai" if speaks == "anthropic" else "anthropic"
    return other if cost_of([word], speaks) is Cost.UNKNOWN else speaks
