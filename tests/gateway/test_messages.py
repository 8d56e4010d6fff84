"""The walk of a request: answers unchanged, money exact, refusals before anything is sent."""

import asyncio
import json

import pytest
from aiohttp import web

from tokenpool.kernel.money import dollars
from tokenpool.limits import caps
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent
from tokenpool.notifications.models import Notice
from tokenpool.organizations import api_keys, groups, members, memberships, seats, settings
from tokenpool.organizations.models import ApiKey

from .conftest import BODY, COST, MODEL, Gate, events


async def test_an_answer_arrives_unchanged_and_costs_to_the_nano_dollar(gate: Gate) -> None:
    """12 in, 100 written, 2,000 read, 7 out on Claude Opus 5.5: $0.001088."""
    gate.provider.answers(**{"anthropic-ratelimit-unified-status": "rejected", "anthropic-organization-id": "org-9"})

    labels = {"x-tokenpool-project": "apollo", "x-claude-code-session-id": "s-1", "x-claude-code-agent-id": "a-7"}
    answer = await gate.post(**{"anthropic-beta": "a-2026,b-2026", "cookie": "x=1"}, **labels)

    assert 200 == answer.status
    assert "Hello there" == (await answer.json())["content"][0]["text"]
    event = UsageEvent.objects.get()
    assert ("0.001088", "apollo", "s-1", "a-7", "claude_code", "") == (
        dollars(event.cost_nano),
        event.project,
        event.session_id,
        event.agent_id,
        event.product,
        event.flags,
    )
    assert (COST, 0) == gate.account(f"member:{gate.org.elena.member_id}") == gate.account()
    assert event.request_id == answer.headers["request-id"]
    assert "allowed" == answer.headers["anthropic-ratelimit-unified-status"]
    assert "anthropic-organization-id" not in answer.headers


async def test_the_provider_sees_the_same_bytes_and_only_allowed_headers(gate: Gate) -> None:
    """Its own key, our caller's beta list, and nothing that tells who is calling."""
    gate.provider.answers()

    await gate.post(**{"anthropic-beta": "a-2026,b-2026", "x-forwarded-for": "10.1.2.3", "cookie": "x=1"})

    path, headers, body = gate.provider.seen[0]
    sent = {name.lower(): value for name, value in headers.items()}
    assert ("/v1/messages", json.dumps(BODY).encode()) == (path, body)
    assert ("the provider's own key", "a-2026,b-2026", "2023-06-01") == (
        sent["x-api-key"],
        sent["anthropic-beta"],
        sent["anthropic-version"],
    )
    assert not {"cookie", "x-forwarded-for", "authorization", "x-tokenpool-project"} & sent.keys()


async def test_a_stream_passes_through_and_settles_before_its_end(gate: Gate) -> None:
    """When the client has seen message_stop, the settlement is on disk."""
    gate.provider.streams(events(), pause=0.01)

    answer = await gate.post({"stream": True})

    assert b"".join(events()) == await answer.read()
    assert "settled" == Hold.objects.get().state
    assert (COST, 0) == gate.account()


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ("organization", "tokenpool_organization_limit_reached"),
        ("seat_type:chat_claude_code", "tokenpool_seat_type_limit_reached"),
        ("member", "tokenpool_member_limit_reached"),
    ],
)
async def test_a_request_over_a_limit_is_refused_by_name_and_raised_passes(gate: Gate, scope: str, code: str) -> None:
    """429 with the contract's body and headers, nothing sent; after the raise the next one passes."""
    gate.provider.answers()
    basis = "pool" if scope != "member" else "each"
    scope = f"member:{gate.org.elena.member_id}" if scope == "member" else scope
    gate.org.limit(scope, 0, basis=basis)

    refused = await gate.post()

    error = (await refused.json())["error"]
    assert (429, "billing_error", code, "0.00") == (
        refused.status, error["type"], error["details"]["error_code"], error["details"]["limit"],
    )  # fmt: skip
    assert "Ask Ada Rossi (ada@aurora.example)" in error["message"]
    assert ("false", "rejected", "1") == (
        refused.headers["x-should-retry"],
        refused.headers["anthropic-ratelimit-unified-status"],
        refused.headers["anthropic-ratelimit-unified-overage-surpassed-threshold"],
    )
    assert int(refused.headers["retry-after"]) > 0
    assert "anthropic-ratelimit-unified-representative-claim" not in refused.headers
    assert [] == gate.provider.seen
    gate.org.limit(scope, 5, basis=basis)
    assert 200 == (await gate.post()).status


