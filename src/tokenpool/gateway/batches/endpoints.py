"""The addresses of message batches. A batch belongs to the member who made it; to others it is not there."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tokenpool.gateway import forward, refusals
from tokenpool.gateway.authenticate import authenticate, entitle
from tokenpool.gateway.batches import body, creation, documents, ending, watch
from tokenpool.gateway.batches.creation import PATH, PREFIX, Sent
from tokenpool.gateway.batches.ending import Results
from tokenpool.gateway.connections import Answer
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.received import query_of, read_body
from tokenpool.gateway.upstream import Upstream, UpstreamAway, inbound, lines, read
from tokenpool.kernel import ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotFound
from tokenpool.limits import message_batches
from tokenpool.limits.message_batches import BatchRow
from tokenpool.limits.operations import Refusal

USUAL_PAGE, LARGEST_PAGE = 20, 1000


async def create(parts: Parts, request: Request) -> Response:
    """Serve `POST /v1/messages/batches`: the walk of a request, for all of its requests at once."""
    facts = await authenticate(request.headers, parts.directory)
    entitle(facts)
    raw = await read_body(request, facts.member_id)
    with parts.running.admitting(facts.member_id):
        asked = await asyncio.to_thread(body.read, raw, most=parts.most_in_batch)
        upstream = creation.upstream_of(parts, asked)
        answer, facts, ask = await creation.hold(parts, request, facts, asked, upstream)
        if isinstance(answer, Refusal):
            return await refusals.over_limit(answer, facts, parts.directory, request.state.request_id)
        hold_ids = tuple(one.hold_id for one in ask.requests)
        named = asked.named([ending.name_of(hold_id) for hold_id in hold_ids])
        sent = Sent(creation.row_of(facts, ask), hold_ids, named)
        work = creation.send(parts, request, sent, upstream, refusals.under_limit(answer.fullest))
        return await asyncio.shield(parts.background(work))


async def index(parts: Parts, request: Request) -> Response:
    """Serve `GET /v1/messages/batches`: the member's own, newest first, as the provider described them last."""
    facts = await authenticate(request.headers, parts.directory)
    most, after, before = _page(request)
    whose = (parts.store, facts.organization_id, facts.member_id)
    rows = await message_batches.page(*whose, after=after, before=before, most=most + 1)
    more = len(rows) > most
    rows = rows[-most:] if before else rows[:most]
    found = [documents.told(parts, request, row) for row in rows]
    ends = {"first_id": found[0]["id"] if found else None, "last_id": found[-1]["id"] if found else None}
    return JSONResponse({"data": found, "has_more": more, **ends}, headers=_named(request))


async def show(parts: Parts, request: Request) -> Response:
    """Serve `GET /v1/messages/batches/{id}`: as the provider describes it now."""
    row = await _mine(parts, request)
    if not row.upstream_id:
        return documents.answer(parts, request, row, documents.stored(row), {})
    return await _described(parts, request, row, "GET", "")


async def cancel(parts: Parts, request: Request) -> Response:
    """Serve `POST /v1/messages/batches/{id}/cancel`; what was done by then is billed, the rest is freed as it ends."""
    row = await _mine(parts, request)
    return await _described(parts, request, row, "POST", "/cancel")


async def delete(parts: Parts, request: Request) -> Response:
    """Serve `DELETE /v1/messages/batches/{id}`: only once its results are settled, for they are the evidence.

    Raises:
        Conflict: it has not ended, or its results could not be read.
    """
    row = await _mine(parts, request)
    documents.confirmed(row)
    upstream = _upstream(parts, row)
    if row.state != "settled":
        try:
            settled = await watch.settle(parts, row, upstream)
        except UpstreamAway:
            settled = False
        if not settled:
            raise Conflict(
                "The batch has not ended, or its results are not settled yet; cancel it, or ask again later."
            )
    reply = await _ask(request, upstream, "DELETE", watch.path_of(row.upstream_id))
    if reply.status != forward.OK:
        return await forward.relay_error(reply, upstream, _named(request))
    reply.close()
    await message_batches.delete(parts.store, row)
    return JSONResponse({"id": row.id, "type": "message_batch_deleted"}, headers=_named(request))


