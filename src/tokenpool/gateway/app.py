"""The gateway's routes, nothing else."""

import shutil
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tokenpool.gateway import forward, holds, messages
from tokenpool.gateway.answers import Endpoint, answering
from tokenpool.gateway.authenticate import authenticate, entitle
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.upstream import inbound
from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import Statement, Transaction

LEAST_FREE_BYTES = 2**29


def routes(parts: Parts) -> list[BaseRoute]:
    """Return what machines call at speed: the provider's addresses and the health checks."""

    def served(endpoint: Callable[[Parts, Request], Awaitable[Response]]) -> Endpoint:
        return answering(partial(endpoint, parts))

    passing = served(pass_through)
    return [
        Route("/v1/messages", served(messages.create_message), methods=["POST"]),
        Route("/v1/messages/count_tokens", passing, methods=["POST"]),
        Route("/v1/models", passing, methods=["GET"]),
        Route("/v1/models/{model:path}", passing, methods=["GET"]),
        Route("/v1/tokenpool/holds", served(holds.create), methods=["POST"]),
        Route("/v1/tokenpool/holds/{hold_id}", served(holds.of_one(holds.show)), methods=["GET"]),
        *(
            Route(f"/v1/tokenpool/holds/{{hold_id}}/{verb.__name__}", served(holds.of_one(verb)), methods=["POST"])
            for verb in (holds.settle, holds.extend, holds.void)
        ),
        Route("/healthz", healthy, methods=["GET"]),
        Route("/readyz", served(ready), methods=["GET"]),
    ]


async def pass_through(parts: Parts, request: Request) -> Response:
    """Serve what costs nothing: authenticated, never held, never refused for spend."""
    entitle(await authenticate(request.headers, parts.directory))
    body = await messages.read_body(request) if request.method == "POST" else None
    query = f"?{request.url.query}" if request.url.query else ""
    answer = await parts.upstream.send(
        request.method, request.url.path + query, headers=request.headers, body=body, stream=False
    )
    if answer.status != forward.OK:
        return await forward.relay_error(answer, None, request.state.request_id)
    headers = {**inbound(answer.headers.items()), "request-id": request.state.request_id}
    return Response(await answer.read(), answer.status, headers)


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
    if shutil.disk_usage("/").free < LEAST_FREE_BYTES:
        raise Unavailable("The disk has less than 512 MiB free.")
    return JSONResponse({"status": "ready"})