@pytest.mark.parametrize(
    ("basis", "whose", "scope"),
    [("pool", "the Research group's monthly", "group_pool"), ("each", "the Research group's per-member monthly", None)],
)
async def test_a_groups_limit_refuses_by_its_name(gate: Gate, basis: str, whose: str, scope: str | None) -> None:
    """From the request after joining on: the group's name as it is now, its code, and that it is a pool's."""
    gate.provider.answers()
    group = groups.create(by=gate.org.ada, name="Trial")
    gate.org.limit(f"group:{group.id}", 0, basis=basis)
    assert 200 == (await gate.post()).status
    memberships.add(by=gate.org.ada, group_id=group.id, members=[gate.org.elena.member_id])
    groups.change(by=gate.org.ada, group_id=group.id, name="Research")

    refused = await gate.post()

    error = (await refused.json())["error"]
    assert (429, "billing_error", "tokenpool_group_limit_reached") == (
        refused.status, error["type"], error["details"]["error_code"],
    )  # fmt: skip
    assert f"Spending is blocked: {whose} spend limit is $0. Ask Ada Rossi (ada@aurora.example)" in error["message"]
    assert scope == refused.headers.get("anthropic-ratelimit-unified-overage-scope")
    memberships.remove(by=gate.org.ada, group_id=group.id, members=[gate.org.elena.member_id])
    assert 200 == (await gate.post()).status


async def test_a_group_deleted_under_a_running_request_is_settled_with_it(gate: Gate) -> None:
    """The hold was counted in the group, so is its cost; its limit's thresholds went with the limit."""
    sent, opened = asyncio.Event(), asyncio.Event()
    gate.provider.answers()
    answer = gate.provider.script
    assert answer is not None
    group = groups.create(by=gate.org.ada, name="Research")
    memberships.add(by=gate.org.ada, group_id=group.id, members=[gate.org.elena.member_id])
    gate.org.limit(f"group:{group.id}", 5)

    async def script(request: web.Request) -> web.StreamResponse:
        sent.set()
        await opened.wait()
        return await answer(request)

    gate.provider.script = script
    running = asyncio.create_task(gate.post())
    await sent.wait()
    held = gate.account(f"group:{group.id}")
    caps.delete_group(by=gate.org.ada, group_id=group.id)
    opened.set()

    assert 200 == (await running).status
    await gate.at_rest()
    assert held[1] > 0
    assert (COST, 0) == gate.account(f"group:{group.id}") == gate.account()
    assert 200 == (await gate.post()).status
    assert ((COST, 0), (2 * COST, 0)) == (gate.account(f"group:{group.id}"), gate.account())


async def test_the_refusal_can_be_402(gate: Gate) -> None:
    """By the organization's setting, on the next request."""
    gate.org.limit("organization", 0)
    settings.change(by=gate.org.ada, refusal_status=402)

    assert 402 == (await gate.post()).status


async def test_the_last_dollars_stay_usable_by_clamping(gate: Gate) -> None:
    """$1 does not cover 128,000 output tokens: what fits is forwarded and announced, all else as it was."""
    gate.provider.answers()
    gate.org.limit("organization", 1)

    answer = await gate.post({"max_tokens": 128_000})

    clamped = int(answer.headers["x-tokenpool-max-tokens"])
    assert 200 == answer.status
    assert 48_000 < clamped < 50_000
    assert {**BODY, "max_tokens": clamped} == json.loads(gate.provider.seen[0][2])
    settings.change(by=gate.org.ada, clamps_max_tokens=False)
    refused = await gate.post({"max_tokens": 128_000})
    assert 429 == refused.status
    assert 48_000 < (await refused.json())["error"]["details"]["affordable_max_tokens"] < 50_000


async def test_warnings_begin_at_three_quarters(gate: Gate) -> None:
    """Utilization in two decimals, the threshold that was passed; a notice of 75 %, at 160 % one of 100 % alone."""
    gate.provider.answers({"input_tokens": 0, "output_tokens": 40_000})
    gate.org.limit("organization", 1)
    first = await gate.post()

    second = await gate.post()

    assert "allowed" == first.headers["anthropic-ratelimit-unified-status"]
    assert ("allowed_warning", "0.80", "0.75") == tuple(
        second.headers[f"anthropic-ratelimit-unified-{name}"]
        for name in ("status", "overage-utilization", "overage-surpassed-threshold")
    )
    await gate.at_rest()
    assert [(75, False), (90, True), (100, False)] == sorted(
        (json.loads(n.facts)["percent"], n.silent) for n in Notice.objects.all()
    )


async def test_a_lost_seat_type_is_refused_from_the_next_request_on(gate: Gate) -> None:
    """403 that names the seat type and whom to ask."""
    gate.provider.answers()
    before = (await gate.post()).status
    seats.assign(by=gate.org.ada, member_id=gate.org.elena.member_id, seat_type="chat")

    refused = await gate.post()

    error = (await refused.json())["error"]
    assert (200, 403, "permission_error") == (before, refused.status, error["type"])
    assert "Your seat type is Chat; it does not include Claude Code. Ask Ada Rossi" in error["message"]


