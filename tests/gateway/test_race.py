"""The race through the real gateway: all in flight at once, and a provider that answers only then."""

import asyncio

from aiohttp import web

from tokenpool.limits import caps

from .conftest import COST, Gate

CLIENTS, FITTING = 64, 20


async def test_twenty_of_sixty_four_clients_pass(gate: Gate) -> None:
    """Room for twenty holds: 20 answers, 44 refusals, never a nano-dollar above, twenty dispatches."""
    gate.provider.answers()
    answer = gate.provider.script
    assert answer is not None
    gate.org.limit("organization", 5)
    before = (await gate.post()).status
    hold = (await gate.at_rest()).reserved_nano
    room = FITTING * hold + COST
    caps.set_limit(by=gate.org.ada, scope="organization", basis="pool", amount_nano=room + hold - 1)
    gate.provider.seen.clear()
    opened = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse:
        await opened.wait()
        return await answer(request)

    gate.provider.script = script
    racing = [asyncio.create_task(gate.post()) for _ in range(CLIENTS)]
    while len(gate.provider.seen) < FITTING or sum(task.done() for task in racing) < CLIENTS - FITTING:
        await asyncio.sleep(0.01)
        spent, held = gate.account()
        assert spent + held <= room + hold - 1
    opened.set()
    statuses = [(await task).status for task in racing]

    assert (200, [FITTING, CLIENTS - FITTING]) == (before, [statuses.count(200), statuses.count(429)])
    assert FITTING == len(gate.provider.seen)
    assert ((FITTING + 1) * COST, 0) == gate.account()
    assert 0 == len(gate.parts.running)
