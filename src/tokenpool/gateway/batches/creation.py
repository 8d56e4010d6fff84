"""A batch on its way to the provider: all of it held or refused, sent once, and never taken for absent on a guess.

The holds and the batch are committed before the provider sees a byte. What it answers decides: taken,
refused (the holds are void), or nothing that can be believed; then the batch is unconfirmed and
`gateway/batches/watch` finds out.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tokenpool.gateway import forward, repeats, unpriced
from tokenpool.gateway.answers import envelope
from tokenpool.gateway.authenticate import credential, entitle
from tokenpool.gateway.batches import documents, ending
from tokenpool.gateway.batches.body import Body, of_request
from tokenpool.gateway.journal import evidence_of
from tokenpool.gateway.messages import ATTEMPTS_WITH_FRESH_FACTS
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.priced import Priced
from tokenpool.gateway.received import attribution, query_of
from tokenpool.gateway.upstream import Upstream, UpstreamAway, inbound, read
from tokenpool.gateway.upstreams import check_prices
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, Unavailable, Undecided
from tokenpool.kernel.money import MAX_NANO
from tokenpool.limits import message_batches
from tokenpool.limits.message_batches import BatchRow
from tokenpool.limits.operations import Authorize, Ended, Held, Refusal, Stale, Together
from tokenpool.organizations.directory import KeyFacts
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.bound import largest_cost
from tokenpool.pricing.own import OwnBook

logger = logging.getLogger("tokenpool.gateway")

PATH, PREFIX = "/v1/messages/batches", "msgbatch"
LEASE = timedelta(hours=72)  # the provider takes at most 24; then, and never for free, an estimate
PATIENCE = timedelta(minutes=18)  # with the provider's answer
SENDING = timedelta(minutes=20)  # then nobody waits for it any more, and it is looked for
LOOK = timedelta(minutes=1)
REFUSALS = (503, 529)  # besides those below 500: the provider says that it has not taken the batch
SERVER_ERROR = 500
ADOPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch that is held and about to be sent."""

    row: BatchRow
    hold_ids: tuple[str, ...]
    body: bytes


def upstream_of(parts: Parts, body: Body) -> Upstream:
    """Return the one provider of all models of a batch.

    Raises:
        InvalidInput: they have several, or a model has none.
    """
    found: list[Upstream] = []
    for model, index in body.models().items():
        with of_request(index):
            found.append(parts.upstreams.serving(model, "anthropic"))
            if found[-1] is not found[0]:
                raise InvalidInput(
                    f"model: “{model[:80]}” is served by another provider than the requests before it; "
                    "send it in a batch of its own.",
                    field="model",
                )
    return found[0]


async def hold(
    parts: Parts, request: Request, facts: KeyFacts, body: Body, upstream: Upstream
) -> tuple[Held | Refusal, KeyFacts, Together]:
    """Reserve what all requests of *body* can cost, or be refused as a whole.

    Raises:
        UnknownModel, Unbounded: one of them cannot be priced; names it.
        NotAllowed, NotAuthenticated: the facts have changed so that the batch may not go through.
        Conflict: the request's idempotency key stands for a batch that was made before.
        Unavailable: the holds could not be made durable.
    """
    batch_id = ids.twin(PREFIX, request.state.request_id)
    first_hold_id = repeats.hold_ids(request.headers, facts, request.state.request_id)[0]
    for _ in range(ATTEMPTS_WITH_FRESH_FACTS):
        at = clock.now()
        prices = _prices(parts, facts, body, upstream, at)
        found = await asyncio.to_thread(_asked, parts, request, facts, body, prices, at)
        asked = (found[0]._replace(hold_id=first_hold_id), *found[1:])
        custom_ids = tuple(one.custom_id for one in body.requests)
        ask = Together(batch_id, asked[0].who, upstream.name, asked, custom_ids, look_at=at + SENDING)
        if ask.bound.amount() > MAX_NANO:
            raise InvalidInput("requests: together they can cost more than can be counted.", field="requests")
        try:
            answer = await parts.commits.admit(facts.organization_id, ask)
        except Undecided:
            held = [one.hold_id for one in asked]
            parts.background(give_back(parts, row_of(facts, ask), held, "never sent", admitted_at=at))
            raise
        if isinstance(answer, Ended):
            raise Conflict(
                f"{repeats.HEADER}: a batch was made with this key before; it is in the list.", field=repeats.HEADER
            )
        if not isinstance(answer, Stale):
            return answer, facts, ask
        facts = await parts.directory.find(credential(request.headers))
        entitle(facts)
    raise Unavailable("The organization's settings are changing; try again.")


def row_of(facts: KeyFacts, ask: Together) -> BatchRow:
    """Return the batch of *ask* as it was written."""
    created_at_us, look_at_us = clock.timestamp(ask.admitted_at), clock.timestamp(ask.look_at)
    whose = (facts.organization_id, ask.batch_id, facts.member_id, ask.upstream)
    return BatchRow(*whose, "", "sending", len(ask.requests), created_at_us, look_at_us, None, "")


