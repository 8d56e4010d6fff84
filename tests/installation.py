"""An installation as an operator makes it: `init`, then `serve` or `demo` in a process of its own."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

OWNER, PASSWORD = "ada@aurora.example", "quiet exact fast 26"
COMMAND = [sys.executable, "-c", "from tokenpool.cli.main import run; run()"]
START_SECONDS = 60
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("TOKENPOOL_", "DJANGO_"))}


@dataclass
class Installation:
    """A served installation, and a program with its first keys."""

    url: str
    access: dict[str, Any]
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: object = None, *, kind: str = "admin") -> Any:
        """Call the API with the key of *kind*; what is refused fails the test."""
        headers = {"x-api-key": self.access[f"{kind}_key"]}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            told = await answer.json()
            assert answer.status < 300, told
            return told

    async def owner_id(self) -> str:
        """Return the owner's id as a member."""
        return str((await self.call("GET", "/v1/tokenpool/members"))["data"][0]["id"])


class Browser:
    """What of a person's browser the console needs: cookies, forms with their token, the address they come from."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session

    async def sign_in(self, email: str = OWNER, password: str = PASSWORD) -> aiohttp.ClientResponse:
        """Sign in; return the page that is shown then."""
        return await self.submit("/accounts/login/", {"login": email, "password": password})

    async def submit(self, path: str, fields: dict[str, str], *, of: str | None = None) -> aiohttp.ClientResponse:
        """Open the page *of* a form (by default the one it is sent to), send it, and follow to the page shown then."""
        page = self.url + (of or path)
        async with self.session.get(page) as shown:
            token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', await shown.text())
        assert token is not None
        origin = {"origin": self.url, "referer": page}
        sent = await self.session.post(
            self.url + path, data={**fields, "csrfmiddlewaretoken": token[1]}, headers=origin
        )
        await sent.read()
        return sent


@asynccontextmanager
async def installed(folder: Path, upstream_url: str, **settings: str) -> AsyncIterator[Installation]:
    """Serve a new installation within the block, at a free port unless the settings say a public address."""
    access, port = begun(folder), free_port()
    url = f"http://127.0.0.1:{port}"
    upstream = {"TOKENPOOL_UPSTREAM_URL": upstream_url, "TOKENPOOL_UPSTREAM_API_KEY": "the provider's own key"}
    words = ("serve", "--data", str(folder / "data"), "--port", str(port))
    with running(*words, url=url, **upstream, **settings):
        async with aiohttp.ClientSession() as session:
            yield Installation(url, access, session)


def begun(folder: Path) -> dict[str, Any]:
    """Make a new installation in the folder `data` of *folder*; return what `init` tells."""
    folder.mkdir(exist_ok=True)
    password = folder / "password"
    password.write_text(PASSWORD)
    names = ("--organization", "Aurora", "--owner-email", OWNER, "--owner-password-file", str(password))
    words = (*COMMAND, "init", *names, "--data", str(folder / "data"), "--json")
    told: dict[str, Any] = json.loads(subprocess.run(words, env=CLEAN, stdout=subprocess.PIPE, check=True).stdout)
    return told


@contextmanager
def running(*words: str, url: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command with *words* within the block, which begins when it answers at *url*."""
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, env={**CLEAN, **settings})
    try:
        _wait(process, f"{url}/readyz")
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    began = time.monotonic()
    while time.monotonic() < began + START_SECONDS:
        with suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        assert process.poll() is None, "it has ended instead of starting"
        time.sleep(0.05)
    raise TimeoutError(f"Nobody answered at {url}.")


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
