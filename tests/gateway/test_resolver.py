"""Holds of lost processes: in doubt, still held, ended once and never while somebody answers for them."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from tokenpool.gateway import journal
from tokenpool.gateway.admission import Running
from tokenpool.gateway.resolver import Resolver
from tokenpool.kernel import clock
from tokenpool.limits import holds
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent
from tokenpool.pricing import load

from .conftest import BODY, Gate, events

LOST_AFTER = timedelta(seconds=31)
INPUT_NANO = 12 * 4_000 + 100 * 5_000 + 2_000 * 200  # the input side of the usual answer
HELLO_NANO = INPUT_NANO + (4 + 50) * 20_000  # its estimate: 11 bytes / 3 rounded up, and 50 tokens


@pytest.fixture
async def lost(gate: Gate) -> AsyncIterator[Gate]:
    """Return a gateway whose one stream has begun and is renewed by nobody any more."""
    gate.provider.streams(events("Hello there")[:3], then="stall")
    headers = {"x-api-key": gate.key}
    answer = await gate.session.post(f"{gate.url}/v1/messages", json={**BODY, "stream": True}, headers=headers)
    await answer.content.readuntil(b"Hello there")
    while 'start":{' not in Hold.objects.get().evidence:  # noqa: ASYNC110 - what is awaited is a row
        await asyncio.sleep(0.01)
    gate.parts.running = Running()
    yield gate
    answer.close()
    await gate.at_rest()


async def resolved(gate: Gate, at: datetime, *, watch_seconds: float = 0) -> int:
    """Let a resolver that has just started look once, at *at*."""
    with clock.standing_at(at):
        return await Resolver(gate.parts, watch_seconds=watch_seconds).run_once()


async def test_a_killed_process_leaves_a_doubt_that_its_evidence_resolves_once(lost: Gate) -> None:
    """In doubt after the lease, still held, then settled as a flagged estimate; a second look changes nothing."""
    now = clock.now()

    found = [await resolved(lost, now), await resolved(lost, now + LOST_AFTER), await resolved(lost, now + LOST_AFTER)]

    assert [0, 1, 0] == found
    assert ("settled", "estimated process_lost") == (Hold.objects.get().state, UsageEvent.objects.get().flags)
    assert INPUT_NANO + 50 * 20_000 <= UsageEvent.objects.get().cost_nano <= HELLO_NANO


async def test_a_hold_is_watched_for_a_lease_before_it_is_ended(lost: Gate) -> None:
    """A clock that stepped a day ahead, or a database that was away, ends nothing at the first look."""
    at = clock.now() + timedelta(days=1)

    assert 0 == await resolved(lost, at, watch_seconds=30)
    assert ("in_doubt", True) == (Hold.objects.get().state, lost.account()[1] > 0)


async def test_a_hold_whose_process_answers_again_goes_on(lost: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process's resolver read it as overdue; its lease is renewed before the estimate: nothing is ended."""
    settlement = Resolver._settlement

    def renewed(self: Resolver, row: holds.Overdue, evidence: dict[str, object]) -> object:
        lost.parts.running.begin(row.id, row.organization_id, "user_1")
        return settlement(self, row, evidence)

    monkeypatch.setattr(Resolver, "_settlement", renewed)
    submit = lost.parts.commits.submit

    async def renew_first(organization_id: str, operation: object) -> object:
        if getattr(operation, "if_in_doubt", False):
            await journal.renew_leases(lost.parts)
        return await submit(organization_id, operation)

    monkeypatch.setattr(lost.parts.commits, "submit", renew_first)

    assert 0 == await resolved(lost, clock.now() + LOST_AFTER)
    assert ("reserved", 0) == (Hold.objects.get().state, UsageEvent.objects.count())


async def test_another_machines_journal_is_waited_for(lost: Gate) -> None:
    """Its exact settlement may be on that machine's disk: an hour in doubt, then the estimate."""
    hold = Hold.objects.get()
    evidence = json.dumps({**json.loads(hold.evidence), "journal": "spool_elsewhere"})
    Hold.objects.filter(id=hold.id).update(evidence=evidence)
    lease = clock.from_timestamp(hold.lease_until_us)

    found = [await resolved(lost, lease + timedelta(minutes=minutes)) for minutes in (1, 59, 61)]

    assert [0, 0, 1] == found
    assert HELLO_NANO >= UsageEvent.objects.get().cost_nano


async def test_a_waiting_journal_is_replayed_before_anything_is_estimated(lost: Gate) -> None:
    """What is on this machine's disk goes first."""
    lost.parts.spool.folder.mkdir(exist_ok=True)
    (lost.parts.spool.folder / "end_00000000000000000000000000.json").write_text("{}")

    assert 0 == await resolved(lost, clock.now() + LOST_AFTER)
    assert "in_doubt" == Hold.objects.get().state


async def test_without_evidence_the_doubt_lasts_a_day_and_is_never_free(gate: Gate) -> None:
    """Dispatched, nothing heard: held for 24 hours, then the input bound and 50 tokens."""
    hang = asyncio.Event()

    async def script(_: object) -> object:
        await hang.wait()
        raise ConnectionResetError

    gate.provider.script = script  # type: ignore[assignment]
    waiting = asyncio.create_task(gate.post())
    while not Hold.objects.exists():  # noqa: ASYNC110 - what is awaited is a row
        await asyncio.sleep(0.01)
    gate.parts.running = Running()
    now = clock.now()

    early = await resolved(gate, now + timedelta(hours=23))
    state, held = Hold.objects.get().state, gate.account()[1]
    late = await resolved(gate, now + timedelta(hours=25))

    assert (0, "in_doubt", 1, "settled") == (early, state, late, Hold.objects.get().state)
    assert held > 0
    assert gate.account()[0] >= 50 * 20_000
    hang.set()
    waiting.cancel()


async def test_a_row_that_cannot_be_read_stops_nobody(lost: Gate) -> None:
    """It stays held and is logged; the others are ended."""
    hold = Hold.objects.get()
    broken = Hold.objects.get()
    broken.pk = (hold.organization_id, "hold_00000000000000000000000000")
    broken.evidence = ""
    broken.save(force_insert=True)

    assert 1 == await resolved(lost, clock.now() + LOST_AFTER)
    assert {broken.id: "in_doubt", hold.id: "settled"} == dict(Hold.objects.values_list("id", "state"))


async def test_every_overdue_hold_is_seen_whatever_their_number(gate: Gate) -> None:
    """A thousand and one that wait for their day hide nobody: two pages of five hundred, and one more."""
    price = load.standard().price("claude-opus-5-5", clock.now().date())
    Hold.objects.bulk_create(
        Hold(
            organization_id=gate.org.organization_id, id=f"hold_{number:026}", state="reserved", member_id="user_1",
            seat_type="chat", product="chat", model=price.model, price_version=price.version, amount_nano=1,
            reserved_nano=1, max_output=1, admitted_at_us=1, lease_until_us=1, evidence="{}",
        )
        for number in range(1001)
    )  # fmt: skip

    found = [row.id async for row in holds.overdue(gate.parts.store)]

    assert [f"hold_{number:026}" for number in range(1001)] == found


def test_the_name_of_a_journal_is_made_once(gate: Gate) -> None:
    """Two processes on one folder read the same name; another folder has another."""
    folder = gate.parts.spool.folder
    names = {type(gate.parts.spool)(folder).name for _ in range(2)}

    assert {gate.parts.spool.name} == names
    assert gate.parts.spool.name != type(gate.parts.spool)(folder / "another").name
