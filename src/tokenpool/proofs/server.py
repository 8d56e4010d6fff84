"""A PostgreSQL of our own: `initdb` in a folder of its own, an unprivileged user, a socket, no network."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tokenpool.kernel.errors import InvalidInput

MISSING = "PostgreSQL 15 or newer is missing: apt-get install postgresql (or put initdb and postgres on the PATH)."
_UNPRIVILEGED: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}
_START_SECONDS, _AGAIN_SECONDS = 30, 2


class Server:
    """A running server; `url(name)` is the address of one of its databases."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """Start on the data in *folder*, made when there are none; *settings* are the server's."""
        self.folder, self._data, self._log = folder, folder / "data", folder / "log"
        self._settings = {"listen_addresses": "", "unix_socket_directories": str(folder), "max_connections": "80"}
        self._settings |= settings
        self._as = _UNPRIVILEGED if os.geteuid() == 0 else {}
        if self._as:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        if self._data.exists():
            self._data.chmod(0o700)
            (self._data / "postmaster.pid").unlink(missing_ok=True)  # of a server that power loss or a copy left behind
        else:
            words = [binary("initdb"), "-D", str(self._data), "-U", "tokenpool", "--auth=trust", "--wal-segsize=1"]
            words += ["--no-sync", "--encoding=UTF8", "--locale=C"]
            subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, **self._as)
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        self._launch()
        began = time.monotonic()
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                ended = self.process.poll() is not None
                if time.monotonic() - began > (_AGAIN_SECONDS if ended else _START_SECONDS):
                    raise RuntimeError(self._log.read_text()[-2000:]) from None
                if ended:  # what was killed may still hold the folder
                    self._launch()
                time.sleep(0.05)
            else:
                return

    def stop(self, kind: signal.Signals = signal.SIGINT) -> None:
        """Stop it (SIGINT: in order; SIGQUIT: as in a crash) and wait."""
        self.process.send_signal(kind)
        self.process.wait(_START_SECONDS)

    def kill(self) -> None:
        """Kill the server and every process of it at once, as `kill -9` does."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in (self.process.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let every process of it stand still within the block."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.process.send_signal(signal.SIGSTOP)  # first: from now on it starts no others
        standing = [int(child) for child in children.read_text().split()]
        for child in standing:
            os.kill(child, signal.SIGSTOP)
        try:
            yield
        finally:
            for child in (*standing, self.process.pid):
                os.kill(child, signal.SIGCONT)

    def url(self, name: str) -> str:
        """Return the address of the database *name*."""
        return f"postgresql://tokenpool@/{name}?host={self.folder}"

    def run(self, sql: str) -> None:
        """Run one statement outside any database of the ledger."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql)

    def _launch(self) -> None:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        words = [binary("postgres"), "-D", str(self._data), *options]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log, **self._as)


def binary(name: str) -> str:
    """Return the path of a server program, from the PATH or from Debian's folders.

    Raises:
        InvalidInput: it is not installed; says how to get it.
    """
    found = shutil.which(name)
    if found is None:
        folders = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
        found = str(folders[-1]) if folders else None
    if found is None:
        raise InvalidInput(MISSING)
    return found
