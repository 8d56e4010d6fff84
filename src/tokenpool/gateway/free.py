"""What costs nothing: counting tokens and listing models. Authenticated, never held, never refused for spend."""

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tokenpool.gateway import forward
from tokenpool.gateway.anthropic import MESSAGES
from tokenpool.gateway.authenticate import authenticate, entitle
from tokenpool.gateway.body import model_of, parse_body
from tokenpool.gateway.formats import Format
from tokenpool.gateway.openai.formats import CHAT
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.received import query_of, read_body
from tokenpool.gateway.upstream import Upstream, UpstreamAway, inbound, read
from tokenpool.gateway.upstreams import LONGEST_NAME
from tokenpool.kernel.errors import InvalidInput, NotFound

_MODEL = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:@+-]*(/[A-Za-z0-9][A-Za-z0-9._:@+-]*)*", re.ASCII)
WHOLE_LIST = {"anthropic": "limit=1000", "openai": ""}


def format_of(headers: Headers, parts: Parts) -> Format[Any]:
    """Return which of the two SDKs that ask for models is asking: Anthropic's says its version of the API.

    Where only one format has a provider, that is the one.
    """
    anthropic = "anthropic-version" in headers or "x-api-key" in headers
    asked, other = (MESSAGES, CHAT) if anthropic else (CHAT, MESSAGES)
    return asked if parts.upstreams.speaking(asked.speaks) else other


async def count_tokens(form: Format[Any], parts: Parts, request: Request) -> Response:
    """Serve `POST /v1/messages/count_tokens` by the provider of its model."""
    facts = await authenticate(request.headers, parts.directory)
    entitle(facts)
    raw = await read_body(request, facts.member_id)
    body, _ = parse_body(raw)
    upstream = parts.upstreams.serving(model_of(body), form.speaks)
    return await _passed(upstream, "/v1/messages/count_tokens", form, request, body=raw)


async def show_model(form: Format[Any], parts: Parts, request: Request) -> Response:
    """Serve `GET /v1/models/{id}` by the provider of that model."""
    entitle(await authenticate(request.headers, parts.directory))
    model = request.path_params["model"]
    if len(model) > LONGEST_NAME or not _MODEL.fullmatch(model):
        raise NotFound("There is no such model.")
    upstream = parts.upstreams.serving(model, form.speaks)
    return await _passed(upstream, f"/v1/models/{quote(model)}", form, request)


async def list_models(form: Format[Any], parts: Parts, request: Request) -> Response:
    """Serve `GET /v1/models`: the one provider's list as it is, or the lists of all that speak the format as one.

    Raises:
        UpstreamAway: not one of them answered.
    """
    entitle(await authenticate(request.headers, parts.directory))
    asked = parts.upstreams.speaking(form.speaks)
    if len(asked) == 1:
        return await _passed(asked[0], "/v1/models", form, request)
    lists = await asyncio.gather(*(_models_of(one, request) for one in asked))
    if asked and not any(found is not None for found in lists):
        raise UpstreamAway("No provider told its models.")
    found = [
        model
        for upstream, models in zip(asked, lists, strict=True)
        for model in models or ()
        if _serves(parts, upstream, model, form)
    ]
    return JSONResponse(_listed(found, form), headers=form.named(request.state.request_id))


async def _passed(upstream: Upstream, path: str, form: Format[Any], request: Request, *, body: bytes = b"") -> Response:
    answer = await upstream.send(
        request.method, path, query=query_of(request), headers=request.headers, body=body, stream=False
    )
    named = form.named(request.state.request_id)
    if answer.status != forward.OK:
        return await forward.relay_error(answer, upstream, named)
    return Response(await read(answer), answer.status, {**inbound(answer.headers), **named})


async def _models_of(upstream: Upstream, request: Request) -> list[Mapping[str, Any]] | None:
    """Return the models that *upstream* tells, None when it does not answer with a list."""
    with suppress(UpstreamAway, ValueError, RecursionError):
        answer = await upstream.send(
            "GET", "/v1/models", query=WHOLE_LIST[upstream.speaks], headers=request.headers, stream=False
        )
        told = json.loads(await read(answer))
        data = told.get("data") if answer.status == forward.OK and isinstance(told, dict) else None
        if isinstance(data, list):
            return [model for model in data if isinstance(model, dict)]
    return None


def _serves(parts: Parts, upstream: Upstream, model: Mapping[str, Any], form: Format[Any]) -> bool:
    """Tell whether a call of *model* would go to this provider, and not to one before it."""
    with suppress(InvalidInput):
        return parts.upstreams.serving(str(model.get("id")), form.speaks) is upstream
    return False


def _listed(models: list[Mapping[str, Any]], form: Format[Any]) -> dict[str, Any]:
    if form.speaks == "openai":
        return {"object": "list", "data": models}
    ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"]} if models else {"first_id": None, "last_id": None}
    return {"data": models, "has_more": False, **ends}
