"""A PostgreSQL of the tests' own: `initdb` in a temporary folder, an unprivileged user, a socket, no network."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

MISSING = "PostgreSQL 15 or newer is missing: apt-get install postgresql (or put initdb and postgres on the PATH)."


class Server:
    """A running server; `url(name)` is the address of one of its databases."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tokenpool-postgres-", dir="/tmp"))
        self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            shutil.chown(self.folder, "nobody", "nogroup")
        initdb = [binary("initdb"), "-D", str(self.folder / "data"), "-U", "tokenpool", "--auth=trust"]
        subprocess.run(
            [*initdb, "--no-sync", "--encoding=UTF8", "--locale=C"],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            **self._as,
        )
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        self._launch()
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                if self.process.poll() is not None:  # what was killed may still hold the folder
                    self._launch()
                time.sleep(0.05)
            else:
                return

    def _launch(self) -> None:
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.folder), "max_connections": "80"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary("postgres"), "-D", str(self.folder / "data"), *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._as,
            )

    def stop(self, kind: signal.Signals = signal.SIGINT) -> None:
        """Stop it (SIGINT: in order; SIGQUIT: as in a crash) and wait."""
        self.process.send_signal(kind)
        self.process.wait(30)

    def url(self, name: str) -> str:
        """Return the address of the database *name*."""
        return f"postgresql://tokenpool@/{name}?host={self.folder}"

    def run(self, sql: str) -> None:
        """Run one statement outside any database of the tests."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql)


def binary(name: str) -> str:
    """Return the path of a server program, from the PATH or from Debian's folders."""
    found = shutil.which(name)
    if found is None:
        folders = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
        found = str(folders[-1]) if folders else None
    if found is None:
        raise RuntimeError(MISSING)
    return found