async def results(parts: Parts, request: Request) -> Response:
    """Serve `GET /v1/messages/batches/{id}/results`: each line leaves after its settlement is durable."""
    row = await _mine(parts, request)
    documents.confirmed(row)
    upstream = _upstream(parts, row)
    reply = await _ask(request, upstream, "GET", watch.path_of(row.upstream_id) + "/results")
    if reply.status != forward.OK:
        return await forward.relay_error(reply, upstream, _named(request))
    found = Results(parts, row, await message_batches.requests_of(parts.store, row))
    passing = _passing(parts, row, found, watch.chunks(lines(reply)))
    first = await anext(passing, b"")  # before the head: a database that is away is told by its status

    async def pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in passing:
            yield piece

    return StreamingResponse(pieces(), reply.status, {**inbound(reply.headers), **_named(request)})


async def _passing(
    parts: Parts, row: BatchRow, found: Results, chunks: AsyncIterator[list[bytes]]
) -> AsyncIterator[bytes]:
    """Yield settled lines; at the end, look whether the batch is over."""
    async for chunk in chunks:
        yield b"".join(line + b"\n" for line in await found.settle(chunk))
    if row.state != "settled":
        await watch.over(parts, row)


async def _described(parts: Parts, request: Request, row: BatchRow, method: str, verb: str) -> Response:
    """Ask the provider about a batch and answer with what it says."""
    documents.confirmed(row)
    upstream = _upstream(parts, row)
    reply = await _ask(request, upstream, method, watch.path_of(row.upstream_id) + verb)
    if reply.status != forward.OK:
        return await forward.relay_error(reply, upstream, _named(request))
    headers = inbound(reply.headers)
    try:
        document = documents.read(await read(reply))
    except InvalidInput as error:
        raise UpstreamAway("The provider's answer is no batch.") from error
    await message_batches.describe(parts.store, row, documents.text(document))
    if document.get("processing_status") == watch.ENDED and row.state == "open":
        await message_batches.hurry(parts.store, row)
    return documents.answer(parts, request, row, document, headers)


async def _mine(parts: Parts, request: Request) -> BatchRow:
    """Return the batch in the address, which must be of the calling member.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    facts = await authenticate(request.headers, parts.directory)
    batch_id, row = request.path_params["batch_id"], None
    if ids.is_id(PREFIX, batch_id):
        row = await message_batches.find(parts.store, facts.organization_id, facts.member_id, batch_id)
    if row is None:
        raise NotFound("There is no such batch.")
    return row


def _upstream(parts: Parts, row: BatchRow) -> Upstream:
    found = parts.upstreams.named(row.upstream)
    if found is None:
        raise UpstreamAway("The provider of this batch is not set up here any more; ask the operator.")
    return found


async def _ask(request: Request, upstream: Upstream, method: str, path: str) -> Answer:
    return await upstream.send(method, path, query=query_of(request), headers=request.headers, stream=True)


def _named(request: Request) -> dict[str, str]:
    return {"request-id": request.state.request_id}


def _page(request: Request) -> tuple[int, str, str]:
    """Return how many batches are asked for, and after or before which.

    Raises:
        InvalidInput: no number from 1 to 1000, both, or what is no id.
    """
    limit, after = request.query_params.get("limit", str(USUAL_PAGE)), request.query_params.get("after_id", "")
    before = request.query_params.get("before_id", "")
    if not (limit.isascii() and limit.isdecimal() and len(limit) <= 4 and 1 <= int(limit) <= LARGEST_PAGE):  # noqa: PLR2004
        raise InvalidInput(f"limit: must be a number from 1 to {LARGEST_PAGE}.", field="limit")
    if after and before:
        raise InvalidInput("after_id: give it or before_id, not both.", field="after_id")
    for name, cursor in {"after_id": after, "before_id": before}.items():
        if cursor and not ids.is_id(PREFIX, cursor):
            raise InvalidInput(f"{name}: is no id of a batch.", field=name)
    return int(limit), after, before


ADDRESSES = (
    ("POST", PATH, create),
    ("GET", PATH, index),
    ("GET", PATH + "/{batch_id}", show),
    ("DELETE", PATH + "/{batch_id}", delete),
    ("POST", PATH + "/{batch_id}/cancel", cancel),
    ("GET", PATH + "/{batch_id}/results", results),
)
