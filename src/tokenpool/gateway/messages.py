"""The spine: a request is authenticated, bounded, held, forwarded, and settled before its end is seen."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from tokenpool.gateway import forward, refusals, unpriced
from tokenpool.gateway.answers import from_error
from tokenpool.gateway.authenticate import authenticate, credential, entitle
from tokenpool.gateway.call import Call, read_call
from tokenpool.gateway.journal import Journal, evidence_of
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.settle import Attempt
from tokenpool.gateway.upstream import UpstreamAway, inbound
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import InvalidInput, TokenpoolError, Unavailable
from tokenpool.limits.operations import Attribution, Authorize, Held, Refusal, Stale
from tokenpool.organizations.directory import KeyFacts
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.bound import Bound, Shape, largest_cost, tools_nano

MOST_BODY_BYTES = 32 * 2**20
ATTEMPTS_WITH_FRESH_FACTS = 5
_LABEL_LENGTH = 80


class TooLarge(TokenpoolError):
    """A body over the cap; nothing of it was parsed."""

    status = 413
    kind = "request_too_large"


async def create_message(parts: Parts, request: Request) -> Response:
    """Serve `POST /v1/messages`: the walk of a request, from top to bottom."""
    request_id: str = request.state.request_id
    facts = await authenticate(request.headers, parts.directory)
    entitle(facts)
    call = read_call(await read_body(request))
    with unpriced.told(parts, facts.organization_id, call.model):
        price = parts.book.price(call.model, clock.now().date())
    shape = call.shape(price)
    bound = largest_cost(shape, price)
    answer, facts = await hold(parts, request, facts, call=call, price=price, shape=shape, bound=bound)
    if isinstance(answer, Refusal):
        return await refusals.over_limit(answer, facts, parts.directory, request_id)
    attempt = Attempt(
        parts, facts.organization_id, answer.hold_id, price, _estimate_facts(shape, price, answer.max_output)
    )
    parts.running[answer.hold_id] = facts.organization_id
    dispatched = parts.background(_dispatch(request, call, attempt, answer=answer, bound=bound))
    return await asyncio.shield(dispatched)


async def hold(
    parts: Parts, request: Request, facts: KeyFacts, *, call: Call, price: ModelPrice, shape: Shape, bound: Bound
) -> tuple[Held | Refusal, KeyFacts]:
    """Reserve *bound*, or be refused; facts that have changed meanwhile are read again and asked again.

    Raises:
        NotAllowed, NotAuthenticated: the facts have changed so that the request may not go through.
        Unavailable: the hold could not be made durable.
    """
    for _ in range(ATTEMPTS_WITH_FRESH_FACTS):
        ask = Authorize(
            hold_id=ids.twin("hold", request.state.request_id),
            who=_attribution(request, facts),
            model=price.model,
            price_version=price.version,
            bound=bound,
            admitted_at=clock.now(),
            facts_version=facts.version,
            clamps=facts.clamps,
            floor_output=call.floor_output,
            evidence=evidence_of(None, _estimate_facts(shape, price, shape.max_output)),
        )
        answer = await parts.commits.submit(facts.organization_id, ask)
        if not isinstance(answer, Stale):
            return answer, facts
        facts = await parts.directory.find(credential(request.headers))
        entitle(facts)
    raise Unavailable("The organization's settings are changing; try again.")


async def _dispatch(request: Request, call: Call, attempt: Attempt, *, answer: Held, bound: Bound) -> Response:
    """Send the held call and prepare its answer; from here on the hold ends whatever happens."""
    body = call.clamped_to(answer.max_output) if answer.clamped else call.raw
    query = f"?{request.url.query}" if request.url.query else ""
    path = request.url.path + query
    try:
        upstream = attempt.parts.upstream
        reply = await upstream.send("POST", path, headers=request.headers, body=body, stream=call.stream)
    except UpstreamAway as error:
        await attempt.void("provider away")
        return from_error(error, request.state.request_id)
    if reply.status != forward.OK:
        return await forward.relay_error(reply, attempt, request.state.request_id)
    headers = {**inbound(reply.headers.items()), **refusals.under_limit(answer.fullest)}
    headers["request-id"] = request.state.request_id
    if answer.clamped:
        headers["x-tokenpool-max-tokens"] = str(answer.max_output)
    if not call.stream:
        return await forward.relay_whole(reply, attempt, headers)
    held = Bound(bound.fixed_nano, bound.output_price_nano_per_mtok, answer.max_output)
    journal = Journal(
        attempt.parts, attempt.organization_id, attempt.hold_id, price=attempt.price, bound=held, shape=attempt.shape
    )
    return forward.Relay(reply, attempt, journal, headers)


async def read_body(request: Request) -> bytes:
    """Return the body, refusing it before it is parsed when it is over the cap.

    Raises:
        TooLarge: over 32 MiB.
    """
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BODY_BYTES:
            raise TooLarge(f"The body is larger than {MOST_BODY_BYTES // 2**20} MiB.")
        chunks.append(chunk)
    return b"".join(chunks)


def _attribution(request: Request, facts: KeyFacts) -> Attribution:
    return Attribution(
        member_id=facts.member_id,
        seat_type=facts.seat_type or "",
        product=facts.product,
        cost_center=facts.cost_center,
        project=_label(request, "x-tokenpool-project"),
        session_id=_label(request, "x-claude-code-session-id"),
        groups=facts.groups,
    )


def _label(request: Request, name: str) -> str:
    value = request.headers.get(name, "")
    if len(value) > _LABEL_LENGTH or not (value.isascii() and value.isprintable()):
        raise InvalidInput(f"{name}: at most {_LABEL_LENGTH} printable ASCII characters.", field=name)
    return value


def _estimate_facts(shape: Shape, price: ModelPrice, max_output: int) -> dict[str, int | bool]:
    return {
        "input_bound": shape.input_tokens,
        "max_output": max_output,
        "us_only": shape.us_only,
        "fast": shape.fast,
        "tools_nano": tools_nano(shape, price),
    }
