"""The gateway's routes, nothing else."""

import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tokenpool.gateway import claude_code, free, holds, passing, quote
from tokenpool.gateway.answers import Answering, Endpoint
from tokenpool.gateway.anthropic import MESSAGES
from tokenpool.gateway.batches import endpoints as batches
from tokenpool.gateway.formats import Format
from tokenpool.gateway.messages import serve
from tokenpool.gateway.openai.formats import CHAT, EMBEDDINGS, RESPONSES
from tokenpool.gateway.parts import Parts
from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import Statement, Transaction

LEAST_FREE_BYTES = 2**29
FORMATS: tuple[Format[Any], ...] = (MESSAGES, CHAT, RESPONSES, EMBEDDINGS)


def routes(parts: Parts) -> list[BaseRoute]:
    """Return what machines call at speed: the provider's addresses and the health checks."""

    def served(endpoint: Callable[[Parts, Request], Awaitable[Response]]) -> Answering:
        return Answering(partial(endpoint, parts))

    def spoken(endpoint: Callable[[Format[Any], Parts, Request], Awaitable[Response]], form: Format[Any]) -> Answering:
        return Answering(partial(endpoint, form, parts), form.envelope)

    def either(endpoint: Callable[[Format[Any], Parts, Request], Awaitable[Response]]) -> Endpoint:
        async def chosen(request: Request) -> Response:
            return await spoken(endpoint, free.format_of(request.headers, parts)).answer(request)

        return chosen

    return [
        *(Route(form.path, spoken(serve, form), methods=["POST"]) for form in FORMATS),
        Route("/v1/messages/count_tokens", spoken(free.count_tokens, MESSAGES), methods=["POST"]),
        *(Route(path, served(endpoint), methods=[verb]) for verb, path, endpoint in batches.ADDRESSES),
        Route("/v1/models", either(free.list_models), methods=["GET"]),
        Route("/v1/models/{model:path}", either(free.show_model), methods=["GET"]),
        Route("/v1/tokenpool/quote", served(quote.quote), methods=["POST"]),
        Route("/v1/tokenpool/holds", served(holds.create), methods=["POST"]),
        Route("/v1/tokenpool/holds/{hold_id}", served(holds.of_one(holds.show)), methods=["GET"]),
        *(
            Route(f"/v1/tokenpool/holds/{{hold_id}}/{verb.__name__}", served(holds.of_one(verb)), methods=["POST"])
            for verb in (holds.settle, holds.extend, holds.void)
        ),
        *(
            Route(f"/v1/{signal}", served(claude_code.telemetry), methods=["POST"])
            for signal in ("metrics", "logs", "traces")
        ),
        Route("/api/hello", served(claude_code.hello), methods=["GET"]),
        Route("/api/oauth/usage", served(claude_code.usage), methods=["GET"]),
        Route("/managed/settings", served(claude_code.managed_settings), methods=["GET"]),
        Route("/v1/{path:providers}", either(passing.pass_on), methods=passing.METHODS),
        Route("/healthz", healthy, methods=["GET"]),
        Route("/readyz", served(ready), methods=["GET"]),
    ]


async def healthy(_: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def ready(parts: Parts, _: Request) -> Response:
    """The process can take money: the database's write lock is to be had and the disk has room.

    Raises:
        Unavailable: it is not, or it has not.
    """

    def lock() -> Transaction[None]:
        yield [Statement("select 1", [()])]

    await parts.store.run(lock)
    if shutil.disk_usage(parts.spool.folder).free < LEAST_FREE_BYTES:
        raise Unavailable("The disk of the data folder has less than 512 MiB free.")
    return JSONResponse({"status": "ready"})
