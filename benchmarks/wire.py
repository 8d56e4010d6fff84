"""Both ends of the gateway's benchmarks: a provider and clients that cost next to nothing, and a server between."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httptools

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from installation import begun, free_port, running  # type: ignore[import-not-found]

MODEL, MEMBERS, OK = "claude-sonnet-4-5", 8, 200
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
    "model": MODEL,
    "content": [{"type": "text", "text": "hello " * 20}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
BODY = {"model": MODEL, "max_tokens": 512, "messages": [{"role": "user", "content": "please answer " * 12}]}
DELAY_SECONDS, DELTAS, STREAM_SECONDS = 0.001, 20, 0.109
STAMP = b"sent at "  # in the text of a delta, with nanoseconds of the clock that all processes share behind it


def _event(name: str, **facts: object) -> bytes:
    text = f"event: {name}\ndata: {json.dumps({'type': name, **facts})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(text), text)


class Provider(asyncio.Protocol):
    """Answers whole after a constant millisecond, or streams twenty deltas in 109."""

    whole = json.dumps(MESSAGE).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole)
    begin = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + _event(
        "message_start", message={**MESSAGE, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    )
    delta = _event("content_block_delta", index=0, delta={"type": "text_delta", "text": STAMP.decode() + "0" * 20})
    end = (
        _event("content_block_stop", index=0)
        + _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 400})
        + _event("message_stop")
        + b"0\r\n\r\n"
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection."""
        self.transport, self.loop = transport, asyncio.get_running_loop()
        self.parser, self.streams = httptools.HttpRequestParser(self), False

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Look whether a stream is asked for."""
        self.streams = self.streams or b'"stream": true' in body or b'"stream":true' in body

    def on_message_complete(self) -> None:
        """Answer a whole request."""
        self.loop.call_later(DELAY_SECONDS, self._begin if self.streams else self._answer)
        self.streams = False

    def _answer(self) -> None:
        self._write(self.head + self.whole)

    def _begin(self) -> None:
        self._write(self.begin)
        self._next(self.loop.time(), 1)

    def _next(self, began: float, number: int) -> None:
        self.loop.call_at(began + STREAM_SECONDS * number / DELTAS, self._go_on, began, number)

    def _go_on(self, began: float, number: int) -> None:
        if number == DELTAS:
            self._write(self.end)
        else:
            self._write(self.delta.replace(b"0" * 20, b"%020d" % time.monotonic_ns()))
            self._next(began, number + 1)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)  # type: ignore[attr-defined]


class Connection(asyncio.Protocol):
    """A kept connection that sends one request at a time; *delays* gathers how old a delta was, in seconds."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.first = 0.0
        self.delays: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self.first = self.first or time.perf_counter()
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Look how old the oldest delta of a piece is."""
        found = body.find(STAMP)
        if found >= 0:
            sent = int(body[found + len(STAMP) : found + len(STAMP) + 20])
            self.delays.append((time.monotonic_ns() - sent) / 1e9)

    def on_message_complete(self) -> None:
        """Wake the caller."""
        self.done.set_result(self.parser.get_status_code())

    async def ask(self) -> int:
        """Send the request and return the answer's status; `first` is then when its first byte came."""
        self.parser, self.first = httptools.HttpResponseParser(self), 0.0
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.transport.write(self.request)  # type: ignore[attr-defined]
        return await self.done


async def provided(port: int = 0) -> str:
    """Serve the provider at *port* (0: a free one) as long as the loop runs; return its address."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def connected(url: str, key: str, *, stream: bool = False, body: bytes = b"") -> Connection:
    """Open a connection to *url* that will send the usual request, or another *body*."""
    place, body = urlsplit(url), body or json.dumps({**BODY, "stream": stream}).encode()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\nx-api-key: {key}\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    request = head.encode() + body
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: Connection(request), place.hostname or "", place.port or 80)
    return made


async def saturation(connections: list[Connection], seconds: float, *, status: int = OK) -> float:
    """Return requests per second of *connections* that ask again as soon as they are answered.

    Raises:
        RuntimeError: an answer was not the *status* expected.
    """
    end = time.perf_counter() + seconds
    answered = 0

    async def caller(connection: Connection) -> None:
        nonlocal answered
        while time.perf_counter() < end:
            found = await connection.ask()
            if found != status:
                raise RuntimeError(f"answered {found}, not {status}")
            answered += 1

    await asyncio.gather(*map(caller, connections))
    return answered / seconds


@dataclass
class Server:
    """A `tokenpool serve` with limits at each level and keys of members, the last of whom may spend nothing."""

    process: subprocess.Popen[bytes]
    url: str
    keys: list[str]

    async def connected(self, count: int, *, stream: bool = False) -> list[Connection]:
        """Open *count* connections, spread over the members who may spend."""
        keys = self.keys[:-1]
        return [await connected(self.url, keys[one % len(keys)], stream=stream) for one in range(count)]

    def forget_peak(self) -> None:
        """Have the kernel measure the peak of the memory (VmHWM) from now on."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def memory_bytes(self, what: str = "VmRSS") -> int:
        """Return a figure of the process's memory as the kernel tells it."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith(what)))


@contextmanager
def relaying(upstream: str) -> Iterator[str]:
    """Run the bare relay in front of *upstream*, a provider on this machine."""
    command = [sys.executable, str(Path(__file__).parent / "bare_relay.py"), str(urlsplit(upstream).port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"  # type: ignore[union-attr]
        finally:
            process.terminate()


def _call(url: str, key: str, path: str, body: object) -> dict[str, object]:
    headers = {"x-api-key": key, "content-type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)  # noqa: S310 - our own process
    found: dict[str, object] = json.loads(urllib.request.urlopen(request).read())  # noqa: S310
    return found


@contextmanager
def serving(upstream: str) -> Iterator[Server]:
    """Run `tokenpool serve` in front of *upstream*."""
    folder, port = Path(tempfile.mkdtemp(prefix="tokenpool-bench-")), free_port()
    admin, url = begun(folder)["admin_key"], f"http://127.0.0.1:{port}"
    settings = {"TOKENPOOL_UPSTREAM_URL": upstream, "TOKENPOOL_UPSTREAM_API_KEY": "x", "TOKENPOOL_PUBLIC_URL": url}
    with running("serve", "--data", str(folder / "data"), "--port", str(port), url=url, **settings) as process:
        yield Server(process, url, _furnished(url, admin))


def _furnished(url: str, admin: str) -> list[str]:
    """Make members with a key each, and limits of every level; return the keys."""
    scopes: list[tuple[dict[str, object], str]] = [
        ({"type": "organization"}, "99999999"),
        ({"type": "seat_tier", "seat_tier": "chat"}, "99999999"),
    ]
    keys = []
    for number in range(MEMBERS + 1):
        person = {"email": f"m{number}@b.example", "name": "M", "seat_type": "chat"}
        member = _call(url, admin, "/v1/tokenpool/members", person)
        made = _call(url, admin, f"/v1/tokenpool/members/{member['id']}/keys", {"product": "chat", "name": "k"})
        keys.append(str(made["key"]))
        scopes.append(({"type": "user", "user_id": member["id"]}, "0" if number == MEMBERS else "99999999"))
    for scope, amount in scopes:
        _call(url, admin, "/v1/organizations/spend_limits", {"scope": scope, "amount": amount})
    return keys
