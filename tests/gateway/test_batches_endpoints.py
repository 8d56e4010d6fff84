"""Message batches: held as a whole at half price, settled by each result, seen by their owner alone."""

import asyncio
import json
from typing import Any

import aiohttp
import anthropic
import pytest

from tokenpool.kernel.errors import Unavailable
from tokenpool.limits import message_batches
from tokenpool.limits.models import BatchRequest, Hold, MessageBatch
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import seats

from .batch_provider import (
    BOUND,
    HALF,
    PATH,
    Batches,
    broken,
    call,
    created,
    requests_of,
    speaking_batches,
    succeeded,
    watched,
)
from .conftest import BODY, MODEL, USAGE, Gate


@pytest.fixture
def batches(gate: Gate) -> Batches:
    """Return the scripted provider, speaking batches."""
    return speaking_batches(gate)


async def test_a_batch_is_held_as_a_whole_and_settled_by_each_result(gate: Gate, batches: Batches) -> None:
    """Three at half price: one succeeds, one errs, one expires; one event, and nothing is held any more."""
    batches.outcomes = [succeeded(), {"type": "errored", "error": {"type": "error"}}, {"type": "expired"}]
    batch_id = await created(gate, 3)
    held = gate.account()
    batches.ended.update(batches.sent)

    status, text = await call(gate, "GET", f"{PATH}/{batch_id}/results")

    assert (0, 3 * BOUND) == held
    assert (200, (HALF, 0)) == (status, gate.account())
    assert ["r0", "r1", "r2"] == [json.loads(line)["custom_id"] for line in text.splitlines()]
    event = UsageEvent.objects.get()
    assert (HALF, True, "", "r0") == (event.cost_nano, event.batch, event.flags, custom_id_of(event))
    assert ["batch request errored", "batch request expired", ""] == sorted(
        Hold.objects.values_list("end_reason", flat=True), key=lambda reason: (reason == "", reason)
    )
    assert [] == broken()


def custom_id_of(event: UsageEvent) -> str:
    """Return what the client called the request of an event."""
    return BatchRequest.objects.get(hold_id="hold_" + event.request_id.removeprefix("req_")).custom_id


async def test_every_byte_but_the_names_reaches_the_provider_as_it_came(gate: Gate, batches: Batches) -> None:
    """Odd spaces, escapes and unknown fields pass; each request bears the name of its hold."""
    raw = json.dumps(requests_of(1)).replace('"r0"', ' "r\\u0030" ').replace("{", '{"future": 1.50, ', 1)

    status, _ = await call(gate, "POST", PATH, raw.encode())

    hold = Hold.objects.get()
    assert (200, 1) == (status, len(batches.sent))
    assert raw.replace(' "r\\u0030" ', f' "{hold.id.removeprefix("hold_")}" ').encode() == gate.provider.seen[0][2]


async def test_a_batch_that_does_not_fit_is_refused_as_a_whole(gate: Gate, batches: Batches) -> None:
    """Of a thousand requests $10 covers 900 and the batch is refused; nothing is held, the provider hears nothing."""
    gate.org.limit("organization", BOUND * 900 // 10**9 + 1)

    refused, body = await call(gate, "POST", PATH, requests_of(1000))
    fitting, _ = await call(gate, "POST", PATH, requests_of(900))

    assert (429, "tokenpool_organization_limit_reached") == (refused, body["error"]["details"]["error_code"])
    assert (200, 900 * BOUND) == (fitting, gate.account()[1])
    assert [f"POST {PATH}"] == batches.asked
    assert (900, 1) == (Hold.objects.count(), MessageBatch.objects.count())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "requests"),
        ({"requests": []}, "requests"),
        ({"requests": {}}, "requests"),
        ({"requests": [1]}, "requests.0"),
        ({"requests": [{"custom_id": "a"}]}, "requests.0.params"),
        ({"requests": [{"custom_id": "a b", "params": BODY}]}, "requests.0.custom_id"),
        ({"requests": [{"custom_id": "a", "params": BODY}] * 2}, "requests"),
        (requests_of(2, container="c"), "requests.0.params.container"),
        (requests_of(1, speed="fast"), "requests.0.params.speed"),
        (requests_of(1, max_tokens=-1), "requests.0.params.max_tokens"),
        (requests_of(1, model="claude-unknown-9"), "requests.0.params.model"),
        (b'{"requests": [], "requests": []}', None),
        (b"[]", None),
        (b'{"requests": []} x', None),
        (b"\xff", None),
        (b'{"requests": [{"custom_id": "a", "params": ' + b"[" * 100_000, None),
    ],
)
async def test_what_is_wrong_is_named_and_costs_nothing(gate: Gate, batches: Batches, body: Any, field: str) -> None:
    """400 with the request and its field; no hold, no batch, nothing sent."""
    status, answer = await call(gate, "POST", PATH, body)

    assert (400, "invalid_request_error") == (status, answer["error"]["type"])
    assert field == answer["error"].get("details", {}).get("field")
    assert (0, 0, []) == (Hold.objects.count(), MessageBatch.objects.count(), batches.asked)


