"""The hold API: for products that call models themselves. Hold before the call, settle after it; all idempotent.

A meter key speaks for every member of its organization; the member's seat, limits and prices decide.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tokenpool.gateway import hold_bodies, refusals, unpriced
from tokenpool.gateway.authenticate import credential, entitle
from tokenpool.gateway.journal import evidence_of
from tokenpool.gateway.messages import ATTEMPTS_WITH_FRESH_FACTS
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.settle import Attempt
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound, Unavailable, Undecided
from tokenpool.kernel.money import dollars
from tokenpool.limits import holds
from tokenpool.limits.operations import (
    Attribution,
    Authorize,
    Done,
    Ended,
    Extend,
    Refusal,
    Settle,
    Stale,
    Void,
)
from tokenpool.limits.tables import HoldRow
from tokenpool.metering.allowance import may_have_cost
from tokenpool.metering.rate import UNPRICED_TOOL, rate_reported
from tokenpool.organizations.directory import KeyFacts
from tokenpool.pricing.own import OwnBook

Verb = Callable[[Parts, Request, HoldRow, str], Awaitable[None]]


async def create(parts: Parts, request: Request) -> Response:
    """Reserve the largest cost of a call, or refuse it; the same `request_id` again answers with the same hold."""
    organization_id = await _meter(parts, request)
    wanted = await hold_bodies.read(request, hold_bodies.Wanted)
    answer, facts = await _hold(parts, organization_id, wanted)
    if isinstance(answer, Refusal):
        return await refusals.over_limit(answer, facts, parts.directory, request.state.request_id)
    row = await _stored(parts, organization_id, answer.hold_id)
    bound, _ = hold_bodies.bound(wanted, OwnBook(parts.book, facts.own_prices).by_version(row.price_version))
    asked = (wanted.product, parts.book.model_of(wanted.model), bound.amount(), bound.max_output)
    if (row.who.product, row.model, row.reserved_nano, row.max_output) != asked:
        raise Conflict("request_id: it stands for another hold already; use a new one.", field="request_id")
    return _told(row, request, status=201 if answer.is_new else 200)


async def settle(parts: Parts, request: Request, row: HoldRow, organization_id: str) -> None:
    """End the hold with what was used, rated at the price it was admitted at."""
    given = (await hold_bodies.read(request, hold_bodies.Used)).usage
    used = hold_bodies.reported(given)
    book = OwnBook(parts.book, await parts.directory.own_prices(organization_id))
    price, day = book.by_version(row.price_version), clock.from_timestamp(row.admitted_at_us).date()
    usage, flags = rate_reported(used, pinned=price, book=book, day=day)
    if row.is_open and UNPRICED_TOOL in flags.split():
        raise InvalidInput(f"usage: it has a tool that has no price for {price.model}.", field="usage")
    cost = sum(part.cost.total for part in usage)
    if row.is_open and cost > row.amount_nano:
        raise InvalidInput(
            f"usage: it costs {dollars(cost)} dollars, the hold is {dollars(row.amount_nano)}; nothing was settled.",
            field="usage",
        )
    answer = await parts.commits.submit(organization_id, Settle(row.id, usage, clock.now(), flags))
    if isinstance(answer, Ended) and not (answer.state == "settled" and may_have_cost(usage, answer.settled_nano)):
        raise _ended_otherwise(answer)


async def void(parts: Parts, request: Request, row: HoldRow, organization_id: str) -> None:
    """End a hold that cost nothing."""
    reason = (await hold_bodies.read(request, hold_bodies.Reason)).reason
    answer = await parts.commits.submit(organization_id, Void(row.id, reason, clock.now()))
    if isinstance(answer, Ended) and answer.state != "void":
        raise _ended_otherwise(answer)


async def extend(parts: Parts, request: Request, row: HoldRow, organization_id: str) -> None:
    """Renew the lease; a hold whose lease passes is in doubt and goes on counting."""
    seconds = (await hold_bodies.read(request, hold_bodies.Leased)).lease_seconds
    until = clock.now() + timedelta(seconds=seconds)
    answer = await parts.commits.submit(organization_id, Extend(row.id, until))
    if not isinstance(answer, Done):
        raise Conflict(f"The hold has ended: {row.state}.")


async def show(_parts: Parts, _request: Request, _row: HoldRow, _organization_id: str) -> None:
    """Change nothing."""


def of_one(verb: Verb) -> Callable[[Parts, Request], Awaitable[Response]]:
    """Return the endpoint that does *verb* to the hold in the address and answers with it as it stands."""

    async def endpoint(parts: Parts, request: Request) -> Response:
        organization_id = await _meter(parts, request)
        hold_id = request.path_params["hold_id"]
        await verb(parts, request, await _stored(parts, organization_id, hold_id), organization_id)
        return _told(await _stored(parts, organization_id, hold_id), request, status=200)

    return endpoint


class _Standing(NamedTuple):
    """A hold that stands, made now or before."""

    hold_id: str
    is_new: bool


async def _hold(parts: Parts, organization_id: str, wanted: hold_bodies.Wanted) -> tuple[_Standing | Refusal, KeyFacts]:
    for _ in range(ATTEMPTS_WITH_FRESH_FACTS):
        facts = await parts.directory.member(organization_id, wanted.member, wanted.product)
        entitle(facts)
        at, book = clock.now(), OwnBook(parts.book, facts.own_prices)
        with unpriced.told(parts, organization_id, wanted.model):
            price = book.price(wanted.model, at.date())
        bound, estimate_facts = hold_bodies.bound(wanted, price)
        named = ids.derived("hold", organization_id, facts.member_id, wanted.request_id)
        who = Attribution(
            facts.member_id, facts.seat_type or "", wanted.product, facts.cost_center, groups=facts.groups
        )
        ask = Authorize(
            hold_id=named if wanted.request_id else ids.new("hold"),
            who=who,
            model=price.model,
            price_version=price.version,
            bound=bound,
            admitted_at=at,
            facts_version=facts.version,
            clamps=False,
            lease_seconds=wanted.lease_seconds,
            evidence=evidence_of(parts, None, estimate_facts),
        )
        try:
            answer = await parts.commits.admit(organization_id, ask)
        except Undecided:
            if not wanted.request_id:  # else the caller asks again by that name
                attempt = Attempt(parts, organization_id, ask.hold_id, price, estimate_facts, book=book, day=at.date())
                parts.background(attempt.give_back(ask.admitted_at))
            raise
        if isinstance(answer, Refusal):
            return answer, facts
        if not isinstance(answer, Stale):
            return _Standing(ask.hold_id, is_new=not isinstance(answer, Ended)), facts
    raise Unavailable("The organization's settings are changing; try again.")


async def _meter(parts: Parts, request: Request) -> str:
    """Return the organization of the calling meter key."""
    facts = await parts.directory.find(credential(request.headers))
    if facts.kind != "meter":
        raise NotAllowed(f"This is a key of kind {facts.kind}; holds need a meter key, which the primary owner makes.")
    return facts.organization_id


async def _stored(parts: Parts, organization_id: str, hold_id: str) -> HoldRow:
    row = await holds.find(parts.store, organization_id, hold_id) if ids.is_id("hold", hold_id) else None
    if row is None:
        raise NotFound("There is no such hold.")
    return row


def _ended_otherwise(first: Ended) -> Conflict:
    return Conflict(f"The hold had ended before: {first.state} at {dollars(first.settled_nano or 0)} dollars.")


def _told(row: HoldRow, request: Request, *, status: int) -> Response:
    facts = {
        "type": "hold",
        "id": row.id,
        "state": row.state,
        "member": row.who.member_id,
        "product": row.who.product,
        "model": row.model,
        "price_version": row.price_version,
        "max_tokens": row.max_output,
        "reserved_nano": row.reserved_nano,
        "held_nano": row.amount_nano if row.is_open else 0,
        "settled_nano": row.settled_nano,
        "reason": row.end_reason,
        "admitted_at": clock.text(clock.from_timestamp(row.admitted_at_us)),
        "lease_until": clock.text(clock.from_timestamp(row.lease_until_us)),
    }
    return JSONResponse(facts, status, {"request-id": request.state.request_id, "cache-control": "no-store"})
