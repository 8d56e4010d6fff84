"""A settlement is never lost: what the database does not take is on the disk before the client sees the end."""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tokenpool.gateway import spool
from tokenpool.gateway.spool import Spool
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Unavailable, Undecided
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits.models import Hold
from tokenpool.limits.operations import Authorize, Settle, Void
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing import load
from tokenpool.pricing.cost import rate
from tokenpool.proofs import outage

from .conftest import COST, MESSAGE, USAGE, Gate


@pytest.fixture
def away(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a switch: while it is true the database refuses every settlement."""
    switch = [True]
    submit = gate.parts.commits.submit

    async def perhaps(organization_id: str, operation: object) -> object:
        if switch[0] and isinstance(operation, Settle):
            raise Unavailable("The database is away.")
        return await submit(organization_id, operation)

    monkeypatch.setattr(gate.parts.commits, "submit", perhaps)
    monkeypatch.setattr("tokenpool.gateway.settle.PATIENCE_SECONDS", (0, 0))
    return switch


async def test_settlements_wait_on_the_disk_and_are_replayed_once(gate: Gate, away: list[bool]) -> None:
    """Two answers go out while the database is away; later both are billed exactly, with their own ids, in order."""
    gate.provider.answers()
    statuses = [(await gate.post()).status for _ in range(2)]
    held = Hold.objects.filter(ended_at_us=None).count()
    assert ([200, 200], 2, 0) == (statuses, held, UsageEvent.objects.count())
    assert 0 == await gate.parts.spool.replay(gate.parts.commits)
    away[0] = False

    replayed = [await gate.parts.spool.replay(gate.parts.commits) for _ in range(2)]

    assert ([2, 0], []) == (replayed, gate.parts.spool.waiting())
    assert (2 * COST, 0) == gate.account()
    assert set(Hold.objects.values_list("settled_nano", flat=True)) == {COST}


async def test_a_replay_that_was_half_done_changes_nothing(gate: Gate, away: list[bool]) -> None:
    """The file of a settlement that was committed just before a crash is dropped, not billed again."""
    gate.provider.answers()
    await gate.post()
    (path,) = gate.parts.spool.waiting()
    text = path.read_text()
    away[0] = False
    await gate.parts.spool.replay(gate.parts.commits)
    path.write_text(text)

    assert 1 == await gate.parts.spool.replay(gate.parts.commits)
    assert (COST, 0) == gate.account()


async def test_without_database_and_disk_the_answer_is_withheld(
    gate: Gate, away: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 instead of an answer that nobody would have billed; the hold stands."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "write", full)
    gate.provider.answers()

    assert 503 == (await gate.post()).status
    assert 1 == Hold.objects.filter(ended_at_us=None).count()


def test_a_half_written_file_does_not_count(tmp_path: Path) -> None:
    """Only a file that was fsynced and renamed waits."""
    (tmp_path / "end_00000000000000000000000000.part").write_text("{")

    assert [] == Spool(tmp_path).waiting()


async def test_a_database_that_lets_wait_is_asked_once(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says no only after its patience, and the client waits: the settlement goes to the disk at once."""
    tried = []

    async def slowly(*_: object) -> None:
        tried.append(1)
        await asyncio.sleep(0.05)
        raise Unavailable("The database is away.")

    gate.provider.answers()
    counts = []
    for longest in (60, 0.01):
        submit = gate.parts.commits.submit

        async def settles_slowly(organization_id: str, operation: object, submit: Any = submit) -> object:
            return await (slowly() if isinstance(operation, Settle) else submit(organization_id, operation))

        monkeypatch.setattr("tokenpool.gateway.settle.LONGEST_SECONDS", longest)
        monkeypatch.setattr(gate.parts.commits, "submit", settles_slowly)
        assert 200 == (await gate.post()).status
        monkeypatch.undo()
        counts.append(len(tried))

    assert ([3, 4], 2) == (counts, len(gate.parts.spool.waiting()))


async def test_what_cannot_be_read_stops_nobody(gate: Gate, away: list[bool]) -> None:
    """A damaged file is set aside for people; the settlement behind it is billed."""
    gate.provider.answers()
    await gate.post()
    damaged = gate.parts.spool.folder / "end_00000000000000000000000000.json"
    damaged.write_text('{"organization_id"')
    away[0] = False

    assert 1 == await gate.parts.spool.replay(gate.parts.commits)
    assert (COST, 0) == gate.account()
    assert ([], True) == (gate.parts.spool.waiting(), damaged.with_suffix(".refused").exists())


def test_a_tools_time_comes_back_from_the_disk_as_it_was() -> None:
    """Its price by the hour with it, so that the free time is taken off when the database is back."""
    price = load.shipped().price("claude-opus-5", date(2026, 11, 24))
    counts = TokenCounts(1_000, code_execution_seconds=3600)
    usage = RatedUsage(price.model, price.version, counts, rate(counts, price), hourly=price.code_execution)
    settle = Settle("hold_1", (usage,), datetime(2026, 11, 24, tzinfo=UTC), "x")

    assert settle == spool._operation(json.loads(json.dumps(spool._facts(settle))))


async def test_a_hold_whose_commit_was_not_confirmed_is_given_back(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands although the client was told 503; nothing was sent to the provider, so it is voided, not estimated."""
    submit = gate.parts.commits.submit

    async def unconfirmed(organization_id: str, operation: object) -> object:
        answer = await submit(organization_id, operation)
        if isinstance(operation, Authorize):
            raise Undecided("The commit was not confirmed.")
        return answer

    monkeypatch.setattr(gate.parts.commits, "submit", unconfirmed)

    assert 503 == (await gate.post()).status
    hold = await gate.at_rest()
    assert ("void", "never sent", (0, 0)) == (hold.state, hold.end_reason, gate.account())


async def test_what_never_came_to_be_is_ended_without_complaint(gate: Gate) -> None:
    """A hold that was to be given back and that the database does not know is dropped from the journal."""
    at = clock.now()
    gate.parts.spool.write(gate.org.organization_id, Void(ids.new("hold"), "never sent", at, admitted_at=at))

    assert (1, []) == (await gate.parts.spool.replay(gate.parts.commits), gate.parts.spool.waiting())


async def test_while_the_database_is_locked_nobody_is_admitted_and_ends_wait_on_the_disk(
    gate: Gate, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was paused inside its transaction: the call under way is answered, the next one gets 503."""
    monkeypatch.setattr("tokenpool.kernel.sqlite._LOCK_PATIENCE_SECONDS", 0.2)
    async with AsyncExitStack() as trouble:

        async def script(_: web.Request) -> web.StreamResponse:
            await trouble.enter_async_context(outage.lock(str(database))())
            return web.json_response({**MESSAGE, "usage": USAGE})

        gate.provider.script = script
        statuses = [(await gate.post()).status, (await gate.post()).status]

    assert ([200, 503], 1, 1) == (statuses, len(gate.parts.spool.waiting()), len(gate.provider.seen))
    assert 1 == await gate.parts.spool.replay(gate.parts.commits)
    assert (COST, 0) == gate.account()
