"""How this process listens: limits on what a request's head may be, and no patience for clients that trickle.

A head is at most 64 KiB in 256 headers and must be complete within ten seconds; a body must come at
1 KiB a second at least, and what stands behind it is no longer than a head. Whoever is slower or larger
gets an answer in the error envelope and the connection is closed, so slow clients cannot hold what
others need. Whoever is refused before the body was read may finish it, unread: closing at once would
take the answer back. What a proxy says of a client's address is believed of the proxies that the
operator names, and of this machine's.
"""

import asyncio
import json
import os
import resource
import socket
from http import HTTPStatus
from ipaddress import ip_network
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tokenpool.kernel.errors import InvalidInput

MOST_HEADERS = 256
MOST_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
UNREAD_MILLISECONDS = 90_000
IDLE_SECONDS = 130  # proxies keep a connection for 60 or 120; who closes first must be who may ask
LINGER_SECONDS = 30.0
LEAST_BODY_BYTES = 10 * 1024  # within BODY_SECONDS
MOST_CONNECTIONS = 10_000
FILES_PER_CONNECTION = 2  # its own, and one to the provider
OTHER_FILES = 100
_BODY_HEADERS = {b"content-length", b"transfer-encoding"}
PROXIES = "FORWARDED_ALLOW_IPS"  # uvicorn's name of it


def options() -> dict[str, Any]:
    """Return how uvicorn is to listen; more connections than files allow are turned away with 503."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return {
        "http": PatientProtocol,
        "ws": "none",
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "forwarded_allow_ips": proxies(os.environ.get(PROXIES, "")),
        "timeout_graceful_shutdown": 20,
        "timeout_keep_alive": IDLE_SECONDS,
        "limit_concurrency": min(MOST_CONNECTIONS, (hard - OTHER_FILES) // FILES_PER_CONNECTION),
    }


def proxies(told: str) -> str:
    """Return whose `X-Forwarded-For` is believed: addresses and networks as *told*, else this machine's.

    Raises:
        InvalidInput: something else, which would be believed of nobody; or `*`, which would be of everybody.
    """
    for one in told.split(",") if told else ():
        try:
            ip_network(one.strip())
        except ValueError:
            raise InvalidInput(
                f"{PROXIES}: “{one.strip()}” is no address or network of a proxy; name it like 10.0.0.5, 10.0.0.0/24.",
                field=PROXIES,
            ) from None
    return told or "127.0.0.1,::1"


class PatientProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with a limit to its patience."""

    _timer: asyncio.TimerHandle | None = None
    _heard = False
    _in_head = True  # also before the first byte of a connection
    _unfinished = True
    _lingers = False
    _head_bytes = 0  # also of what stands behind a body's last piece
    _body_bytes = 0
    _refusal: tuple[HTTPStatus, str] = (HTTPStatus.BAD_REQUEST, "This is not an HTTP request.")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._seen_by_answers = cast("asyncio.Transport", _Unhurried(self))
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a peer that takes nothing for so long is gone
            connected = transport.get_extra_info("socket")
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; what is unfinished after them is watched, what nobody waits for is dropped."""
        if self._lingers:
            return
        self._heard = True
        self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unfinished and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _too_large())
        elif self._unfinished and self._timer is None:
            self._watch()
        elif not self._unfinished and self.cycle.response_complete and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(IDLE_SECONDS, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """Begin a request; its head may lie in the same bytes as the one before."""
        super().on_message_begin()
        self._in_head = self._unfinished = True
        self._head_bytes = self._body_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, or give up on the request: there are too many."""
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            self._refusal = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _too_large())
            raise ValueError(name)

    def on_headers_complete(self) -> None:
        """Go on to the body; the parser would take that of a request to upgrade for the next request."""
        if self.parser.should_upgrade() and _BODY_HEADERS & {name for name, _ in self.headers}:
            self._refusal = (HTTPStatus.BAD_REQUEST, "Nothing is upgraded here; send the body without Upgrade.")
            raise ValueError(self.headers)
        super().on_headers_complete()
        self.cycle.transport = self._seen_by_answers
        self._in_head = False
        self._unwatch()

    def on_body(self, body: bytes) -> None:
        """Count the body, also when nobody reads it."""
        super().on_body(body)
        self._body_bytes += len(body)
        self._head_bytes = 0

    def on_message_complete(self) -> None:
        """Stop waiting: the request is here."""
        super().on_message_complete()
        self._unfinished = False
        self._unwatch()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence has no remedy
        """Answer what could not be parsed."""
        self._refuse(*self._refusal)

    def close_after_body(self) -> None:
        """Close when the client does, or in half a minute: bytes that are not read would reset the answer too."""
        if not self._unfinished or self.transport.is_closing():
            self.transport.close()
            return
        self._lingers = True
        self.transport.write_eof()
        self._unwatch()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _watch(self) -> None:
        seconds = HEAD_SECONDS if self._in_head else BODY_SECONDS
        self._timer = self.loop.call_later(seconds, self._look)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Close a connection that is too slow; one whose body came fast enough, or waits for us, is watched on."""
        self._timer = None
        if not self._in_head and (self._body_bytes >= LEAST_BODY_BYTES or self.flow.read_paused):
            self._body_bytes = 0
            self._watch()
        elif not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request came too slowly; send it faster.")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer in the envelope unless an answer has begun, and close."""
        kind = "timeout_error" if status == HTTPStatus.REQUEST_TIMEOUT else "invalid_request_error"
        body = json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": None}).encode()
        if self._heard and self._may_answer():
            head = f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\nx-should-retry: false\r\n"
            self.transport.write(f"{head}connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()

    def _may_answer(self) -> bool:
        """Tell whether bytes written now would not stand within another answer."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or (cycle.response_complete if self._in_head else not cycle.response_started)


class _Unhurried:
    """The connection as an answer sees it."""

    def __init__(self, protocol: PatientProtocol) -> None:
        self.close = protocol.close_after_body
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing


def _too_large() -> str:
    return f"The head of the request is larger than {MOST_HEADERS} headers or {MOST_HEAD_BYTES // 1024} KiB."
