"""A crew of processes that do one thing at once, again and again: each has its own store on the same database."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from tokenpool.kernel.group_commit import Store
from tokenpool.proofs import mutants, scratch

PROCESSES, CALLERS = 4, 8
Work = Callable[[Store, str, int, int], Awaitable[Any]]
"""What each process does with (its store, organization, seed, its number); what it returns is sent back."""


@contextmanager
def hired(address: str, work: Work, *, processes: int = PROCESSES, mutant: str = "") -> Iterator[list[Connection]]:
    """Start *processes* that do *work* on the database at *address* whenever they are told; perhaps with a mistake."""
    spawn = multiprocessing.get_context("spawn")
    pipes, running = [], []
    for number in range(processes):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_hand, args=(address, work, number, mutant, theirs), daemon=True)
        process.start()
        theirs.close()  # so that we hear if it dies
        pipes.append(ours)
        running.append(process)
    try:
        yield pipes
    finally:
        for pipe in pipes:
            with suppress(BrokenPipeError):
                pipe.send(None)
        for process in running:
            process.join(10)


def tell(pipes: list[Connection], organization_id: str, seed: int) -> None:
    """Let everybody begin."""
    for pipe in pipes:
        pipe.send((organization_id, seed))


def done(pipes: list[Connection]) -> bool:
    """Tell whether everybody has finished."""
    return all(pipe.poll() for pipe in pipes)


def _hand(address: str, work: Work, number: int, mutant: str, pipe: Connection) -> None:
    asyncio.run(_work_when_told(address, work, number, mutant, pipe))


async def _work_when_told(address: str, work: Work, number: int, mutant: str, pipe: Connection) -> None:
    store = mutants.infect(mutant, scratch.open_store(address))
    loop = asyncio.get_running_loop()
    while told := await loop.run_in_executor(None, pipe.recv):
        organization_id, seed = told
        pipe.send(await work(store, organization_id, seed, number))
    await store.close()
