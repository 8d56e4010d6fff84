"""An installation as an operator makes it: `init`, then `serve` in a process of its own."""

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

OWNER, PASSWORD = "ada@aurora.example", "quiet exact fast 26"
COMMAND = [sys.executable, "-c", "from tokenpool.cli.main import run; run()"]
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
    folder.mkdir()  # noqa: ASYNC240 - once, in a temporary folder
    password, data, port = folder / "password", str(folder / "data"), free_port()
    password.write_text(PASSWORD)
    names = ("--organization", "Aurora", "--owner-email", OWNER, "--owner-password-file", str(password))
    begun = await asyncio.create_subprocess_exec(
        *COMMAND, "init", *names, "--data", data, "--json", stdout=asyncio.subprocess.PIPE, env=CLEAN
    )
    access = json.loads((await begun.communicate())[0])
    upstream = {"TOKENPOOL_UPSTREAM_URL": upstream_url, "TOKENPOOL_UPSTREAM_API_KEY": "the provider's own key"}
    url = f"http://127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "serve", "--data", data, "--port", str(port),
        stdout=asyncio.subprocess.DEVNULL, env={**CLEAN, **upstream, **settings},
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        try:
            await _healthy(session, url)
            yield Installation(url, access, session)
        finally:
            process.terminate()
            await process.wait()


async def _healthy(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
