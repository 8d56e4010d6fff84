"""Batches that nobody asks about, that nobody confirmed, and that are lost: settled, found again, never free."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError

from tokenpool.audit.models import AuditEvent
from tokenpool.gateway.batches import creation, watch
from tokenpool.gateway.batches.watch import Watch
from tokenpool.gateway.resolver import Resolver
from tokenpool.gateway.upstream import Upstream
from tokenpool.gateway.upstreams import Upstreams
from tokenpool.invoicing import close, late
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Conflict, Unavailable, Undecided
from tokenpool.kernel.period import Month
from tokenpool.limits import message_batches
from tokenpool.limits.models import Hold, MessageBatch
from tokenpool.metering.models import DailyUsage, UsageEvent
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
    watched,
)
from .conftest import BODY, Gate

ESTIMATE = (len(json.dumps(BODY)) + 4_000) * 2_000 + 50 * 10_000


@pytest.fixture
def batches(gate: Gate) -> Batches:
    """Return the scripted provider, speaking batches."""
    return speaking_batches(gate)


async def looked_at(gate: Gate, at: datetime) -> int:
    """Let a process that has just started look at what is due at *at*."""
    with clock.standing_at(at):
        return await Watch(gate.parts).run_once()


def states(_: Gate) -> list[str]:
    """Return how the batches stand."""
    return list(MessageBatch.objects.order_by("id").values_list("state", flat=True))


async def test_results_are_settled_though_nobody_asks(gate: Gate, batches: Batches) -> None:
    """Under way: looked at every minute. Ended: two events. Then never looked at again."""
    await created(gate)
    now = clock.now()

    early = await looked_at(gate, now + timedelta(seconds=30))
    running = await looked_at(gate, now + timedelta(seconds=62))
    before = gate.account()
    batches.ended.update(batches.sent)
    ended = await looked_at(gate, now + timedelta(seconds=124))
    after = await looked_at(gate, now + timedelta(days=3))

    assert [0, 1, 1, 0] == [early, running, ended, after]
    assert ((0, 2 * BOUND), (2 * HALF, 0), ["settled"]) == (before, gate.account(), states(gate))


async def test_two_processes_look_once(gate: Gate, batches: Batches) -> None:
    """Four watches at once: one asks the provider, the others see that it does."""
    await created(gate)
    batches.ended.update(batches.sent)
    at = clock.now() + timedelta(minutes=2)

    with clock.standing_at(at):
        found = await asyncio.gather(*(Watch(gate.parts).run_once() for _ in range(4)))

    assert (1, 2, (2 * HALF, 0)) == (sum(found), UsageEvent.objects.count(), gate.account())
    assert 1 == batches.asked.count(f"GET {PATH}/{next(iter(batches.sent))}/results")


async def test_a_provider_that_is_not_there_takes_nothing(gate: Gate, batches: Batches) -> None:
    """No connection: 502, every hold void at once, the batch in no list."""
    await gate.parts.upstreams.close()
    gate.parts.upstreams = Upstreams([Upstream(name="provider", url="http://127.0.0.1:9", api_key="k")])

    status, _ = await call(gate, "POST", PATH, requests_of(2))
    _, listed = await call(gate, "GET", PATH)

    assert (502, (0, 0), ["refused"], []) == (status, gate.account(), states(gate), listed["data"])
    assert {"provider away"} == set(Hold.objects.values_list("end_reason", flat=True))


@pytest.mark.parametrize("status", [400, 401, 413, 429, 503, 529])
async def test_a_batch_that_the_provider_refuses_costs_nothing(gate: Gate, batches: Batches, status: int) -> None:
    """Its answer passes; all holds are void."""
    batches.create = str(status)

    answered, body = await call(gate, "POST", PATH, requests_of(2))

    assert (status, "no", (0, 0)) == (answered, body["error"]["message"], gate.account())
    assert {f"upstream answered {status}"} == set(Hold.objects.values_list("end_reason", flat=True))


async def test_a_batch_whose_confirmation_was_lost_is_found_by_its_results(gate: Gate, batches: Batches) -> None:
    """Taken, then the line broke: held, no SDK repeats it, listed as under way; found when ended, and settled."""
    batches.create = "lost"
    async with gate.session.post(
        gate.url + PATH, json=requests_of(2), headers={"x-api-key": gate.key, "content-type": "application/json"}
    ) as answer:
        told = (answer.status, answer.headers["x-should-retry"])
        sentence = (await answer.json())["error"]["message"]
    _, listed = await call(gate, "GET", PATH)
    batch_id = listed["data"][0]["id"]
    shown, _ = await call(gate, "GET", f"{PATH}/{batch_id}")
    unknown, _ = await call(gate, "POST", f"{PATH}/{batch_id}/cancel")
    held = gate.account()
    await looked_at(gate, clock.now() + timedelta(hours=1))
    waiting = states(gate)
    batches.ended.update(batches.sent)
    await looked_at(gate, clock.now() + timedelta(hours=2))
    await watched(gate)

    assert ((502, "false"), True) == (told, batch_id in sentence)
    assert (200, 409, (0, 2 * BOUND), ["unconfirmed"]) == (shown, unknown, held, waiting)
    assert ("in_progress", 2) == (
        listed["data"][0]["processing_status"],
        listed["data"][0]["request_counts"]["processing"],
    )
    assert ((2 * HALF, 0), ["settled"]) == (gate.account(), states(gate))


async def test_a_provider_that_does_not_answer_is_not_waited_for_longer_than_others_believe(
    gate: Gate, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is given up before any watch looks for the batch: 502, unconfirmed, held."""
    monkeypatch.setattr(creation, "PATIENCE", timedelta(milliseconds=100))
    batches.pause = 1

    status, _ = await call(gate, "POST", PATH, requests_of(2))

    assert (502, ["unconfirmed"], (0, 2 * BOUND)) == (status, states(gate), gate.account())


