"""Killing the real server under load, at random moments and at every labelled point, and starting it again.

After the last kill it is started once more, cold and with its clock a day ahead, and left alone until
nothing is open. Then every promise is looked for: see `site`.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tokenpool.gateway.batches import creation
from tokenpool.proofs import provider, serving
from tokenpool.proofs.points import POINTS
from tokenpool.proofs.provider import Provider
from tokenpool.proofs.serving import Order, Served, Servers
from tokenpool.proofs.site import Findings, Site, at_rest, examine

CALLERS, LOAD_SECONDS, REST_SECONDS = 8, 10.0, 30.0
FEW, MANY = 0.15, 0.6
RANDOM_MOMENT = "a random moment"
AWAY_MOMENT = "a random moment while every end goes to the journal"
STEP_SECONDS = 5.0  # between two starts on the server's clock: longer than a lease, so the dead are in doubt
LATER = timedelta(hours=25)


@dataclass
class Toll:
    """How often the server died, and where; how long it took to be ready again; what the examination found."""

    kills: Counter[str] = field(default_factory=Counter)
    slowest_start_seconds: float = 0
    cold_start_seconds: float = 0  # from nothing: interpreter, settings, migrations, and then ready
    findings: Findings = field(default_factory=Findings)

    @property
    def holds(self) -> bool:
        """True when nothing was lost, doubled, freed or broken."""
        return self.findings.holds


def run(folder: Path, database_url: str, labels: list[str], *, seed: int = 1, mutant: str = "") -> Toll:
    """Kill a server of an organization of its own once per label, and examine."""
    with provider.running() as provides:
        experiment = Experiment(folder, database_url, provides, seed=seed, mutant=mutant)
        with experiment.serving() as servers:
            for label in labels:
                experiment.kill(servers, label)
        experiment.rest()
        return experiment.toll


def strike(folder: Path, database_url: str, blow: Callable[[], None], times: int) -> Toll:
    """Let *blow* fall on the database *times* times under load, the server running on, and examine.

    *blow* returns when the database runs again; how long the server then took is the toll's start.
    """
    with provider.running() as provides:
        experiment = Experiment(folder, database_url, provides, seed=1)
        with experiment.serving() as servers:
            for _ in range(times):
                experiment.outlive(servers, blow)
        experiment.rest()
        return experiment.toll


class Experiment:
    """A series of kills of one organization's server."""

    def __init__(self, folder: Path, database_url: str, provider: Provider, *, seed: int, mutant: str = "") -> None:
        self._folder, self._database_url, self._provider, self._mutant = folder, database_url, provider, mutant
        self._chance = random.Random(seed)  # noqa: S311 - seeded
        self._port, self._ahead_seconds = serving.free_port(), 0.0
        self._site, self.toll = Site.found(), Toll()
        self._others: list[Site] = []
        self._batching = FEW  # of the callers' requests are batches

    def serving(self) -> AbstractContextManager[Servers]:
        """Prepare the command on the folder."""
        return serving.serving(self._folder, database_url=self._database_url, upstream_url=self._provider.url)

    def kill(self, servers: Servers, label: str) -> None:
        """Start the server, load it, and have it die at the point *label*, or at one of the random moments."""
        point = POINTS.get(label)
        self._prepare(servers, point.needs if point else "")
        self._batching = MANY if label.startswith("batch") else FEW
        nth = self._chance.randrange(point.most) + 1 if point else 1
        away = label == AWAY_MOMENT or bool(point and point.needs == "away")
        server = self._start(servers, label if point else "", nth, away=away)
        executed = threading.Event()

        def execute() -> None:
            executed.set()
            server.stop()

        moment = self._chance.random() * 0.4 + away
        executioner = threading.Timer(LOAD_SECONDS if point else moment, execute)
        executioner.start()
        asyncio.run(self._load(server))
        executioner.cancel()
        executioner.join()
        self.toll.kills[RANDOM_MOMENT if executed.is_set() and point else label] += 1

    def outlive(self, servers: Servers, blow: Callable[[], None]) -> None:
        """Load the server, let the blow fall, wait until it is ready again, and kill it a moment later."""
        server = self._start(servers, "")

        def fall() -> None:
            blow()
            self._ready(server)
            time.sleep(0.3)
            server.stop()

        falling = threading.Timer(0.3, fall)
        falling.start()
        asyncio.run(self._load(server))
        falling.join()
        self.toll.kills["the database"] += 1

    def rest(self) -> None:
        """Start it from nothing, a day later, leave it alone until nothing is open, end it, and examine."""
        began, sites = time.monotonic(), [self._site, *self._others]
        with self.serving() as servers:
            server = self._start(servers, "", ahead_seconds=LATER.total_seconds())
            self.toll.cold_start_seconds = time.monotonic() - began
            self._wait_alone(server, lambda: at_rest(sites, [self._folder]))
        twice = self.toll.kills.total()  # any of them may fall between sending a mail and writing it down
        broken = [f"still open: {what}" for what in at_rest(sites, [self._folder])] + self.toll.findings.broken
        self.toll.findings = examine(sites, self._provider, [self._folder], mails_twice=twice)
        self.toll.findings.broken += broken

    def _wait_alone(self, server: Served, left: Callable[[], Collection[str]]) -> None:
        """Leave a server alone until nothing is left to do, and kill it."""
        deadline = time.monotonic() + REST_SECONDS
        while left() and time.monotonic() < deadline:
            time.sleep(0.1)
        server.stop()

    def _prepare(self, servers: Servers, needs: str) -> None:
        """Bring about what a point needs besides callers."""
        if needs == "month":
            self._others.append(Site.found(months=self._chance.randrange(2, 5)))
        if needs == "waiting" and not list((self._folder / "settlements").glob("end_*.json")):
            self.kill(servers, "journal: before the client's end")
        if needs == "adrift":  # two batches that no process will hear of any more, and nobody waits for
            for label in ("batch: held, before the provider is asked", "batch: taken, its confirmation not written"):
                self.kill(servers, label)
            self._ahead_seconds += creation.SENDING.total_seconds()
        if needs == "late":  # batches whose results come after their holds have ended as estimates
            self._provider.silent = True
            self.kill(servers, "batch: its confirmation written, before its caller knows")
            self._ahead_seconds += creation.LEASE.total_seconds()
            self._wait_alone(self._start(servers, ""), self._site.open_holds)
            self._provider.speak()
        if needs == "mail":
            self._site.notify()
            self._site.notify()

    def _start(
        self, servers: Servers, point: str, nth: int = 1, *, away: bool = False, ahead_seconds: float = 0
    ) -> Served:
        self._ahead_seconds += ahead_seconds or STEP_SECONDS
        self._provider.ahead = timedelta(seconds=self._ahead_seconds)
        server = servers.start(Order(self._port, point, nth, away, self._ahead_seconds, self._mutant))
        self._ready(server)
        return server

    def _ready(self, server: Served) -> None:
        try:
            self.toll.slowest_start_seconds = max(self.toll.slowest_start_seconds, server.ready())
        except TimeoutError as error:  # it died at a point that lies before it is ready, or should have been
            self.toll.findings.broken += [str(error)] if server.alive() else []

    async def _load(self, server: Served) -> None:
        """Let callers call until the server is dead."""
        await asyncio.gather(*(self._caller(server) for _ in range(CALLERS)))

    async def _caller(self, server: Served) -> None:
        while server.alive():
            kind = self._chance.random()
            if kind < self._batching:
                await self._site.batch(server.port)
            elif kind > 0.85:  # noqa: PLR2004 - some use the hold API
                await self._site.hold(server.port, self._chance)
            else:
                await self._site.call(server.port)
