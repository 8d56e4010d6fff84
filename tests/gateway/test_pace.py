"""New requests wait for their turn while streams run and the loop is late; nobody waits for ever."""

import asyncio
import math

import pytest

from tokenpool.gateway import pace
from tokenpool.gateway.admission import Running
from tokenpool.kernel.errors import Unavailable
from tokenpool.limits.models import Hold

from .conftest import BODY, Gate, events

LATE, ON_TIME = 0.025, 0.012


def running_streams(count: int) -> Running:
    """Return so many streams under way."""
    running = Running()
    for number in range(count):
        running.begin(f"hold_{number}", "org_1", f"user_{number}", streams=True)
    return running


async def asking(running: Running, served: list[str], name: str) -> None:
    """Ask for a turn as the request *name*."""
    with running.admitting(name):
        await running.pace.turn(name, streams=True)
        served.append(name)


async def waiting(running: Running, names: str) -> tuple[list[str], list[asyncio.Task[None]]]:
    """Return who had their turn of the requests named by a letter each, and their tasks."""
    served = list[str]()
    tasks = [asyncio.create_task(asking(running, served, name)) for name in names]
    await asyncio.sleep(0)
    return served, tasks


@pytest.fixture(autouse=True)
def _no_ticks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "TICK_SECONDS", 3_600)


async def test_a_loop_on_time_lets_everybody_begin() -> None:
    """A hundred streams run, and nobody waits."""
    running = running_streams(100)
    running.pace.look(ON_TIME)

    assert not await running.pace.turn("user_1", streams=True)


async def test_late_by_twenty_five_milliseconds_a_quarter_less_may_run() -> None:
    """Of 100 that ran 75 may: the next waits until 26 have ended, and then learns that it had to."""
    running = running_streams(100)
    running.pace.look(LATE)
    served, tasks = await waiting(running, "ab")
    assert (75.0, []) == (running.pace._most, served)

    for number in range(26):
        running.end(f"hold_{number}")
    running.pace.look(LATE)
    await asyncio.gather(*tasks[:1])

    assert ["a"] == served
    tasks[1].cancel()


async def test_ever_later_halves_what_ran_and_never_what_may() -> None:
    """A second late with 100 is 50; late again while 100 still run it stays 50, with 40 running it is 20."""
    running = running_streams(100)
    mosts = []
    for ended in (0, 0, 60):
        for number in range(ended):
            running.end(f"hold_{number}")
        running.pace.look(1.0)
        mosts.append(running.pace._most)

    assert [50.0, 50.0, 20.0] == mosts


async def test_one_begins_at_each_tick_however_late_it_is() -> None:
    """Three wait behind a full loop and go one by one, in their order."""
    running = running_streams(100)
    running.pace.look(LATE)
    served, tasks = await waiting(running, "abc")
    seen = []
    for _ in range(3):
        running.pace.look(1.0)
        await asyncio.sleep(0)
        seen.append("".join(served))

    assert ["a", "ab", "abc"] == seen
    await asyncio.gather(*tasks)


async def test_who_asks_much_does_not_keep_the_others_waiting() -> None:
    """Three requests of one member and then two of another: they take turns."""
    running = running_streams(100)
    running.pace.look(LATE)
    served, tasks = await waiting(running, "aaabb")
    for _ in range(5):
        running.pace.look(1.0)
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)

    assert "ababa" == "".join(served)


async def test_on_time_again_soon_nobody_waits() -> None:
    """Late with 100, then on time: after 26 ticks 101 may be under way, and the next does not wait."""
    running = running_streams(100)
    running.pace.look(LATE)
    for _ in range(26):
        running.pace.look(ON_TIME)

    with running.admitting("user_1"):
        assert not await running.pace.turn("user_1", streams=True)


async def test_where_nothing_streams_whole_answers_do_not_wait() -> None:
    """What was learnt of streams that have ended holds for the next stream, not for a whole answer."""
    running = running_streams(4)
    running.pace.look(1.0)
    for number in range(4):
        running.end(f"hold_{number}")
    for number in range(10):
        running.begin(f"hold_{number}", "org_1", "user_1")

    assert not await running.pace.turn("user_1", streams=False)
    served, tasks = await waiting(running, "a")
    assert [] == served
    running.pace.look(ON_TIME)
    await asyncio.gather(*tasks)


async def test_who_gave_up_takes_nobodys_turn() -> None:
    """Of two that wait the first is cancelled: the second has the tick's one turn, and the counts are right."""
    running = running_streams(10)
    running.pace.look(1.0)
    served, tasks = await waiting(running, "ab")
    tasks[0].cancel()
    await asyncio.sleep(0)
    running.pace.look(1.0)
    await tasks[1]

    assert (["b"], 10, 0) == (served, running._under_way, running.pace._count)


async def test_as_many_wait_as_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one too many is told that the process has its hands full."""
    monkeypatch.setattr(pace, "MOST_WAITING", 1)
    running = running_streams(10)
    running.pace.look(1.0)
    _, tasks = await waiting(running, "a")

    with pytest.raises(Unavailable, match="hands full"):
        await running.pace.turn("user_1", streams=True)
    tasks[0].cancel()


async def test_ticks_come_by_themselves_while_something_streams_or_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop held up for 100 ms is seen to be late; those who wait go by the ticks; at the end there are none."""
    monkeypatch.setattr(pace, "TICK_SECONDS", 0.005)
    running = Running()
    running.begin("hold_1", "org_1", "user_1", streams=True)
    loop = asyncio.get_running_loop()
    held_up = loop.time() + 0.1
    while loop.time() < held_up:
        pass
    while running.pace._most == math.inf:  # noqa: ASYNC110 - a tick is awaited
        await asyncio.sleep(0)
    assert 0.5 == running.pace._most

    served, tasks = await waiting(running, "abc")
    await asyncio.gather(*tasks)
    running.end("hold_1")
    while running.pace._tick is not None:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)

    assert (["a", "b", "c"], 0) == (served, running._under_way)


async def test_who_left_while_waiting_costs_nothing(gate: Gate) -> None:
    """A stream runs, a client waits and closes: when its turn comes there is no hold and no request for it."""
    gate.provider.streams(events()[:3], then="stall")
    headers = {"x-api-key": gate.key}
    first = await gate.session.post(f"{gate.url}/v1/messages", json={**BODY, "stream": True}, headers=headers)
    await first.content.readuntil(b"message_start")
    gate.provider.answers()
    turns = gate.parts.running.pace
    turns._most = 0
    impatient = asyncio.create_task(gate.post())
    while not turns._waiting:  # noqa: ASYNC110 - what is awaited is a request
        await asyncio.sleep(0.001)
    impatient.cancel()
    await asyncio.sleep(0.05)
    turns.look(1.0)
    while gate.parts.running._under_way > 1:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)

    assert (1, 1) == (len(gate.provider.seen), Hold.objects.count())
    first.close()
    await gate.at_rest()
