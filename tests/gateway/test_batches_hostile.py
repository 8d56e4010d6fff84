"""Batches under attack: hostile names, bodies, results and providers; the money stays exact, the process alive."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from tokenpool.audit.models import AuditEvent
from tokenpool.gateway.batches import watch
from tokenpool.gateway.batches.watch import Watch
from tokenpool.kernel import clock
from tokenpool.limits import caps
from tokenpool.limits.models import Hold, MessageBatch
from tokenpool.metering.models import UsageEvent

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
from .conftest import BODY, MESSAGE, Gate

ESTIMATED = len(json.dumps(BODY)) + 4_000


@pytest.fixture
def batches(gate: Gate) -> Batches:
    """Return the scripted provider, speaking batches."""
    return speaking_batches(gate)


@pytest.mark.parametrize(
    "custom_id",
    [
        '"' + "a" * 65 + '"',
        '""',
        '"a\\u0000"',
        '"a\\n"',
        '"a\\ud800"',
        '"\\u0430"',
        '"a b"',
        '"../x"',
        "1",
        "null",
        '["a"]',
        "{}",
    ],
)
async def test_a_name_that_is_none_is_refused(gate: Gate, batches: Batches, custom_id: str) -> None:
    """Too long, empty, control characters, half a character, look-alikes, other kinds: 400 by its place."""
    raw = '{"requests": [{"custom_id": %s, "params": %s}]}' % (custom_id, json.dumps(BODY))  # noqa: UP031

    status, answer = await call(gate, "POST", PATH, raw.encode())

    assert (400, "requests.0.custom_id") == (status, answer["error"]["details"]["field"])
    assert (0, []) == (Hold.objects.count(), batches.asked)


async def test_a_name_that_is_the_same_when_read_stands_twice(gate: Gate, batches: Batches) -> None:
    """One is written plainly, the other with an escape; the longest name that may be is taken."""
    one = '{"custom_id": "%s", "params": ' + json.dumps(BODY) + "}"
    twice = '{"requests": [' + one % "ab" + "," + one % "\\u0061b" + "]}"
    longest = '{"requests": [' + one % ("a" * 64) + "]}"

    refused, answer = await call(gate, "POST", PATH, twice.encode())
    taken, _ = await call(gate, "POST", PATH, longest.encode())

    assert (400, "requests: the custom_id “ab” stands twice.", 200) == (refused, answer["error"]["message"], taken)


async def test_ten_thousand_requests_before_a_nearly_empty_pool(gate: Gate, batches: Batches) -> None:
    """Room for one: refused as a whole, three times; nothing held, written or sent; then the one fits."""
    caps.set_limit(by=gate.org.ada, scope="organization", basis="pool", amount_nano=BOUND)
    body = json.dumps(requests_of(10_000)).encode()

    answers = [(await call(gate, "POST", PATH, body))[0] for _ in range(3)]
    fitting, _ = await call(gate, "POST", PATH, requests_of(1))

    assert ([429] * 3, 200) == (answers, fitting)
    assert (1, 1, [f"POST {PATH}"]) == (Hold.objects.count(), MessageBatch.objects.count(), batches.asked)


def saying(gate: Gate, batches: Batches, lines: Any) -> None:
    """Let the results be what *lines* makes of the names that the provider was told."""

    async def script(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("/results"):
            return await batches.handle(request)
        names = [one["custom_id"] for one in batches.sent[request.path.split("/")[4]]["requests"]]
        return web.Response(body=lines(names), content_type="application/x-jsonl")

    gate.provider.script = script


def line(name: Any, outcome: Any = None) -> bytes:
    """Return one result."""
    return json.dumps({"custom_id": name, "result": outcome or succeeded()}).encode() + b"\n"


HOSTILE = {
    "NaN": b'{"input_tokens": NaN, "output_tokens": 1}',
    "negative": b'{"input_tokens": -5, "output_tokens": 1}',
    "infinite": b'{"input_tokens": 1, "output_tokens": 1e400}',
    "a float of 1e18": b'{"input_tokens": 1e18, "output_tokens": 1}',
    "1e18": b'{"input_tokens": 1000000000000000000, "output_tokens": 1}',
    "text": b'{"input_tokens": "12", "output_tokens": 1}',
    "true": b'{"input_tokens": true, "output_tokens": 1}',
    "null": b"null",
    "a list": b"[]",
    "iterations of nothing": b'{"input_tokens": 1, "output_tokens": 1, "iterations": [null]}',
    "zero": b'{"input_tokens": 0, "output_tokens": 0}',
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_usage_that_nobody_can_believe_is_an_estimate(gate: Gate, batches: Batches, kind: str) -> None:
    """The one beside it is billed exactly; this one by its input bound, at half price, flagged; both leave, once."""
    batch_id = await created(gate, 2)
    batches.ended.update(batches.sent)
    message = json.dumps({**MESSAGE, "usage": "?"}).encode().replace(b'"?"', HOSTILE[kind])

    def lines(names: list[str]) -> bytes:
        outcome = b'{"type": "succeeded", "message": ' + message + b"}"
        return b'{"custom_id": "' + names[0].encode() + b'", "result": ' + outcome + b"}\n" + line(names[1])

    saying(gate, batches, lines)
    await watched(gate)
    status, text = await call(gate, "GET", f"{PATH}/{batch_id}/results")

    flagged, exact = UsageEvent.objects.order_by("-flags")
    assert ("estimated no_usage", ESTIMATED, HALF) == (flagged.flags, flagged.input_tokens, exact.cost_nano)
    assert (flagged.cost_nano + HALF, 0) == gate.account()
    assert (200, True, True) == (status, '"r0"' in text, '"r1"' in text)
    assert [] == broken()


async def test_results_in_any_order_with_strangers_and_repeats(gate: Gate, batches: Batches) -> None:
    """Reversed, each three times with another usage; names of nobody, of another batch, of no kind: billed once."""
    batch_id, _other = await created(gate, 3), await created(gate, 2)
    others = [one["custom_id"] for one in list(batches.sent.values())[1]["requests"]]
    batches.ended.add(next(iter(batches.sent)))
    strangers = [*others, "nobody", "", None, 7, ["x"], {"a": 1}, "a\u0000b", "x" * 10_000]
    dear = succeeded({"input_tokens": 100_000, "output_tokens": 100})

    def lines(names: list[str]) -> bytes:
        found = [line(one) for one in strangers]
        for name in reversed(names):
            found += [line(name), line(name, dear), line(name, {"type": "errored"})]
        return b"".join(found) + b"[]\nnull\n7\nnot json\n\xff\xfe\n" + b"[" * 100_000 + b"\n{}\n"

    saying(gate, batches, lines)
    status, _ = await call(gate, "GET", f"{PATH}/{batch_id}/results")
    await watched(gate)

    assert (200, 3, (3 * HALF, 2 * BOUND)) == (status, UsageEvent.objects.count(), gate.account())
    assert {"settled", "open"} == set(MessageBatch.objects.values_list("state", flat=True))
    assert [] == broken()


@pytest.mark.parametrize(
    "outcome",
    [
        {"type": ["succeeded"]}, {"type": {}}, {"type": None}, [], "succeeded", None, 7, {},
        {"type": "succeeded"}, {"type": "succeeded", "message": []},
    ],
)  # fmt: skip
async def test_an_outcome_without_shape_harms_its_own_request_alone(gate: Gate, batches: Batches, outcome: Any) -> None:
    """The next result is billed exactly; this one stays held, or is an estimate where it says that it succeeded."""
    batch_id = await created(gate, 2)
    batches.ended.update(batches.sent)
    saying(gate, batches, lambda names: _result(names[0], outcome) + line(names[1]))

    await watched(gate)
    status, text = await call(gate, "GET", f"{PATH}/{batch_id}/results")

    held = gate.account()[1]
    assert (200, 2, 1) == (status, len(text.splitlines()), UsageEvent.objects.filter(cost_nano=HALF).count())
    assert held == (0 if isinstance(outcome, dict) and outcome.get("type") == "succeeded" else BOUND)
    assert [] == broken()


def _result(name: str, outcome: Any) -> bytes:
    return json.dumps({"custom_id": name, "result": outcome}).encode() + b"\n"


async def test_a_name_that_stands_twice_in_a_line(gate: Gate, batches: Batches) -> None:
    """The last one counts, as everywhere; the client sees its own name, and the next line is read."""
    batch_id = await created(gate, 2)
    batches.ended.update(batches.sent)
    saying(
        gate, batches,
        lambda names: b'{"custom_id": "x", ' + line(names[0]).removeprefix(b"{") + line(names[1]),
    )  # fmt: skip

    status, text = await call(gate, "GET", f"{PATH}/{batch_id}/results")

    assert (200, ["r0", "r1"]) == (status, [json.loads(one)["custom_id"] for one in text.splitlines()])
    assert (2 * HALF, 0) == gate.account()


async def test_results_that_end_in_the_middle_without_a_word(gate: Gate, batches: Batches) -> None:
    """Half of the second line, and an end as if it were whole: the first is billed, the rest held, then billed."""
    batch_id = await created(gate, 3)
    batches.ended.update(batches.sent)
    saying(gate, batches, lambda names: line(names[0]) + line(names[1])[:40])
    first, _ = await call(gate, "GET", f"{PATH}/{batch_id}/results")
    between = gate.account()
    saying(gate, batches, lambda names: b"".join(map(line, names)))

    await watched(gate)

    assert (200, (HALF, 2 * BOUND), (3 * HALF, 0), []) == (first, between, gate.account(), broken())


async def test_a_line_of_megabytes_is_billed_as_it_says(gate: Gate, batches: Batches) -> None:
    """Five megabytes of text between two small ones."""
    batch_id = await created(gate, 3)
    batches.ended.update(batches.sent)
    large = succeeded(content=[{"type": "text", "text": "x" * 5_000_000}])
    saying(gate, batches, lambda names: line(names[0]) + line(names[1], large) + line(names[2]))

    status, text = await call(gate, "GET", f"{PATH}/{batch_id}/results")

    assert (200, 3, (3 * HALF, 0)) == (status, len(text.splitlines()), gate.account())


async def test_an_absurd_bill_is_told_and_harms_no_sum(gate: Gate, batches: Batches) -> None:
    """A million million tokens each: $10,000,000 twice, in truth, audited as overruns; the sums hold."""
    batches.outcomes = [succeeded({"input_tokens": 0, "output_tokens": 10**12})]
    await created(gate, 2)
    batches.ended.update(batches.sent)

    await watched(gate)
    await gate.at_rest()

    assert ((2 * 10**16, 0), []) == (gate.account(), broken())
    overruns = [event.after for event in AuditEvent.objects.filter(action="hold_overrun")]
    assert [{"overrun_nano": 10**16 - BOUND}] * 2 == overruns


async def test_results_without_an_end_keep_no_other_batch_waiting(
    gate: Gate, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch's results drip for ever: the other is settled in the same turn, and the drip is given up in the end."""
    monkeypatch.setattr(watch, "TURN_SECONDS", 0.5)
    slow, _ = await created(gate, 1), await created(gate, 2)
    batches.ended.update(batches.sent)
    dripping = next(iter(batches.sent))

    async def script(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith(f"{dripping}/results"):
            return await batches.handle(request)
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.05)

    gate.provider.script = script
    looks, at = Watch(gate.parts), clock.now() + timedelta(minutes=2)
    with clock.standing_at(at):
        first = await looks.run_once()
        second = await looks.run_once()
    monkeypatch.setattr(watch, "LONGEST_LOOK", timedelta(seconds=0.1))
    with clock.standing_at(at):
        given_up = await Watch(gate.parts).run_once()
    with clock.standing_at(at + timedelta(minutes=2)):
        given_up += await Watch(gate.parts).run_once()
    await asyncio.wait_for(looks.close(), 1)

    assert ([1, 0, 1], (2 * HALF, BOUND)) == ([first, second, given_up], gate.account())
    assert "open" == MessageBatch.objects.get(id=slow).state