@pytest.mark.parametrize("how", ["reset", "500", "502"])
async def test_a_batch_that_never_arrived_is_given_back(gate: Gate, batches: Batches, how: str) -> None:
    """In no list: held for a quarter of an hour, then void."""
    batches.create = how
    await call(gate, "POST", PATH, requests_of(2))
    now = clock.now()

    await looked_at(gate, now + timedelta(minutes=14))
    early = gate.account()
    await looked_at(gate, now + timedelta(minutes=16))

    assert ((0, 2 * BOUND), (0, 0), ["refused"]) == (early, gate.account(), states(gate))
    assert {"batch never arrived"} == set(Hold.objects.values_list("end_reason", flat=True))


async def test_a_list_that_cannot_be_read_gives_nothing_back(gate: Gate, batches: Batches) -> None:
    """The provider is down for a day: all of it stays held."""
    batches.create = "lost"
    await call(gate, "POST", PATH, requests_of(2))
    gate.provider.answers(status=500)

    await looked_at(gate, clock.now() + timedelta(hours=24))

    assert (0, 2 * BOUND) == gate.account()


async def test_results_that_say_nothing_give_nothing_back(gate: Gate, batches: Batches) -> None:
    """It ended without a line, so nobody knows whose it is: held; when the lines are there, found."""
    batches.create, batches.silent = "lost", True
    await call(gate, "POST", PATH, requests_of(2))
    batches.ended.update(batches.sent)

    await looked_at(gate, clock.now() + timedelta(hours=1))
    held = gate.account()
    batches.silent = False
    await looked_at(gate, clock.now() + timedelta(hours=2))
    await watched(gate)

    assert ((0, 2 * BOUND), (2 * HALF, 0)) == (held, gate.account())


async def test_somebody_elses_batch_is_not_taken_for_a_lost_one(gate: Gate, batches: Batches) -> None:
    """As large, of the same minute, made beside Tokenpool: while it runs nothing is given back; its end is not ours."""
    batches.create = "500"
    await call(gate, "POST", PATH, requests_of(2))
    batches.take({"requests": [{"custom_id": "theirs"}, {"custom_id": "others"}]})
    now = clock.now()

    await looked_at(gate, now + timedelta(hours=1))
    running = gate.account()
    batches.ended.update(batches.sent)
    await looked_at(gate, now + timedelta(hours=2))

    assert ((0, 2 * BOUND), (0, 0)) == (running, gate.account())
    assert 0 == UsageEvent.objects.count()


class Killed(BaseException):
    """What a process meets that is killed: nothing after it runs."""


