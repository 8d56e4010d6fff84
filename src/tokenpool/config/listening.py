"""How this process listens: limits on what a request's head may be, and no patience for clients that trickle.

A head is at most 64 KiB in 256 headers and must be complete within ten seconds; a body must come at
1 KiB a second at least. Whoever is slower or larger gets an answer in the error envelope and the
connection is closed, so slow clients cannot hold what others need.
"""

import asyncio
import json
import resource
import socket
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MOST_HEADERS = 256
MOST_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
BODY_SECONDS = 10.0
UNREAD_MILLISECONDS = 90_000
LEAST_BODY_BYTES = 10 * 1024  # within BODY_SECONDS
MOST_CONNECTIONS = 10_000
FILES_PER_CONNECTION = 2  # its own, and one to the provider
OTHER_FILES = 100


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
        "timeout_graceful_shutdown": 20,
        "limit_concurrency": min(MOST_CONNECTIONS, (hard - OTHER_FILES) // FILES_PER_CONNECTION),
    }


class PatientProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with a limit to its patience."""

    _timer: asyncio.TimerHandle | None = None
    _heard = False
    _in_head = True  # also before the first byte of a connection
    _unfinished = True
    _head_bytes = 0
    _body_bytes = 0
    _refusal: tuple[HTTPStatus, str] = (HTTPStatus.BAD_REQUEST, "This is not an HTTP request.")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a peer that takes nothing for so long is gone
            connected = transport.get_extra_info("socket")
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; what is unfinished after them is watched."""
        self._heard = True
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _too_large())
        elif self._unfinished and self._timer is None:
            self._watch()

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
        """Go on to the body."""
        super().on_headers_complete()
        self._in_head = False
        self._unwatch()

    def on_body(self, body: bytes) -> None:
        """Count the body, also when nobody reads it."""
        super().on_body(body)
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        """Stop waiting: the request is here."""
        super().on_message_complete()
        self._unfinished = False
        self._unwatch()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence has no remedy
        """Answer what could not be parsed."""
        self._refuse(*self._refusal)

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


def _too_large() -> str:
    return f"The head of the request is larger than {MOST_HEADERS} headers or {MOST_HEAD_BYTES // 1024} KiB."