DOCUMENTS = {
    "half a character": b'{"id": "ID", "note": "\\ud800"}',
    "half a character in the id": b'{"id": "\\ud800"}',
    "NaN": b'{"id": "ID", "expires_at": NaN}',
    "infinite": b'{"id": "ID", "expires_at": 1e400}',
    "a long id": b'{"id": "' + b"x" * 201 + b'"}',
    "an id with NUL": b'{"id": "a\\u0000"}',
    "an id that is none": b'{"id": ["ID"]}',
    "a list": b'["ID"]',
    "a megabyte": b'{"id": "ID", "note": "' + b"x" * 2**20 + b'"}',
    "nested": b'{"id": "ID", "note": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "no JSON": b"<html>",
}


@pytest.mark.parametrize("kind", DOCUMENTS)
async def test_a_confirmation_that_is_no_batch_confirms_nothing(gates: tuple[Gate, Gate], kind: str) -> None:
    """502, unconfirmed, held, listed; when the provider speaks sense again it is found and settled."""
    first, second = gates
    batches = speaking_batches(first)

    async def script(request: web.Request) -> web.StreamResponse:
        answer = await batches.handle(request)
        if request.path == PATH and request.method == "POST":
            return web.Response(body=DOCUMENTS[kind], content_type="application/json")
        return answer

    first.provider.script = script
    status, answer = await call(first, "POST", PATH, requests_of(2))
    _, listed = await call(second, "GET", PATH)
    held = first.account()
    batches.ended.update(batches.sent)
    for minutes in (2, 4):
        with clock.standing_at(clock.now() + timedelta(minutes=minutes)):
            await Watch(second.parts).run_once()

    assert (502, True) == (status, "did not confirm the batch" in answer["error"]["message"])
    assert (1, (0, 2 * BOUND), (2 * HALF, 0), []) == (len(listed["data"]), held, first.account(), broken())


