"""Killing the process that holds the money, at any moment: what was acknowledged must be there, once.

The victim tells its pipe of every hold and settlement after the answer came; the pipe outlives it.
"""

import asyncio
import multiprocessing
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tokenpool.kernel import ids
from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import GroupCommit, Store
from tokenpool.limits.operations import Held
from tokenpool.proofs import scratch

CALLERS = 16


@dataclass
class Losses:
    """What the kills came to."""

    kills: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    freed: int = 0
    broken_sums: int = 0

    @property
    def holds(self) -> bool:
        """True when nothing acknowledged was lost, nothing doubled, nothing freed without evidence."""
        return not (self.lost or self.doubled or self.freed or self.broken_sums)


class Victim:
    """A process that holds and settles until it is killed."""

    def __init__(self, address: str, organization_id: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_victim, args=(address, organization_id, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()  # it is at work
        self._told: list[tuple[str, str]] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self.process.kill()
        self.process.join()

    def acknowledged(self) -> list[tuple[str, str]]:
        """Return what it had acknowledged: (`held` or `settled`, hold id); it must have been killed."""
        self._listener.join(10)
        return self._told

    def _listen(self) -> None:
        with suppress(EOFError):
            while True:
                self._told.append(self.pipe.recv())


async def run(store: Store, address: str, kills: int, seed: int = 1) -> Losses:
    """Kill a working process *kills* times at random moments and look after each."""
    chance, losses = random.Random(seed), Losses()  # noqa: S311 - seeded
    for _ in range(kills):
        organization_id = ids.new("org")
        await scratch.found(store, organization_id)
        victim = Victim(address, organization_id)
        await asyncio.sleep(chance.random() * 0.15)
        victim.kill()
        losses.kills += 1
        await examine(store, organization_id, victim.acknowledged(), losses)
    return losses


async def examine(store: Store, organization_id: str, told: list[tuple[str, str]], losses: Losses) -> None:
    """Compare what was acknowledged with what is stored, once what the killed one had sent is decided."""
    await store.run(lambda: scratch.written([scratch.lock(organization_id)]))
    rows = await store.read("select id, state from limits_hold where organization_id = ?", (organization_id,))
    states: dict[str, str] = dict(rows)
    events = await store.read(
        "select request_id from metering_usageevent where organization_id = ?", (organization_id,)
    )
    billed = [row[0] for row in events]
    settled = {hold_id for kind, hold_id in told if kind == "settled"}
    losses.acknowledged += len(told)
    losses.lost += sum(hold_id not in states for _, hold_id in told)
    losses.lost += sum(
        states.get(hold_id) != "settled" or ids.twin("req", hold_id) not in billed for hold_id in settled
    )
    losses.doubled += len(billed) - len(set(billed))
    losses.freed += sum(state not in ("reserved", "in_doubt", "settled") for state in states.values())
    losses.freed += sum((state == "settled") != (ids.twin("req", one) in billed) for one, state in states.items())
    losses.broken_sums += len(await scratch.broken_sums(store, organization_id))


def _victim(address: str, organization_id: str, pipe: Connection) -> None:
    asyncio.run(_work(address, organization_id, pipe))


async def _work(address: str, organization_id: str, pipe: Connection) -> None:
    commits = scratch.ledger_on(scratch.open_store(address))
    pipe.send(("ready", ""))
    await asyncio.gather(*(_caller(commits, organization_id, number, pipe) for number in range(CALLERS)))


async def _caller(commits: GroupCommit, organization_id: str, number: int, pipe: Connection) -> None:
    """Hold, tell, settle, tell, for ever; an answer that did not come is not told."""
    chance = random.Random(number + time.monotonic_ns())  # noqa: S311 - no secret
    while True:
        hold_id, nano = ids.new("hold"), chance.randrange(1, 9) * scratch.DOLLAR
        try:
            ask = scratch.ask(hold_id, nano, f"user_{number % 5}", "chat")
            if isinstance(await commits.submit(organization_id, ask), Held):
                pipe.send(("held", hold_id))
                await asyncio.sleep(chance.random() * 0.002)
                await commits.submit(organization_id, scratch.settle(hold_id, nano // 2))
                pipe.send(("settled", hold_id))
        except Unavailable:
            await asyncio.sleep(0.05)
