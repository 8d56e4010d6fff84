"""The gateway with three limits and durable settlement, against the provider asked directly and any peer, in one run.

Starts a provider that answers after a constant millisecond, `tokenpool serve` in front of it, and a
driver; prints requests per second at saturation, what the gateway adds at 40 requests a second, and
the ratio to a peer that already listens. Usage:
python benchmarks/gateway.py [--seconds 6] [--connections 32] [--peer http://127.0.0.1:4000 --peer-key sk-...]
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httptools
import uvloop

USAGE = {
    "input_tokens": 1200,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 4000,
    "output_tokens": 400,
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "hello " * 20}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
BODY = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 512,
    "messages": [{"role": "user", "content": "please answer " * 12}],
}
RATE, DELAY_SECONDS = 40, 0.001


class Provider(asyncio.Protocol):
    """Answers every request with the same message after a constant delay."""

    answer = json.dumps(MESSAGE).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection."""
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer a whole request."""
        asyncio.get_running_loop().call_later(DELAY_SECONDS, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.head + self.answer)  # type: ignore[attr-defined]


class Connection(asyncio.Protocol):
    """A kept connection that sends one request at a time."""

    def __init__(self, request: bytes) -> None:
        self.request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Wake the caller."""
        self.done.set_result(self.parser.get_status_code())

    async def ask(self) -> int:
        """Send the request and return the answer's status."""
        self.parser = httptools.HttpResponseParser(self)
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.transport.write(self.request)  # type: ignore[attr-defined]
        return await self.done


async def connected(url: str, key: str) -> Connection:
    """Open a connection to *url* that will send the usual request."""
    place, body = urlsplit(url), json.dumps(BODY).encode()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\nx-api-key: {key}\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    request = head.encode() + body
    _, made = await loop.create_connection(lambda: Connection(request), place.hostname or "", place.port or 80)
    return made


async def saturation(url: str, key: str, *, connections: int, seconds: float) -> float:
    """Return requests per second of *connections* that ask again as soon as they are answered."""
    end = time.perf_counter() + seconds
    answered = 0

    async def caller() -> None:
        nonlocal answered
        connection = await connected(url, key)
        while time.perf_counter() < end:
            status = await connection.ask()
            if status != 200:  # noqa: PLR2004 - OK
                raise RuntimeError(f"{url} answered {status}")
            answered += 1

    await asyncio.gather(*(caller() for _ in range(connections)))
    return answered / seconds


async def low_load(url: str, key: str, *, seconds: float) -> list[float]:
    """Return latencies at 40 requests a second."""
    free, waits, tasks = [await connected(url, key) for _ in range(8)], [], []
    await asyncio.gather(*(connection.ask() for connection in free))

    async def one() -> None:
        began = time.perf_counter()
        connection = free.pop() if free else await connected(url, key)
        await connection.ask()
        waits.append(time.perf_counter() - began)
        free.append(connection)

    began = time.perf_counter()
    for number in range(int(RATE * seconds)):
        await asyncio.sleep(max(0, began + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    return sorted(waits)


def port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(url: str, key: str, path: str, body: object) -> dict[str, object]:
    """Call our own API."""
    headers = {"x-api-key": key, "content-type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)  # noqa: S310 - our own process
    found: dict[str, object] = json.loads(urllib.request.urlopen(request).read())  # noqa: S310
    return found


def started(upstream: str) -> tuple[subprocess.Popen[bytes], str, str]:
    """Start `tokenpool serve` with one member and a limit at each level; return process, address and key."""
    folder = Path(tempfile.mkdtemp(prefix="tokenpool-bench-"))
    (folder / "password").write_text("quiet exact fast 26")
    run = [sys.executable, "-c", "from tokenpool.cli.main import run; run()"]
    begin = ["init", "--organization", "Bench", "--owner-email", "a@b.example", "--owner-password-file",
             str(folder / "password"), "--data", str(folder), "--json"]  # fmt: skip
    done = subprocess.run([*run, *begin], capture_output=True, check=True)
    admin = json.loads(done.stdout)["admin_key"]
    own = port()
    url = f"http://127.0.0.1:{own}"
    settings = {"TOKENPOOL_UPSTREAM_URL": upstream, "TOKENPOOL_UPSTREAM_API_KEY": "x", "TOKENPOOL_PUBLIC_URL": url}
    process = subprocess.Popen(
        [*run, "serve", "--data", str(folder), "--port", str(own)], env={**os.environ, **settings}
    )
    for _ in range(200):
        try:
            urllib.request.urlopen(url + "/healthz")  # noqa: S310 - our own process
            break
        except OSError:
            time.sleep(0.05)
    member = call(url, admin, "/v1/tokenpool/members", {"email": "m@b.example", "name": "M", "seat_type": "chat"})
    key = call(url, admin, f"/v1/tokenpool/members/{member['id']}/keys", {"product": "chat", "name": "k"})
    for scope in (
        {"type": "organization"},
        {"type": "seat_tier", "seat_tier": "chat"},
        {"type": "user", "user_id": member["id"]},
    ):
        call(url, admin, "/v1/organizations/spend_limits", {"scope": scope, "amount": "99999999"})
    return process, url, str(key["key"])


async def measure(given: argparse.Namespace) -> None:
    """Measure in turn, three times, and print medians and ratios."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    process, url, key = await asyncio.to_thread(started, upstream)
    places: dict[str, Callable[[], Awaitable[float]]] = {
        "tokenpool": lambda: saturation(url, key, connections=given.connections, seconds=given.seconds)
    }
    if given.peer:
        places["peer"] = lambda: saturation(given.peer, given.peer_key, connections=8, seconds=given.seconds)
    try:
        found = {name: statistics.median([await measured() for _ in range(3)]) for name, measured in places.items()}
        direct, ours = await low_load(upstream, key, seconds=8), await low_load(url, key, seconds=8)
    finally:
        process.terminate()
        process.wait(timeout=30)
    for name, per_second in found.items():
        what = "3 limits enforced, settlement durable" if name == "tokenpool" else "as it listens"
        print(f"{name:12} {per_second:8,.0f} req/s, {what}")
    if given.peer:
        print(f"ratio        {found['tokenpool'] / found['peer']:8.1f} x")
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        index = int(len(ours) * share)
        added = (ours[index] - direct[index]) * 1000
        beside = f"{ours[index] * 1000:.2f} against {direct[index] * 1000:.2f}"
        print(f"added {name}    {added:8.2f} ms at {RATE} req/s ({beside})")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=6)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--peer", default="")
    options.add_argument("--peer-key", default="")
    uvloop.run(measure(options.parse_args()))