@pytest.mark.parametrize("kind", ["half a character", "NaN", "a megabyte", "no JSON"])
async def test_a_description_that_is_none_changes_nothing(gate: Gate, batches: Batches, kind: str) -> None:
    """502 to whoever asks; the list tells what was said last; nothing is freed."""
    batch_id = await created(gate, 1)

    async def script(request: web.Request) -> web.StreamResponse:
        return web.Response(body=DOCUMENTS[kind], content_type="application/json")

    gate.provider.script = script
    statuses = [
        (await call(gate, method, f"{PATH}/{batch_id}{verb}"))[0] for method, verb in (("GET", ""), ("POST", "/cancel"))
    ]
    await watched(gate)
    listed, body = await call(gate, "GET", PATH)

    assert ([502, 502], 200, [batch_id]) == (statuses, listed, [one["id"] for one in body["data"]])
    assert (0, BOUND) == gate.account()


@pytest.mark.parametrize(
    "name",
    [
        "%00", "msgbatch_%00", "msgbatch_" + "0" * 25 + "%00", "msgbatch_" + "0" * 26, "x" * 10_000,
        "%25", "..%2f", "'or'1'='1", "%F0%9F%98%80",
    ],
)  # fmt: skip
async def test_an_id_of_nobody_is_not_found(gates: tuple[Gate, Gate], name: str) -> None:
    """In every verb 404, on both databases, and the provider hears nothing; as a cursor it is refused."""
    gate, _ = gates
    batches = speaking_batches(gate)
    verbs = [("GET", ""), ("POST", "/cancel"), ("GET", "/results"), ("DELETE", "")]

    statuses = [(await call(gate, method, f"{PATH}/{name}{verb}"))[0] for method, verb in verbs]
    cursors = [(await call(gate, "GET", f"{PATH}?{which}={name}"))[0] for which in ("after_id", "before_id")]

    assert [404] * 4 == statuses
    assert cursors == [200 if name == "msgbatch_" + "0" * 26 else 400] * 2
    assert [] == batches.asked