async def test_a_removed_members_key_is_nothing(gate: Gate) -> None:
    """401 and no retry."""
    members.remove(by=gate.org.ada, member_id=gate.org.elena.member_id)

    refused = await gate.post()

    assert (401, "false") == (refused.status, refused.headers["x-should-retry"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"model": "a", "model": "b"}', "key “model” twice"),
        (b'{"model": "claude-opus-5-5", "max_tokens": NaN}', "NaN, which is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"max_tokens": 5}', "model: must be"),
        ({"max_tokens": None}, "max_tokens: must be a whole number"),
        ({"max_tokens": -1}, "max_tokens: must be a whole number"),
        ({"max_tokens": 1e18}, "max_tokens: must be a whole number"),
        ({"max_tokens": 10**18}, "max_tokens: must be a whole number"),
        ({"max_tokens": "7"}, "max_tokens: must be a whole number"),
        ({"max_tokens": True}, "max_tokens: must be a whole number"),
        ({"model": "claude-opus-55"}, "nearest known are"),
        ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers: its cost cannot be bounded"),
        ({"fallbacks": ["claude-fable-5"]}, "fallbacks: its cost cannot be bounded"),
        ({"service_tier": "flex"}, "service_tier: “flex” has no price; the known ones are auto and standard_only"),
        ({"speed": "turbo"}, "speed: “turbo” has no price; the known ones are standard and fast"),
        ({"inference_geo": "eu"}, "inference_geo: “eu” has no price; the known ones are global and us"),
        ({"inference_geo": ["us"]}, "inference_geo: “['us']” has no price"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "needs max_uses"),
        ({"tools": [{"type": "code_execution_20250825", "name": "x"}]}, "cannot be bounded beforehand"),
        ({"context_management": {"edits": [{"type": "rewrite_20270101"}]}}, "may bill more than is held"),
        ({"model": "claude-haiku-4-5", "speed": "fast"}, "fast mode has no price"),
    ],
)
async def test_bad_input_is_named_and_touches_no_money(gate: Gate, body: object, said: str) -> None:
    """400, one sentence, nothing held, nothing sent."""
    answer = await gate.post(body)

    assert 400 == answer.status
    assert said in (await answer.json())["error"]["message"]
    assert ([], (0, 0)) == (gate.provider.seen, gate.account())


async def test_two_credentials_are_one_too_many(gate: Gate) -> None:
    """Even if they are the same."""
    answer = await gate.post(authorization=f"Bearer {gate.key}")

    assert (400, "Send one credential") == (answer.status, (await answer.json())["error"]["message"][:19])


async def test_a_key_of_another_kind_calls_no_model(gate: Gate) -> None:
    """An admin key administers."""
    from tokenpool.organizations import api_keys  # noqa: PLC0415

    _, secret = api_keys.mint(by=gate.org.ada, kind="admin", name="Ops")

    assert 403 == (await gate.post(key=secret)).status


async def test_a_body_over_the_cap_is_not_parsed(gate: Gate) -> None:
    """413 before anything else."""
    answer = await gate.post(b"x" * (32 * 2**20 + 1))

    assert 413 == answer.status


async def test_counting_tokens_is_free_and_never_held(gate: Gate) -> None:
    """Also at a limit of zero."""
    gate.org.limit("organization", 0)
    gate.provider.answers()

    answer = await gate.session.post(
        f"{gate.url}/v1/messages/count_tokens?beta=true", json=BODY, headers={"authorization": f"Bearer {gate.key}"}
    )

    assert (200, "/v1/messages/count_tokens?beta=true", 0) == (
        answer.status,
        gate.provider.seen[0][0],
        Hold.objects.count(),
    )


async def test_a_wide_bound_holds_at_least_what_is_used(gate: Gate) -> None:
    """The hold of a cached body is priced at the dearest class it can trigger."""
    gate.provider.answers()
    system = [{"type": "text", "text": "x" * 9000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]

    await gate.post({"system": system})

    hold = Hold.objects.get()
    assert MODEL == hold.model
    assert hold.reserved_nano > 9000 * 8_000
    assert hold.settled_nano == COST


async def test_a_key_revoked_between_two_requests_is_refused_though_its_facts_are_remembered(
    gate: Gate,
) -> None:
    """401, nothing sent, nothing held: the ledger finds the facts outdated, and they are read again."""
    gate.provider.answers()
    await gate.post()
    key = ApiKey.objects.get(key_hash=api_keys.hash_key(gate.key))
    api_keys.revoke(by=gate.org.ada, key_id=key.id)

    answer = await gate.post()

    assert (401, 1, 1) == (answer.status, len(gate.provider.seen), Hold.objects.count())