async def test_killed_between_the_holds_and_the_sending(
    gate: Gate, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holds stand; while somebody may be waiting for the answer nothing is judged; then they are given back."""

    async def killed(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(creation, "send", killed)
    doomed = asyncio.create_task(call(gate, "POST", PATH, requests_of(2)))
    while not MessageBatch.objects.exists():  # noqa: ASYNC110 - what is awaited is a row
        await asyncio.sleep(0.01)
    now = clock.now()
    early = await looked_at(gate, now + timedelta(minutes=19))
    held = gate.account()
    await looked_at(gate, now + timedelta(minutes=21))

    assert (0, (0, 2 * BOUND), (0, 0), ["refused"]) == (early, held, gate.account(), states(gate))
    assert [] == [one for one in batches.asked if one.startswith("POST")]
    doomed.cancel()
    for task in gate.parts.tasks:
        task.cancel()


async def test_killed_between_the_providers_yes_and_its_id(
    gate: Gate, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches alike, one written down, one not: the results name the holds of each, and each bills once."""

    async def killed(*_: object) -> None:
        await asyncio.Event().wait()

    await created(gate, 2)
    monkeypatch.setattr(creation, "_adopt", killed)
    doomed = asyncio.create_task(call(gate, "POST", PATH, requests_of(2)))
    while len(batches.sent) < 2:  # noqa: ASYNC110 - what is awaited is the provider
        await asyncio.sleep(0.01)
    batches.ended.update(batches.sent)
    for minutes in (21, 22, 23):
        await looked_at(gate, clock.now() + timedelta(minutes=minutes))

    assert ((4 * HALF, 0), ["settled", "settled"]) == (gate.account(), states(gate))
    assert set(batches.sent) == set(MessageBatch.objects.values_list("upstream_id", flat=True))
    doomed.cancel()
    for task in gate.parts.tasks:
        task.cancel()


async def test_killed_amid_the_results(gate: Gate, batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    """256 of 300 are settled when the process dies; the next one settles the 44 that are left."""
    await created(gate, 300)
    batches.ended.update(batches.sent)
    settle = watch.Results.settle

    async def killed(self: watch.Results, lines: list[bytes]) -> list[bytes]:
        if UsageEvent.objects.count() == 256:
            raise Killed
        return await settle(self, lines)

    monkeypatch.setattr(watch.Results, "settle", killed)
    with pytest.raises(Killed):
        await watched(gate)
    after_kill = gate.account()
    monkeypatch.setattr(watch.Results, "settle", settle)
    await watched(gate)

    assert ((256 * HALF, 44 * BOUND), (300 * HALF, 0)) == (after_kill, gate.account())


async def test_an_unconfirmed_commit_is_given_back(
    gate: Gate, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holds stand although the database did not say so: 503, then void, and the provider heard nothing."""
    admit = gate.parts.commits.admit

    async def unsure(organization_id: str, operation: object) -> object:
        await admit(organization_id, operation)
        raise Undecided("The commit was not confirmed.")

    monkeypatch.setattr(gate.parts.commits, "admit", unsure)

    status, _ = await call(gate, "POST", PATH, requests_of(2))
    await gate.at_rest()

    assert (503, (0, 0), [], ["refused"]) == (status, gate.account(), batches.asked, states(gate))


async def test_an_id_that_the_database_does_not_take_is_written_later(
    gate: Gate, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has its batch at once; the id follows when the database is back."""
    monkeypatch.setattr(creation, "ADOPT_SECONDS", 0.01)
    adopt, tries = message_batches.adopt, []

    async def away(*args: object) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise Unavailable("The database is away.")
        await adopt(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(message_batches, "adopt", away)

    await created(gate, 1)
    await gate.at_rest()

    assert (3, ["open"]) == (len(tries), states(gate))


async def test_a_batch_that_the_provider_loses_is_an_estimate_after_three_days(gate: Gate, batches: Batches) -> None:
    """404 to every question: held for 72 hours, then input bound and 50 tokens at half price; asked for 29 days."""
    await created(gate, 2)
    batches.sent.clear()
    now = clock.now()

    await looked_at(gate, now + timedelta(hours=71))
    with clock.standing_at(now + timedelta(hours=71)):
        early = await Resolver(gate.parts, watch_seconds=0).run_once()
    held = gate.account()
    with clock.standing_at(now + timedelta(hours=73)):
        late = await Resolver(gate.parts, watch_seconds=0).run_once()
    looks = [await looked_at(gate, now + timedelta(hours=hours)) for hours in (74, 29 * 24 + 1, 30 * 24)]

    assert (0, (0, 2 * BOUND), 2, [1, 1, 0]) == (early, held, late, looks)
    assert ((2 * ESTIMATE, 0), ["settled"]) == (gate.account(), states(gate))
    assert {("estimated batch_lost", True)} == set(UsageEvent.objects.values_list("flags", "batch"))


async def estimated(gate: Gate) -> None:
    """Let three days pass: what is open ends as an estimate."""
    with clock.standing_at(clock.now() + timedelta(hours=73)):
        await Resolver(gate.parts, watch_seconds=0).run_once()


@pytest.mark.parametrize("reader", ["client", "watch"])
async def test_results_after_the_estimate_take_its_place(gate: Gate, batches: Batches, reader: str) -> None:
    """One succeeded, one expired, three days late, read four times: one half, billed once; the audit says so."""
    batches.outcomes = [succeeded(), {"type": "expired"}]
    batch_id = await created(gate, 2)
    await estimated(gate)
    between = gate.account()
    batches.ended.update(batches.sent)

    if reader == "watch":
        await looked_at(gate, clock.now() + timedelta(hours=74))
    answers = await asyncio.gather(*(call(gate, "GET", f"{PATH}/{batch_id}/results") for _ in range(4)))

    assert ((2 * ESTIMATE, 0), {200}) == (between, {status for status, _ in answers})
    assert ((HALF, 0), ["settled"]) == (gate.account(), states(gate))
    assert [("correction late", -ESTIMATE)] * 2 + [("estimated batch_lost", ESTIMATE)] * 2 + [("late", HALF)] == sorted(
        UsageEvent.objects.values_list("flags", "cost_nano")
    )
    told = [event.after for event in AuditEvent.objects.filter(action="late_results_billed", subject_id=batch_id)]
    month = str(Month.of(clock.now()))
    difference = HALF - 2 * ESTIMATE
    assert [{"requests": 2, "difference_nano": difference, "by_invoice": {month: difference}}] == told
    assert (2, []) == (DailyUsage.objects.get().requests, broken())


async def test_an_estimate_is_taken_back_when_its_batch_never_arrived(gate: Gate, batches: Batches) -> None:
    """The provider cannot be asked for three days; then its list says that it never had the batch."""
    batches.create = "reset"
    await call(gate, "POST", PATH, requests_of(2))
    await estimated(gate)
    between = gate.account()

    await looked_at(gate, clock.now() + timedelta(hours=74))

    assert ((2 * ESTIMATE, 0), (0, 0), ["refused"], []) == (between, gate.account(), states(gate), broken())


async def test_late_results_wait_for_the_database(
    gate: Gate, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came late cannot be written: 503 and not a line; the next time it is billed, once."""
    batch_id = await created(gate, 1)
    await estimated(gate)
    batches.ended.update(batches.sent)
    bill = late.bill

    def away(*_: object) -> int:
        raise OperationalError("the database is away")

    monkeypatch.setattr(late, "bill", away)
    first, _ = await call(gate, "GET", f"{PATH}/{batch_id}/results")
    monkeypatch.setattr(late, "bill", bill)
    second, _ = await call(gate, "GET", f"{PATH}/{batch_id}/results")

    assert (503, 200, (HALF, 0)) == (first, second, gate.account())


async def test_results_that_are_gone_are_looked_for_no_more(gate: Gate, batches: Batches) -> None:
    """A result of an unknown kind keeps its hold until the lease; after 29 days nobody asks the provider again."""
    batches.outcomes = [{"type": "something_new"}]
    await created(gate, 1)
    batches.ended.update(batches.sent)

    looks = [await looked_at(gate, clock.now() + timedelta(days=days)) for days in (1, 28, 29, 30)]

    assert ([1, 1, 1, 0], ["settled"]) == (looks, states(gate))


async def test_a_batch_outlives_its_member_and_a_lowered_limit(gate: Gate, batches: Batches) -> None:
    """Elena is removed and the limit set to zero meanwhile: her results are billed in truth to her seat."""
    await created(gate, 2)
    members.remove(by=gate.org.ada, member_id=gate.org.elena.member_id)
    gate.org.limit("organization", 0)
    batches.ended.update(batches.sent)

    refused, _ = await call(gate, "GET", PATH)
    await watched(gate)

    assert (401, (2 * HALF, 0)) == (refused, gate.account())
    assert {(gate.org.elena.member_id, "chat_claude_code")} == set(
        UsageEvent.objects.values_list("member_id", "seat_type")
    )


async def test_a_month_closes_after_its_batches(gate: Gate, batches: Batches) -> None:
    """Ended in the next month: the month waits, and the usage is of the month that admitted it."""
    await created(gate, 1)
    month = Month.of(clock.now())
    later = month.end + timedelta(hours=20)

    with clock.standing_at(later):
        with pytest.raises(Conflict, match="1 holds of"):
            close.close_month(by=gate.org.ada, month=month)
        batches.ended.update(batches.sent)
        MessageBatch.objects.update(look_at_us=0)
        await Watch(gate.parts).run_once()
        invoice = close.close_month(by=gate.org.ada, month=month)

    assert (str(month), HALF) == (UsageEvent.objects.get().month, json.loads(invoice.document)["usage_nano"])


async def test_a_provider_that_was_removed_leaves_the_holds(gate: Gate, batches: Batches) -> None:
    """Nobody can be asked: the client hears so, and everything stays held."""
    batch_id = await created(gate, 1)
    await gate.parts.upstreams.close()
    gate.parts.upstreams = Upstreams([Upstream(name="another", url=gate.provider.url, api_key="k")])

    status, answer = await call(gate, "GET", f"{PATH}/{batch_id}")
    await watched(gate)

    assert (502, True) == (status, "not set up here any more" in answer["error"]["message"])
    assert (0, BOUND) == gate.account()