async def test_more_requests_than_the_setting_allows_are_refused(gate: Gate, batches: Batches) -> None:
    """Three where two may be: the sentence names the number."""
    gate.parts.most_in_batch = 2

    status, answer = await call(gate, "POST", PATH, requests_of(3))

    assert (400, True) == (status, answer["error"]["message"].startswith("requests: at most 2 in one batch here"))
    assert [] == batches.asked


async def test_results_bill_once_however_often_they_are_read(gate: Gate, batches: Batches) -> None:
    """Twice by the client, four times at once, and by the watch: two events, two halves."""
    batch_id = await created(gate)
    batches.ended.update(batches.sent)

    await asyncio.gather(*(call(gate, "GET", f"{PATH}/{batch_id}/results") for _ in range(4)), watched(gate))
    status, text = await call(gate, "GET", f"{PATH}/{batch_id}/results")

    assert (200, 2, (2 * HALF, 0)) == (status, UsageEvent.objects.count(), gate.account())
    assert 2 == len(text.splitlines())


async def test_results_leave_after_their_settlement(
    gate: Gate, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away: 503 and not a line; later the same results bill once."""
    batch_id = await created(gate)
    batches.ended.update(batches.sent)
    submit = gate.parts.commits.submit

    async def away(*_: object) -> object:
        raise Unavailable("The database is away.")

    monkeypatch.setattr(gate.parts.commits, "submit", away)
    first, _ = await call(gate, "GET", f"{PATH}/{batch_id}/results")
    monkeypatch.setattr(gate.parts.commits, "submit", submit)
    second, _ = await call(gate, "GET", f"{PATH}/{batch_id}/results")

    assert (503, 200, (2 * HALF, 0)) == (first, second, gate.account())


async def test_results_that_break_off_are_settled_by_whoever_reads_them_whole(gate: Gate, batches: Batches) -> None:
    """After one line of three the client hears 502 and all stay held; of 600, what had come by then is settled."""
    small, large = await created(gate, 3), await created(gate, 600)
    batches.ended.update(batches.sent)
    batches.results, batches.cut_after = "cut", 1
    broken, _ = await call(gate, "GET", f"{PATH}/{small}/results")
    after_small = gate.account()
    batches.cut_after = 300
    with pytest.raises(aiohttp.ClientPayloadError):
        await call(gate, "GET", f"{PATH}/{large}/results")
    after_large = gate.account()
    batches.results = 200
    for batch_id in (small, large):
        await call(gate, "GET", f"{PATH}/{batch_id}/results")

    assert (502, (0, 603 * BOUND)) == (broken, after_small)
    assert (256 * HALF, 347 * BOUND) == after_large
    assert (603 * HALF, 0) == gate.account()


@pytest.mark.parametrize(
    ("outcome", "cost", "flags"),
    [
        (succeeded({**USAGE, "service_tier": "standard"}), HALF, ""),
        (succeeded({**USAGE, "inference_geo": "us"}), HALF * 11 // 10, ""),
        ({**succeeded(stop_reason="refusal", content=[]), "_": 0}, 0, None),
        ({"type": "canceled"}, 0, None),
        ({"type": "something_new"}, None, None),
    ],
)
async def test_what_an_outcome_costs(
    gate: Gate, batches: Batches, outcome: dict[str, Any], cost: int | None, flags: str | None
) -> None:
    """Batch price whatever tier is told, US by its factor; refusals, cancellations free; unknown kinds stay held."""
    if cost == 0 and outcome["type"] == "succeeded":
        outcome["message"]["usage"] = {**USAGE, "output_tokens": 0}
    batches.outcomes = [outcome]
    batch_id = await created(gate, 1)
    batches.ended.update(batches.sent)

    await call(gate, "GET", f"{PATH}/{batch_id}/results")

    event = UsageEvent.objects.first()
    assert (cost or 0, BOUND if cost is None else 0) == gate.account()
    assert flags == (event.flags if event else None)


async def test_a_succeeded_result_without_usage_is_an_estimate(gate: Gate, batches: Batches) -> None:
    """Its input bound and its bytes, at half price and flagged."""
    batches.outcomes = [succeeded({"input_tokens": -1, "output_tokens": 2})]
    batch_id = await created(gate, 1)
    batches.ended.update(batches.sent)

    await call(gate, "GET", f"{PATH}/{batch_id}/results")

    event = UsageEvent.objects.get()
    assert ("estimated no_usage", len(json.dumps(BODY)) + 4_000, 100) == (
        event.flags, event.input_tokens, event.output_tokens,
    )  # fmt: skip
    assert (BOUND, 0) == gate.account()


async def test_a_batch_is_its_members_own(gate: Gate, batches: Batches) -> None:
    """To a colleague and to another organization it is not there, in no verb, and in no list."""
    batch_id = await created(gate)
    colleague = gate.org.key(gate.org.farid, "chat")
    paths = [("GET", ""), ("POST", "/cancel"), ("GET", "/results"), ("DELETE", "")]

    answers = [await call(gate, method, f"{PATH}/{batch_id}{verb}", key=colleague) for method, verb in paths]
    _, listed = await call(gate, "GET", PATH, key=colleague)
    _, own = await call(gate, "GET", PATH)
    theirs, _ = await call(gate, "GET", f"{PATH}/{next(iter(batches.sent))}")

    assert {(404, "There is no such batch.")} == {(status, body["error"]["message"]) for status, body in answers}
    assert {"data": [], "has_more": False, "first_id": None, "last_id": None} == listed
    assert ([batch_id], 404) == ([one["id"] for one in own["data"]], theirs)
    assert [f"POST {PATH}"] == batches.asked


async def test_the_list_has_pages(gate: Gate, batches: Batches) -> None:
    """Newest first, forwards and backwards; a limit that is none is refused."""
    made = []
    for _ in range(5):
        made.append(await created(gate, 1))
        await asyncio.sleep(0.002)
    newest = made[::-1]

    def told(answer: Any) -> tuple[list[str], bool]:
        return [one["id"] for one in answer[1]["data"]], answer[1]["has_more"]

    assert (newest[:2], True) == told(await call(gate, "GET", f"{PATH}?limit=2"))
    assert (newest[2:4], True) == told(await call(gate, "GET", f"{PATH}?limit=2&after_id={newest[1]}"))
    assert (newest[1:3], True) == told(await call(gate, "GET", f"{PATH}?limit=2&before_id={newest[3]}"))
    assert (newest[4:], False) == told(await call(gate, "GET", f"{PATH}?after_id={newest[3]}"))
    assert [400, 400, 400] == [
        (await call(gate, "GET", f"{PATH}?{query}"))[0] for query in ("limit=0", "limit=x", "after_id=a&before_id=b")
    ]


async def test_results_are_found_at_our_address(gate: Gate, batches: Batches) -> None:
    """Nobody asks the provider's host; behind https it is the public address of the settings."""
    batch_id = await created(gate)
    batches.ended.update(batches.sent)

    _, plain = await call(gate, "GET", f"{PATH}/{batch_id}")
    gate.parts.public_url = "https://tokens.example"
    _, public = await call(gate, "GET", f"{PATH}/{batch_id}")

    assert (f"{gate.url}{PATH}/{batch_id}/results", batch_id) == (plain["results_url"], plain["id"])
    assert f"https://tokens.example{PATH}/{batch_id}/results" == public["results_url"]


async def test_a_batch_is_deleted_only_after_its_settlement(gate: Gate, batches: Batches) -> None:
    """Under way: 409. Ended and never read: settled first, then deleted there and gone here; its events stay."""
    batch_id = await created(gate)

    early, _ = await call(gate, "DELETE", f"{PATH}/{batch_id}")
    batches.ended.update(batches.sent)
    batches.results = 500
    unreadable, _ = await call(gate, "DELETE", f"{PATH}/{batch_id}")
    batches.results = 200
    done, body = await call(gate, "DELETE", f"{PATH}/{batch_id}")
    gone, _ = await call(gate, "GET", f"{PATH}/{batch_id}")

    assert [409, 409, 200, 404] == [early, unreadable, done, gone]
    assert {"id": batch_id, "type": "message_batch_deleted"} == body
    assert ({}, (2 * HALF, 0)) == (batches.sent, gate.account())


async def test_a_seat_without_the_product_makes_no_batch(gate: Gate, batches: Batches) -> None:
    """403 as with messages; and a key that is unknown 401."""
    seats.assign(by=gate.org.ada, member_id=gate.org.elena.member_id, seat_type="chat")
    refused, _ = await call(gate, "POST", PATH, requests_of(1))
    unknown, _ = await call(gate, "GET", PATH, key="tp-chat-unknown")

    assert ([403, 401], []) == ([refused, unknown], batches.asked)


async def test_the_official_sdk_makes_reads_and_deletes_a_batch(gate: Gate, batches: Batches) -> None:
    """2.12: create, list, retrieve, cancel, results from the address it is told, delete."""
    async with anthropic.AsyncAnthropic(base_url=gate.url, api_key=gate.key) as client:
        api = client.messages.batches
        made = await api.create(requests=[{"custom_id": "one", "params": BODY}])  # type: ignore[typeddict-item]
        listed = [one.id async for one in api.list()]
        await api.cancel(made.id)
        batches.ended.update(batches.sent)
        found = [one async for one in await api.results(made.id)]
        beta = await client.beta.messages.batches.retrieve(made.id)
        deleted = await api.delete(made.id)

    assert ([made.id], "one", "ended") == (listed, found[0].custom_id, beta.processing_status)
    result = found[0].result
    assert (7, made.id) == (result.message.usage.output_tokens if result.type == "succeeded" else 0, deleted.id)
    assert (HALF, 0) == gate.account()


async def test_models_of_two_providers_are_two_batches(bilingual: Gate) -> None:
    """A model that is served in the other format is refused by its place; nothing is held."""
    body = {"requests": [{"custom_id": "a", "params": {**BODY, "model": "nobodys"}}]}
    bilingual.parts.upstreams.speaking("anthropic")[0].models = (MODEL,)

    status, answer = await call(bilingual, "POST", PATH, body)

    assert (400, "requests.0.params.model") == (status, answer["error"]["details"]["field"])
    assert 0 == Hold.objects.count()


async def test_a_batch_with_an_idempotency_key_is_made_once(gate: Gate, batches: Batches) -> None:
    """The same key twice at once and once later: one batch, 409 for the others, one hold for each request."""
    headers = {"x-api-key": gate.key, "content-type": "application/json", "idempotency-key": "once"}

    async def send() -> int:
        async with gate.session.post(gate.url + PATH, json=requests_of(2), headers=headers) as answer:
            return answer.status

    statuses = sorted([*await asyncio.gather(send(), send()), await send()])

    assert ([200, 409, 409], (0, 2 * BOUND)) == (statuses, gate.account())
    assert (1, 1) == (len(batches.sent), MessageBatch.objects.count())


async def test_the_row_of_a_batch_is_what_was_asked(gate: Gate, batches: Batches) -> None:
    """Its member, provider, both ids, how many, and open."""
    batch_id = await created(gate, 2)

    row = await message_batches.find(gate.parts.store, gate.org.organization_id, gate.org.elena.member_id, batch_id)

    assert row is not None
    assert ("provider", next(iter(batches.sent)), "open", 2) == (row.upstream, row.upstream_id, row.state, row.requests)
