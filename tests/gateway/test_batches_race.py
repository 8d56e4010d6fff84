"""Two processes on one database: batches race for the last dollar, are looked after by both, are billed once."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from django.db import connections

from tokenpool.gateway.batches.watch import Watch
from tokenpool.limits import caps
from tokenpool.limits.models import Hold, MessageBatch
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import members

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
)
from .conftest import COST, MESSAGE, USAGE, Gate, Provider


@pytest.fixture
def batches(gates: tuple[Gate, Gate]) -> Batches:
    """Return the scripted provider of both, speaking batches."""
    return speaking_batches(gates[0])


async def apart(work: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Do what may wait for a lock in a thread, on a connection of its own."""

    def done() -> Any:
        try:
            return work(*args, **named)
        finally:
            connections["default"].close()

    return await asyncio.to_thread(done)


async def both_look(first: Gate, second: Gate) -> None:
    """Let both processes look at every batch that is not over, at once."""
    await apart(MessageBatch.objects.filter(look_at_us__isnull=False).update, look_at_us=0)
    await asyncio.gather(*(Watch(gate.parts).run_once() for gate in (first, second)))


async def test_two_processes_bill_a_batch_once(gates: tuple[Gate, Gate], batches: Batches) -> None:
    """Results read by two clients in two processes while both watch: 600 events; a lost one is found by either."""
    first, second = gates
    batch_id = await created(first, 600)
    held = first.account()
    batches.ended.update(batches.sent)
    path = f"{PATH}/{batch_id}/results"
    _, one, two = await asyncio.gather(both_look(first, second), *(call(gate, "GET", path) for gate in (first, second)))
    batches.create = "lost"
    await call(second, "POST", PATH, requests_of(2))
    batches.ended.update(batches.sent)
    for _ in range(3):
        await both_look(first, second)

    assert ((0, 600 * BOUND), (602 * HALF, 0)) == (held, first.account())
    assert ((200, 200), 602) == ((one[0], two[0]), UsageEvent.objects.count())
    assert {"settled"} == set(MessageBatch.objects.values_list("state", flat=True))
    assert [] == broken()


async def test_batches_and_messages_race_for_the_last_dollar(gates: tuple[Gate, Gate], batches: Batches) -> None:
    """Twenty batches of five and thirty messages in two processes while the limit goes down and up: never above it.

    Whatever was held reached the provider, nothing else did; each is billed once.
    """
    first, second = gates
    opened = asyncio.Event()
    _with_messages(first.provider, batches, opened)
    most = 60 * BOUND
    limit = {"by": first.org.ada, "scope": "organization", "basis": "pool"}
    await apart(caps.set_limit, **limit, amount_nano=most)
    racing = [
        *(asyncio.create_task(call(gate, "POST", PATH, requests_of(5))) for gate in (first, second) for _ in range(10)),
        *(asyncio.create_task(_post(gate)) for gate in (first, second) for _ in range(15)),
    ]
    seen = []
    for amount in [most // 2, most] * 6:
        await apart(caps.set_limit, **limit, amount_nano=amount)
        seen.append(sum(await apart(first.account)))
        await asyncio.sleep(0.01)
    opened.set()
    statuses = [(await task)[0] for task in racing]
    peak = max(seen)
    batches.ended.update(batches.sent)
    await both_look(first, second)

    made, answered = statuses[:20].count(200), statuses[20:].count(200)
    assert {200, 429} == set(statuses)
    assert (True, made) == (0 < peak <= most, len(batches.sent))
    assert made * 5 + answered == Hold.objects.count() == UsageEvent.objects.count()
    assert (made * 5 * HALF + answered * COST, 0) == first.account()
    assert [] == broken()


async def test_a_member_who_is_removed_amid_makes_no_more(gates: tuple[Gate, Gate], batches: Batches) -> None:
    """Twenty batches in two processes, Elena removed in the middle: those before are billed, those after refused."""
    first, second = gates
    batches.pause = 0.01
    racing = [
        asyncio.create_task(_after(number * 0.01, call(gate, "POST", PATH, requests_of(3))))
        for number, gate in enumerate([first, second] * 10)
    ]
    while not batches.sent:  # noqa: ASYNC110 - what is awaited is the provider
        await asyncio.sleep(0.005)
    await apart(members.remove, by=first.org.ada, member_id=first.org.elena.member_id)
    last = await call(second, "POST", PATH, requests_of(3))
    statuses = [status for status, _ in [await task for task in racing]]
    batches.ended.update(batches.sent)
    await both_look(first, second)

    made = statuses.count(200)
    assert (401, {200, 401}, made) == (last[0], set(statuses), len(batches.sent))
    assert (3 * made, (3 * made * HALF, 0)) == (Hold.objects.count(), first.account())
    assert [] == broken()


async def test_a_cancellation_races_the_results(gates: tuple[Gate, Gate], batches: Batches) -> None:
    """A hundred done, two hundred canceled; canceled, read, shown, deleted and looked at in both processes at once."""
    first, second = gates
    batches.outcomes = [succeeded()] * 100 + [{"type": "canceled"}]
    batch_id = await created(first, 300)
    batches.ended.update(batches.sent)
    verbs = [("POST", "/cancel"), ("GET", "/results"), ("GET", ""), ("GET", "/results")]

    answers = await asyncio.gather(
        both_look(first, second),
        *(call(gate, method, f"{PATH}/{batch_id}{verb}") for gate in (first, second) for method, verb in verbs),
    )
    gone = await asyncio.gather(*(call(gate, "DELETE", f"{PATH}/{batch_id}") for gate in (first, second)))

    assert {200} == {status for status, _ in answers[1:]}
    assert {200, 404} >= {status for status, _ in gone} >= {200}
    assert (100, (100 * HALF, 0), []) == (UsageEvent.objects.count(), first.account(), broken())


async def _after(seconds: float, work: Any) -> Any:
    await asyncio.sleep(seconds)
    return await work


async def _post(gate: Gate) -> tuple[int, bytes]:
    answer = await gate.post()
    return answer.status, await answer.read()


def _with_messages(provider: Provider, batches: Batches, opened: asyncio.Event) -> None:
    """Let the provider answer single messages too, when *opened*."""

    async def script(request: web.Request) -> web.StreamResponse:
        if "batches" in request.path:
            return await batches.handle(request)
        await opened.wait()
        return web.json_response({**MESSAGE, "usage": USAGE})

    provider.script = script
