"""Several real servers at once on one database: what each does by itself is harmless beside the others.

Two share a data folder, as processes of one machine do; a third has its own, as another machine has.
Leases last a second and resolvers look five times a second, so that a hold that is taken for lost too
early is ended at once. Batches are looked after by all of them, several times a second.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tokenpool.limits.models import Hold
from tokenpool.proofs import provider, serving
from tokenpool.proofs.provider import Provider
from tokenpool.proofs.serving import Order, Served, Servers, free_port
from tokenpool.proofs.site import Findings, Site, at_rest, examine

CALLS, BATCHES, NOTICES, MONTHS, SITES = 6, 4, 12, 3, 2
PATIENCE_SECONDS = 15.0
LOOKS_SECONDS = 1.8  # several looks of every resolver, and more than a lease


@dataclass
class Machines:
    """Two data folders on one database: `near` has two servers, `far` has one."""

    near: Servers
    far: Servers
    mutant: str

    def start(self, machine: Servers, *, away: bool = False) -> Served:
        """Start one more server and wait until it is ready."""
        server = machine.start(Order(free_port(), away=away, mutant=self.mutant))
        server.ready()
        return server


def run(folder: Path, database_url: str, *, mutant: str = "") -> Findings:
    """Let three servers work, die and come back, and examine what that came to."""
    sites = [Site.found(months=MONTHS) for _ in range(SITES)]
    for number in range(NOTICES):
        sites[number % SITES].notify()
    folders = [folder / "near", folder / "far"]
    with provider.running() as provides:
        with _machines(folders, database_url, provides, mutant) as machines:
            wrong = _work(machines, sites[0])
            _wait(lambda: not at_rest(sites, folders))
            wrong += [f"still open: {what}" for what in at_rest(sites, folders)]
        found = examine(sites, provides, folders)
    found.broken += wrong
    return found


@contextmanager
def _machines(folders: list[Path], database_url: str, provider: Provider, mutant: str) -> Iterator[Machines]:
    with ExitStack() as stack:
        for one in folders:
            one.mkdir()
        near, far = (
            stack.enter_context(serving.serving(one, database_url=database_url, upstream_url=provider.url))
            for one in folders
        )
        yield Machines(near, far, mutant)


def _work(machines: Machines, site: Site) -> list[str]:
    """Tell the story; return what should not have been seen on the way."""
    wrong: list[str] = []
    ports = [free_port() for _ in range(3)]
    orders = [Order(port, mutant=machines.mutant) for port in ports]  # all at once: months to close, mails to send
    first, second = machines.near.start(orders[0]), machines.near.start(orders[1])
    third = machines.far.start(orders[2])
    for server in (first, second, third):
        server.ready()

    asyncio.run(_calls(site, [server.port for server in (first, second, third)], "long-"))  # outlasts the lease

    asyncio.run(_batches(site, [server.port for server in (first, second, third)]))  # each is looked after by all

    _let_die_in_the_middle(site, first)  # its journal is the second one's: that ends what it has lost
    _wait(lambda: not site.open_holds())
    wrong += [f"{name} was not ended by the process beside it" for name in site.open_holds()]

    third.stop()
    third = machines.start(machines.far, away=True)
    asyncio.run(_calls(site, [third.port], "short-"))  # every end waits in its journal
    third.stop()
    time.sleep(LOOKS_SECONDS)
    wrong += _unless_in_doubt(site, CALLS)
    third = machines.start(machines.far)
    _wait(lambda: not site.open_holds())

    _let_die_in_the_middle(site, third)  # nobody else has its journal: the near ones wait
    time.sleep(LOOKS_SECONDS)
    wrong += _unless_in_doubt(site, CALLS)
    machines.start(machines.far)
    return wrong


async def _calls(site: Site, ports: list[int], kind: str) -> None:
    """Call each port six times at once; long answers stream for two seconds."""
    await asyncio.gather(*(site.call(port, kind) for port in ports for _ in range(CALLS)))


async def _batches(site: Site, ports: list[int]) -> None:
    """Send each port so many batches at once; their results are read while all servers settle them."""
    await asyncio.gather(*(site.batch(port) for port in ports for _ in range(BATCHES)))


def _let_die_in_the_middle(site: Site, server: Served) -> None:
    """Kill a server while six long answers are under way and their evidence is written."""

    async def die() -> None:
        calls = asyncio.create_task(_calls(site, [server.port], "long-"))
        await asyncio.sleep(0.6)
        server.stop()
        await calls

    asyncio.run(die())


def _unless_in_doubt(site: Site, expected: int) -> list[str]:
    """Return a complaint unless exactly *expected* holds are open, all of them in doubt."""
    states = list(
        Hold.objects.filter(organization_id=site.by.organization_id, ended_at_us=None).values_list("state", flat=True)
    )
    return [] if states == ["in_doubt"] * expected else [f"open holds are {states}, not {expected} in doubt"]


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until() and time.monotonic() < deadline:
        time.sleep(0.05)