async def send(parts: Parts, request: Request, sent: Sent, upstream: Upstream, headers: dict[str, str]) -> Response:
    """Send a held batch and answer with it; from here on each hold ends by its own result."""
    row = sent.row
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            reply = await upstream.send(
                "POST", PATH, query=query_of(request), headers=request.headers, body=sent.body, stream=False
            )
    except TimeoutError:
        return await _unconfirmed(parts, request, row)
    except UpstreamAway as error:
        if error.reached:
            return await _unconfirmed(parts, request, row)
        await give_back(parts, row, sent.hold_ids, "provider away")
        raise
    if reply.status != forward.OK:
        if reply.status >= SERVER_ERROR and reply.status not in REFUSALS:
            reply.close()
            return await _unconfirmed(parts, request, row)
        await give_back(parts, row, sent.hold_ids, f"upstream answered {reply.status}")
        return await forward.relay_error(reply, upstream, {"request-id": request.state.request_id})
    try:
        document = documents.read(await read(reply))
    except (UpstreamAway, InvalidInput):
        return await _unconfirmed(parts, request, row)
    await parts.background(_adopt(parts, row, document))
    return documents.answer(parts, request, row, document, {**inbound(reply.headers), **headers})


async def give_back(
    parts: Parts, row: BatchRow, hold_ids: Sequence[str], reason: str, *, admitted_at: datetime | None = None
) -> None:
    """End the holds of a batch that the provider has not taken; if the database is away, it is found out later.

    Of a commit that was not confirmed, only holds that were admitted at *admitted_at*: one may be older.
    """
    try:
        await ending.void(parts, row, hold_ids, reason, admitted_at=admitted_at)
        await message_batches.finish(parts.store, row, "refused")
    except Unavailable:
        logger.warning("batch %s was not taken by the provider; its holds end when the database is back", row.id)


async def _unconfirmed(parts: Parts, request: Request, row: BatchRow) -> Response:
    """Write down that the provider may have the batch, and say so; an SDK must not send it again by itself."""
    try:
        await message_batches.doubt(parts.store, row, clock.timestamp(clock.now() + LOOK))
    except Unavailable:
        logger.warning("batch %s is unconfirmed; it is looked for in %s", row.id, SENDING)
    sentence = (
        f"The provider did not confirm the batch. If it has it, it is billed as it ends: look for {row.id} in the "
        "list before you send it again."
    )
    headers = {"x-should-retry": "false"}
    return envelope(502, "api_error", sentence, request_id=request.state.request_id, headers=headers)


async def _adopt(parts: Parts, row: BatchRow, document: dict[str, Any]) -> None:
    """Write down what the provider calls the batch; while the database is away, in the background."""
    look_at_us = clock.timestamp(clock.now() + LOOK)
    told = (str(document["id"]), documents.text(document), look_at_us)
    try:
        await message_batches.adopt(parts.store, row, *told)
    except Unavailable:
        logger.warning("batch %s cannot be written down as %s yet", row.id, told[0])
        parts.background(_adopt_later(parts, row, *told))


async def _adopt_later(parts: Parts, row: BatchRow, upstream_id: str, document: str, look_at_us: int) -> None:
    for _ in range(int(SENDING.total_seconds() / ADOPT_SECONDS)):  # then its results say whose it is
        await asyncio.sleep(ADOPT_SECONDS)
        try:
            return await message_batches.adopt(parts.store, row, upstream_id, document, look_at_us)
        except Unavailable:
            continue
    return None


def _prices(parts: Parts, facts: KeyFacts, body: Body, upstream: Upstream, at: datetime) -> dict[str, ModelPrice]:
    """Return the price of each model of a batch; whoever lacks one is told of it."""
    book, found = OwnBook(parts.book, facts.own_prices), dict[str, ModelPrice]()
    for model, index in body.models().items():
        with of_request(index), unpriced.told(parts, facts.organization_id, model):
            found[model] = book.price(model, at.date())
            check_prices(upstream, found[model])
    return found


def _asked(
    parts: Parts, request: Request, facts: KeyFacts, body: Body, prices: dict[str, ModelPrice], at: datetime
) -> tuple[Authorize, ...]:
    """Bound every request at the price of batches; runs beside the loop, for there may be thousands."""
    book, who, found = OwnBook(parts.book, facts.own_prices), attribution(request, facts), []
    for index, asked in enumerate(body.requests):
        price = prices[asked.call.model]
        with of_request(index):
            shape = replace(asked.call.shape(price), batch=True)
            priced = Priced(at, book, price, asked.call.prompt_tokens(price), shape, largest_cost(shape, price))
        one = Authorize(
            hold_id=ids.new("hold"),
            who=who,
            model=price.model,
            price_version=price.version,
            bound=priced.bound,
            admitted_at=at,
            facts_version=facts.version,
            lease_seconds=int(LEASE.total_seconds()),
            evidence=evidence_of(parts, None, {**priced.estimate_facts(shape.max_output), "batch": True}),
        )
        found.append(one)
    return tuple(found)
