"""`tokenpool serve`, started, killed and started again: the command itself, forked at the instant it would listen.

A process is started once per data folder, up to where uvicorn would run; from there each start is
a fork, so that a thousand kills take minutes. What a start is to suffer - a point at which it dies, a
database that refuses settlements, a clock that runs ahead - is done to it from outside.
"""

import importlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvicorn

from tokenpool.kernel.errors import Unavailable
from tokenpool.limits.operations import Authorize, Settle, Void
from tokenpool.proofs import mutants, points

LEASE_SECONDS, WATCH_SECONDS, READY_SECONDS = 1, 0.3, 10.0
LOOK, NEVER_ARRIVED = timedelta(seconds=0.2), timedelta(seconds=1)  # at batches
AT_ONCE = 4  # of their results in one transaction
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Order:
    """What one start is to suffer; nothing, by default."""

    port: int
    point: str = ""
    nth: int = 1
    away: bool = False  # the database refuses every end of a hold, so it goes to the journal
    ahead_seconds: float = 0  # how far its clock runs before this machine's
    mutant: str = ""


class Served:
    """A running `tokenpool serve`."""

    def __init__(self, pid: int, port: int) -> None:
        self.pid, self.port = pid, port

    def ready(self) -> float:
        """Wait until `/readyz` answers 200; return how many seconds that took.

        Raises:
            TimeoutError: it has not within ten seconds, or it died.
        """
        began = time.monotonic()
        while time.monotonic() - began < READY_SECONDS and self.alive():
            with suppress(OSError), socket.create_connection((_LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                if connection.recv(15).startswith(b"HTTP/1.1 200"):
                    return time.monotonic() - began
            time.sleep(0.01)
        raise TimeoutError("The server did not become ready.")

    def alive(self) -> bool:
        """Tell whether the process lives."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def stop(self, kind: signal.Signals = signal.SIGKILL) -> None:
        """Kill it, or let it end in order, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, kind)
        while self.alive():
            time.sleep(0.005)


class Servers:
    """The starts of one data folder."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def start(self, order: Order) -> Served:
        """Start a server and return it at once, ready or not."""
        self._pipe.send_bytes(json.dumps(asdict(order)).encode())
        return Served(int(self._pipe.recv_bytes()), order.port)


@contextmanager
def serving(folder: Path, *, database_url: str, upstream_url: str) -> Iterator[Servers]:
    """Prepare `tokenpool serve` on a data folder; whatever was started is gone at the end."""
    settings = {
        "data": str(folder),
        "database_url": database_url,
        "upstream_url": upstream_url,
        "upstream_api_key": "x",
    }
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=({name: text for name, text in settings.items() if text}, theirs))
    process.start()
    theirs.close()
    try:
        yield Servers(ours)
    finally:
        ours.close()
        process.join(10)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _serve(settings: dict[str, str], pipe: Connection) -> None:
    """Run the command up to where it would listen; fork there for each order."""
    log = os.open(Path(settings["data"]) / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    for name in [name for name in os.environ if name.startswith(("TOKENPOOL_", "DJANGO_"))]:
        del os.environ[name]
    os.environ |= {f"TOKENPOOL_{name.upper()}": text for name, text in settings.items()}
    sys.argv = ["tokenpool", "serve", "--data", settings["data"], "--port", str(free_port())]
    listen = uvicorn.run

    def listen_when_told(app: str, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        _fork_for_each(pipe, lambda order: listen(app, **{**options, "port": order.port}))

    points.put("uvicorn:run", listen_when_told)
    command, _ = points.found("tokenpool.cli.main:run")
    command.run()


def _fork_for_each(pipe: Connection, listen: Callable[[Order], None]) -> None:
    """Start a server for each order that comes; when none will come any more, end those that still run."""
    for module in ("django.db", "tokenpool.config.urls", "tokenpool.config.wiring"):
        importlib.import_module(module)  # once, for all starts
    points.found("django.db:connections.close_all")[0].close_all()
    running = set[int]()

    def bury(*_: object) -> None:
        """Let who has died be gone at once, and forget the number: somebody else may get it."""
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                running.discard(pid)

    signal.signal(signal.SIGCHLD, bury)
    with suppress(EOFError):
        while True:
            order = Order(**json.loads(pipe.recv_bytes()))
            pid = os.fork()
            if not pid:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _suffer(order)
                listen(order)
                os._exit(0)
            running.add(pid)
            pipe.send_bytes(str(pid).encode())
    for pid in running.copy():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _suffer(order: Order) -> None:
    """Do to this process what was ordered: short leases, quick looks, a clock of its own, a point to die at."""
    for name, seconds in {"RESOLVER": 0.2, "BATCHES": 0.2, "COURIER": 0.1, "SPOOL": 0.1}.items():
        points.put(f"tokenpool.config.wiring:{name}_SECONDS", seconds)
    for name, seconds in {"LEASE_SECONDS": LEASE_SECONDS, "RENEW_SECONDS": LEASE_SECONDS / 3}.items():
        points.put(f"tokenpool.gateway.journal:{name}", seconds)
    for name, value in {"LOOK": LOOK, "SELDOM": LOOK, "NEVER_ARRIVED": NEVER_ARRIVED, "AT_ONCE": AT_ONCE}.items():
        points.put(f"tokenpool.gateway.batches.watch:{name}", value)
    points.put("tokenpool.gateway.batches.creation:LOOK", LOOK)
    resolver, _ = points.found("tokenpool.gateway.resolver:Resolver.run_once")
    resolver.__init__.__kwdefaults__["watch_seconds"] = WATCH_SECONDS
    defaults = Authorize._field_defaults | {"lease_seconds": LEASE_SECONDS}
    Authorize.__new__.__defaults__ = tuple(defaults.values())
    ahead = timedelta(seconds=order.ahead_seconds)
    points.put("tokenpool.kernel.clock:now", lambda: datetime.now(UTC) + ahead)
    if order.away:
        points.wrap("tokenpool.kernel.group_commit:GroupCommit.submit", _refuse_ends)
    if order.mutant:
        mutants.infect_server(order.mutant)
    if order.point:
        points.arm(order.point, order.nth)


def _refuse_ends(args: tuple[Any, ...], _named: dict[str, Any]) -> None:
    if isinstance(args[2], Settle | Void):
        raise Unavailable("The database is away, for this proof.")
