"""The quote: three costs in order, and what the ledger would decide; nothing is held, written or sent."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps

from builders import DOLLAR, aurora
from tokenpool.gateway.call import OVERHEAD_TOKENS
from tokenpool.kernel import clock
from tokenpool.limits import caps
from tokenpool.limits.models import Hold, LastRefusal
from tokenpool.metering.models import DailyUsage
from tokenpool.organizations import api_keys, own_prices, seats
from tokenpool.organizations.roles import operator

from .conftest import BODY, COST, Gate

PROMPT = {"role": "user", "content": "x" * 4_000}


async def ask(
    gate: Gate, body: dict[str, Any] | bytes | None = None, *, key: str = "", query: str = ""
) -> tuple[int, dict[str, Any]]:
    """Ask for a quote and return status and answer."""
    data = body if isinstance(body, bytes) else json.dumps({**BODY, **(body or {})}).encode()
    headers = {"x-api-key": key or gate.key}
    async with gate.session.post(f"{gate.url}/v1/tokenpool/quote{query}", data=data, headers=headers) as answer:
        assert answer.headers["request-id"].startswith("req_")
        return answer.status, await answer.json()


def rows(gate: Gate) -> dict[str, list[Any]]:
    """Return everything that is stored."""
    return {model.__name__: list(model.objects.values()) for model in apps.get_models() if model._meta.managed}


async def test_a_quote_tells_three_costs_and_writes_nothing(gate: Gate) -> None:
    """The largest is the hold's, to the nano-dollar; the lowest is the body at four bytes a token and one token out."""
    body = {"max_tokens": 2000, "messages": [PROMPT]}
    size = len(json.dumps({**BODY, **body}).encode())
    before = rows(gate)

    status, told = await ask(gate, body)

    assert (200, before, []) == (status, rows(gate), gate.provider.seen)
    assert ("claude-opus-5-5@2026-09-22", "USD", True, 2000, 2000, None) == (
        told["price_version"], told["currency"], told["passes"], told["granted_max_tokens"],
        told["affordable_max_tokens"], told["binding_limit"],
    )  # fmt: skip
    assert -(-size // 4) * 4_000 + 20_000 == told["lowest_nano"]
    assert (None, None) == (told["expected_nano"], told["expected_basis"])
    gate.provider.answers()
    await gate.post(body)
    assert (await gate.at_rest()).reserved_nano == told["largest_nano"]
    assert (size + OVERHEAD_TOKENS) * 4_000 + 2000 * 20_000 == told["largest_nano"]


async def test_the_expected_cost_follows_the_members_own_habit(gate: Gate) -> None:
    """Seven tokens out on average; a body that caches falls into the classes as theirs did, others into plain input."""
    gate.provider.answers()
    for _ in range(2):
        await gate.post()
    await gate.at_rest()
    cached = [{"type": "text", "text": "x" * 4_000, "cache_control": {"type": "ephemeral"}}]
    plain, caching = {"messages": [PROMPT]}, {"messages": [{"role": "user", "content": cached}]}
    thirds = [-(-len(json.dumps({**BODY, **body}).encode()) // 3) for body in (plain, caching)]

    (_, first), (_, second) = await ask(gate, plain), await ask(gate, caching)
    DailyUsage.objects.update(day=(clock.now() - timedelta(days=30)).date().isoformat())
    _, much_later = await ask(gate, plain)

    read, written = (thirds[1] * part // 2112 for part in (2000, 100))
    assert thirds[0] * 4_000 + 7 * 20_000 == first["expected_nano"]
    assert read * 200 + written * 5_000 + (thirds[1] - read - written) * 4_000 + 140_000 == second["expected_nano"]
    assert ("model", first["lowest_nano"] < first["expected_nano"] < first["largest_nano"]) == (
        first["expected_basis"], True,
    )  # fmt: skip
    assert None is much_later["expected_nano"]


async def test_another_model_is_expected_like_those_that_were_used(gate: Gate) -> None:
    """The basis says so."""
    gate.provider.answers()
    await gate.post()
    await gate.at_rest()

    _, told = await ask(gate, {"model": "claude-haiku-5-5"})

    assert ("member", "claude-haiku-5-5") == (told["expected_basis"], told["model"])


@pytest.mark.parametrize("room", [0, 30_000_000, 60_000_000, 10 * DOLLAR])
async def test_it_says_what_the_next_request_meets(gate: Gate, room: int) -> None:
    """Refused, clamped or let through: the same as really asking, also what would fit."""
    gate.provider.answers()
    await gate.post()
    await gate.at_rest()
    caps.set_limit(by=gate.org.ada, scope="organization", basis="pool", amount_nano=COST + room)
    body = {"max_tokens": 4000}

    _, told = await ask(gate, body)
    assert 0 == LastRefusal.objects.count()
    answer = await gate.post(body)

    limit = told["binding_limit"]
    assert (COST, room, "organization", "pool") == (
        limit["spent_nano"], limit["left_nano"], limit["scope"], limit["basis"],
    )  # fmt: skip
    assert (answer.status == 200) == told["passes"]
    if answer.status == 200:
        assert Hold.objects.order_by("-id")[0].max_output == told["granted_max_tokens"]
        clamped = answer.headers.get("x-tokenpool-max-tokens")
        assert (clamped is not None) == (told["granted_max_tokens"] < 4000)
    else:
        details = (await answer.json())["error"]["details"]
        assert (details["affordable_max_tokens"], None) == (
            told["affordable_max_tokens"], told["granted_max_tokens"],
        )  # fmt: skip


async def test_an_admin_or_meter_key_asks_for_a_member(gate: Gate) -> None:
    """By id or e-mail address, with a product; nobody's of another organization."""
    there = aurora("Borealis", "borealis.example")
    gate.org.limit(f"member:{gate.org.farid.member_id}", 0, basis="each")
    keys = {kind: api_keys.mint(by=gate.org.ada, kind=kind, name=kind)[1] for kind in ("admin", "meter", "compliance")}
    query = "?member=farid@aurora.example&product=chat"

    for kind in ("admin", "meter"):
        status, told = await ask(gate, key=keys[kind], query=query)
        assert (200, gate.org.farid.member_id, "chat", False) == (
            status, told["member_id"], told["product"], told["passes"],
        )  # fmt: skip
    refused = {
        ("admin", ""): (400, "member"),
        ("meter", "?member=farid@aurora.example"): (400, "product"),
        ("meter", "?member=farid@aurora.example&product=gold"): (400, "product"),
        ("admin", f"?member={there.farid.member_id}&product=chat"): (404, "member"),
        ("admin", "?member=farid@aurora.example&product=claude_code"): (403, None),
        ("compliance", query): (403, None),
    }
    for (kind, words), (status, field) in refused.items():
        found, answer = await ask(gate, key=keys[kind], query=words)
        assert (status, field) == (found, answer["error"].get("details", {}).get("field")), words
    assert 400 == (await ask(gate, query=query))[0]
    assert 401 == (await ask(gate, key="tp-chat-nobody"))[0]


async def test_it_knows_own_prices_and_lost_seats(gate: Gate) -> None:
    """Half the list halves every figure; without the seat there is no quote."""
    _, full = await ask(gate)
    by = operator(gate.org.organization_id, "Olga")
    own_prices.set_price(
        by=by, book=gate.parts.book, effective_from=clock.now().date(), ppm=-500_000, reason="x"
    )  # fmt: skip
    _, half = await ask(gate)
    seats.assign(by=gate.org.ada, member_id=gate.org.elena.member_id, seat_type="chat")

    assert [full[name] // 2 for name in ("lowest_nano", "largest_nano")] == [
        half[name] for name in ("lowest_nano", "largest_nano")
    ]
    assert 403 == (await ask(gate))[0]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None),
        (b'{"model": 1, "model": 2}', "model"),
        ({"model": "gpt-9"}, "model"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"container": "c"}, "container"),
        ({"speed": "fast", "model": "claude-haiku-5-5"}, "speed"),
        ({"tools": [{"type": "web_search_20250305", "name": "s"}]}, "tools"),
    ],
)
async def test_what_the_gateway_refuses_has_no_quote(gate: Gate, body: Any, field: str | None) -> None:
    """400 with the field; nothing stored."""
    before = rows(gate)

    status, answer = await ask(gate, body)

    assert (400, field) == (status, answer["error"].get("details", {}).get("field"))
    assert before == rows(gate)


async def test_web_searches_are_in_the_largest_cost_alone(gate: Gate) -> None:
    """Five of them: five cents, and the context read again each time."""
    tools = [{"type": "web_search_20250305", "name": "s", "max_uses": 5}]

    (_, without), (_, with_) = await ask(gate), await ask(gate, {"tools": tools})

    assert with_["largest_nano"] > without["largest_nano"] + 50_000_000
    assert with_["lowest_nano"] < without["lowest_nano"] + 1_000_000


async def test_a_member_whom_no_database_can_know_is_nobody(gates: tuple[Gate, Gate]) -> None:
    """NUL is no text to PostgreSQL."""
    key = api_keys.mint(by=gates[0].org.ada, kind="meter", name="Meter")[1]
    path = f"{gates[0].url}/v1/tokenpool/quote?member=%00&product=claude_code"

    async with gates[0].session.post(path, json=BODY, headers={"x-api-key": key}) as answer:
        assert (404, "member") == (answer.status, (await answer.json())["error"]["details"]["field"])