async def test_a_lost_batch_is_found_behind_lines_that_say_nothing(gate: Gate, batches: Batches) -> None:
    """A list, a number, deep nesting, half a line, then the first result: its batch is found and settled."""
    batches.create = "lost"
    await call(gate, "POST", PATH, requests_of(2))
    batches.ended.update(batches.sent)
    junk = b"[]\n7\nnull\n{}\n" + b"[" * 100_000 + b'\n{"custom_id": \n\xff\n'
    saying(gate, batches, lambda names: junk + b"".join(map(line, names)))

    await watched(gate)
    await watched(gate)

    assert ((2 * HALF, 0), []) == (gate.account(), broken())


async def test_a_price_that_is_gone_harms_its_own_request_alone(gate: Gate, batches: Batches) -> None:
    """The operator's book lost a version: its request stays held, the other is billed; with the version, both are."""
    batch_id = await created(gate, 2)
    batches.ended.update(batches.sent)
    one = Hold.objects.order_by("id")[0]
    version = one.price_version
    Hold.objects.filter(id=one.id).update(price_version="gone@2026-01-01")
    status, _ = await call(gate, "GET", f"{PATH}/{batch_id}/results")
    between = gate.account()
    Hold.objects.filter(id=one.id).update(price_version=version)

    await watched(gate)

    assert (200, (HALF, BOUND), (2 * HALF, 0)) == (status, between, gate.account())
