"""The spine: a request is authenticated, bounded, held, forwarded, and settled before its end is seen."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tokenpool.gateway import forward, refusals, repeats, unpriced
from tokenpool.gateway.answers import from_error
from tokenpool.gateway.authenticate import authenticate, credential, entitle
from tokenpool.gateway.formats import Call, Format
from tokenpool.gateway.journal import Journal, evidence_of
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.priced import Priced, price_now
from tokenpool.gateway.received import attribution, query_of, read_body
from tokenpool.gateway.settle import Attempt
from tokenpool.gateway.upstream import Upstream, UpstreamAway, inbound
from tokenpool.kernel import ids
from tokenpool.kernel.errors import Unavailable, Undecided
from tokenpool.limits.operations import Authorize, Ended, Held, Refusal
from tokenpool.organizations.directory import KeyFacts
from tokenpool.pricing.bound import Bound

ATTEMPTS_WITH_FRESH_FACTS = 5


async def serve(form: Format[Any], parts: Parts, request: Request) -> Response:
    """Serve a call of any format: the walk of a request, from top to bottom."""
    facts = await authenticate(request.headers, parts.directory, proved_later=True)
    entitle(facts)
    call = form.read(await read_body(request, facts.member_id))
    upstream = parts.upstreams.serving(call.model, form.speaks)
    with parts.running.admitting(facts.member_id):
        if await parts.running.pace.turn(facts.member_id, streams=call.stream) and await request.is_disconnected():
            raise ClientDisconnect
        answer, facts, priced = await hold(parts, request, facts, call=call, upstream=upstream)
    if isinstance(answer, Refusal):
        fits = replace(answer, affordable_output=call.told(answer.affordable_output))
        return await refusals.over_limit(fits, facts, parts.directory, request.state.request_id, form.envelope)
    attempt = priced.attempt(parts, facts.organization_id, answer.hold_id, answer.max_output)
    parts.running.begin(answer.hold_id, facts.organization_id, facts.member_id, streams=call.stream)
    sent = _answer(request, form, call, upstream, attempt=attempt, answer=answer, bound=priced.bound)
    return await asyncio.shield(parts.background(_counted(attempt, sent)))


async def hold(
    parts: Parts, request: Request, facts: KeyFacts, *, call: Call, upstream: Upstream
) -> tuple[Held | Refusal, KeyFacts, Priced]:
    """Reserve what *call* can cost, or be refused; facts that have changed meanwhile are read again and asked again.

    Raises:
        UnknownModel, Unbounded: the call cannot be priced.
        NotAllowed, NotAuthenticated: the facts have changed so that the request may not go through.
        Conflict: the request's idempotency key stands for another that runs or was billed.
        Unavailable: the hold could not be made durable.
    """
    names = repeats.hold_ids(request.headers, facts, request.state.request_id)
    for _ in range(ATTEMPTS_WITH_FRESH_FACTS + len(names)):
        request.state.request_id = ids.twin("req", names[0])
        with unpriced.told(parts, facts.organization_id, call.model):
            priced = price_now(parts, facts, call, upstream)
        ask = Authorize(
            hold_id=names[0],
            who=attribution(request, facts),
            model=priced.price.model,
            price_version=priced.price.version,
            bound=priced.bound,
            admitted_at=priced.at,
            facts_version=facts.version,
            clamps=facts.clamps,
            floor_output=call.floor_output,
            evidence=evidence_of(parts, None, priced.estimate_facts(priced.shape.max_output)),
        )
        try:
            answer = await parts.commits.admit(facts.organization_id, ask)
        except Undecided:
            attempt = priced.attempt(parts, facts.organization_id, ask.hold_id, 0)
            parts.background(attempt.give_back(ask.admitted_at))
            raise
        if isinstance(answer, Held | Refusal):
            return answer, facts, priced
        if isinstance(answer, Ended):
            names = repeats.after(names, answer)
            continue
        facts = await parts.directory.find(credential(request.headers))
        entitle(facts)
    raise Unavailable("The organization's settings are changing; try again.")


async def _counted(attempt: Attempt, answer: Awaitable[Response]) -> Response:
    """Return *answer*; an attempt that has failed runs no more, and if its hold has not ended, its evidence ends it."""
    try:
        return await answer
    except BaseException:
        attempt.parts.running.end(attempt.hold_id)
        raise


async def _answer(
    request: Request, form: Format[Any], call: Call, upstream: Upstream, *, attempt: Attempt, answer: Held, bound: Bound
) -> Response:
    """Send the held call and prepare its answer; from here on the hold ends whatever happens."""
    body, named = call.body(answer.max_output if answer.clamped else None), form.named(request.state.request_id)
    try:
        reply = await upstream.send(
            "POST", form.path, query=query_of(request), headers=request.headers, body=body, stream=call.stream
        )
    except UpstreamAway as error:
        await (attempt.settle_estimate("no_answer") if error.worked else attempt.void("provider away"))
        return from_error(error, request.state.request_id, form.envelope)
    if reply.status != forward.OK:
        await attempt.void(f"upstream answered {reply.status}")
        return await forward.relay_error(reply, upstream, named)
    headers = {**inbound(reply.headers), **refusals.under_limit(answer.fullest), **named}
    if answer.clamped:
        headers["x-tokenpool-max-tokens"] = str(call.told(answer.max_output))
    if not call.stream:
        return await forward.relay_whole(reply, attempt, headers, form.usage)
    journal = Journal(attempt, Bound(bound.fixed_nano, bound.output_price_nano_per_mtok, answer.max_output))
    meter, outward = form.meter(call, attempt.price), form.outward(call) if form.outward else None
    return forward.Relay(reply, attempt, journal, headers, meter=meter, outward=outward, drains=upstream.drains)
