"""`POST /v1/tokenpool/quote`: what a request would cost and whether it would pass now; nothing is held or sent.

The largest figure is the hold's own bound. The other two are estimates, of the same body: a token
is at most one byte for the largest, three bytes for the expected, four for the lowest cost.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tokenpool.gateway.anthropic import MESSAGES
from tokenpool.gateway.authenticate import credential, entitle
from tokenpool.gateway.call import IMAGE_TOKENS, Call
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.priced import Priced, price_now
from tokenpool.gateway.received import attribution, read_body
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import InvalidInput, NotAllowed
from tokenpool.kernel.money import dollars
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits.operations import Authorize, Held, LimitState
from tokenpool.limits.preview import Preview, preview
from tokenpool.metering.extract import BYTES_PER_TOKEN
from tokenpool.metering.habit import Habit, habit
from tokenpool.organizations.api_keys import PRODUCTS
from tokenpool.organizations.directory import KeyFacts
from tokenpool.pricing.cost import rate

BYTES_OF_A_LONG_TOKEN = 4


async def quote(parts: Parts, request: Request) -> Response:
    """Answer with the lowest, the expected and the largest cost of a body, and what would become of it now."""
    facts = await _whose(parts, request)
    entitle(facts)
    call = MESSAGES.read(await read_body(request, facts.member_id))
    priced = price_now(parts, facts, call, parts.upstreams.serving(call.model, MESSAGES.speaks))
    ask = Authorize(
        hold_id=ids.new("hold"),
        who=attribution(request, facts),
        model=priced.price.model,
        price_version=priced.price.version,
        bound=priced.bound,
        admitted_at=priced.at,
        clamps=facts.clamps,
        floor_output=call.floor_output,
    )
    found = await preview(parts.store, facts.organization_id, ask)
    usual = await habit(
        parts.store, facts.organization_id, facts.member_id, model=priced.price.model, today=priced.at.date()
    )
    told = {
        "type": "quote",
        "member_id": facts.member_id,
        "product": facts.product,
        "model": priced.price.model,
        "price_version": priced.price.version,
        "currency": "USD",
        **_costs(call, priced, usual),
        **_verdict(found, call),
    }
    return JSONResponse(told, 200, {"request-id": request.state.request_id, "cache-control": "no-store"})


async def _whose(parts: Parts, request: Request) -> KeyFacts:
    """Return the facts of the member in question: the key's own, or the one that an admin or meter key names.

    Raises:
        InvalidInput: `member` or `product` is missing, wrong, or given with a member's own key.
        NotAllowed: a kind of key that asks for nobody.
    """
    facts = await parts.directory.find(credential(request.headers))
    member, product = request.query_params.get("member", ""), request.query_params.get("product", "")
    if facts.kind == "product":
        if member or product:
            raise InvalidInput("member: a member's own key asks for its member and product alone.", field="member")
        return facts
    if facts.kind not in ("admin", "meter"):
        raise NotAllowed(f"This is a key of kind {facts.kind}; a quote needs a member's, an admin or a meter key.")
    if not member:
        raise InvalidInput(
            "member: name whose limits decide, by id or e-mail address: ?member=…&product=….", field="member"
        )
    if product not in PRODUCTS:
        raise InvalidInput(f"product: must be one of {', '.join(PRODUCTS)}.", field="product")
    return await parts.directory.member(facts.organization_id, member, product)


def _costs(call: Call, priced: Priced, usual: Habit | None) -> dict[str, object]:
    """Return the three costs in nano-dollars and dollars; the expected one is null for who has used nothing yet."""
    largest, caches = priced.bound.amount(), call.seen.cache_5m or call.seen.cache_1h
    long_tokens = _prompt(call, priced, BYTES_OF_A_LONG_TOKEN)
    rates = priced.price.band(long_tokens)
    is_read = caches and rates.cache_read < rates.input
    word = min(1, call.max_tokens)
    counts = TokenCounts(cache_read=long_tokens, output=word) if is_read else TokenCounts(long_tokens, output=word)
    lowest = min(largest, _cost(counts, call, priced))
    costs: dict[str, int | None] = {"lowest": lowest, "expected": None, "largest": largest}
    if usual is not None:
        prompt = _prompt(call, priced, BYTES_PER_TOKEN)
        like = usual.expect(prompt, most_output=call.max_tokens, caches=caches)
        costs["expected"] = min(largest, max(lowest, _cost(like, call, priced)))
    return {**_amounts(costs), "expected_basis": usual.basis if usual else None}


def _prompt(call: Call, priced: Priced, bytes_per_token: int) -> int:
    tokens = -(-call.text_bytes // bytes_per_token) + call.seen.images * IMAGE_TOKENS
    return min(tokens, priced.prompt_tokens)


def _cost(counts: TokenCounts, call: Call, priced: Priced) -> int:
    return rate(counts, priced.price, us_only=call.us_only, fast=call.fast).total


def _verdict(found: Preview, call: Call) -> dict[str, object]:
    granted = found.answer.max_output if isinstance(found.answer, Held) else None
    return {
        "passes": granted is not None,
        "max_tokens": call.max_tokens,
        "granted_max_tokens": granted,
        "affordable_max_tokens": found.affordable_output,
        "binding_limit": _limit(found.binding) if found.binding else None,
    }


def _limit(state: LimitState) -> dict[str, object]:
    left = max(0, state.left_nano)
    return {
        "id": state.limit_id,
        "scope": state.scope,
        "basis": state.basis,
        "window": state.window,
        "resets_at": clock.text(state.resets_at),
        **_amounts({"limit": state.limit_nano, "spent": state.spent_nano, "held": state.held_nano, "left": left}),
    }


def _amounts(named: Mapping[str, int | None]) -> dict[str, object]:
    """Return each amount in nano-dollars and in dollars."""
    told: dict[str, object] = {}
    for name, nano in named.items():
        told |= {f"{name}_nano": nano, name: None if nano is None else dollars(nano)}
    return told
