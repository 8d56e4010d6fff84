"""One connection to a provider: a request at a time over HTTP/1.1, and its answer handed on as it comes.

The parser is the server's own (llhttp in its strict mode). An answer that begins when nothing was asked,
or that no parser would read the same way, ends the connection.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Self, cast

import httptools

MOST_HEADER_BYTES = 2**16  # in a row also of anything else that is no body: provisional answers, trailers
MOST_WAITING_BYTES = 2**18  # of an answer that nobody takes; the provider waits from there on
PIECE_BYTES = 2**18  # of a body; a larger one is sent in pieces, so that the loop goes on
_BODILESS = (204, 304)
_FIRST_FINAL, _LAST_FINAL = 200, 599


class Broken(Exception):
    """The connection broke off, was silent for too long, or what came is no answer."""


class Answer:
    """The answer to one request: `status` and `headers` in lower case, then the pieces of its body as they come."""

    __slots__ = ("_connection", "_error", "_pieces", "_whole", "headers", "news", "status", "waiting")

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.waiting = 0  # bytes that came and were not taken
        self.news: asyncio.Future[None] | None = None
        self._connection = connection
        self._pieces: list[bytes] = []
        self._whole = False
        self._error: Broken | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return what came since the last time, or wait for it.

        Raises:
            Broken: the connection did, after all that came was returned.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._whole:
                raise StopAsyncIteration
            await self.wait()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self.waiting = 0
        self._connection.read_on()
        return piece

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self._whole or self._error is not None

    @property
    def is_here(self) -> bool:
        """It has begun, or will not."""
        return bool(self.status) or self.is_over

    async def begun(self) -> None:
        """Wait for the status and the headers.

        Raises:
            Broken: the connection did before them.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self.wait()

    async def wait(self) -> None:
        """Wait until something came."""
        self.news = asyncio.get_running_loop().create_future()
        await self.news

    def tell(self) -> None:
        """Wake who waits."""
        if self.news is not None and not self.news.done():
            self.news.set_result(None)

    def add(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)
        self.waiting += len(piece)
        self.tell()

    def end(self, error: Broken | None = None) -> None:
        """Nothing more will come; with *error*, it should have."""
        self._whole, self._error = error is None, error
        self.tell()

    def close(self) -> None:
        """Leave the rest; the provider sees the connection closed."""
        if not self.is_over:
            self._connection.abort()


class Connection(asyncio.Protocol):
    """A connection that is made and kept; `ask` one thing at a time."""

    def __init__(self, free: Callable[["Connection"], None], lost: Callable[["Connection"], None]) -> None:
        """*free* is called when an answer has ended and another request may follow, *lost* when the connection ends."""
        self._free, self._lost = free, lost
        self._parser = httptools.HttpResponseParser(self)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._answer: Answer | None = None
        self._headers: list[tuple[str, str]] = []
        self._header_bytes = 0
        self._bodiless_bytes = 0  # since the last piece of a body
        self._reading = self._writable = self._sent_whole = True
        self._lasts = False  # until the connection ends: its answer has no length
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._patience = 0.0
        self.free_since = 0.0

    @property
    def is_open(self) -> bool:
        """It can take a request: nothing came that nobody has read yet, for it would be no answer to it."""
        if self._transport.is_closing():
            return False
        arrived = select.poll()
        arrived.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not arrived.poll(0)

    async def ask(self, head: bytes, body: bytes, patience: float) -> Answer:
        """Send a request and return its answer once its headers are here.

        *patience* is for how many seconds the provider may be silent, before and within its answer.

        Raises:
            Broken: before the headers were here.
        """
        self._answer = answer = Answer(self)
        self._header_bytes = self._bodiless_bytes = 0
        self._patience, self._heard = patience, self._loop.time()
        self._timer = self._loop.call_later(patience, self._look)
        try:
            await self._send(head, body, answer)
            await answer.begun()
        except BaseException:
            answer.close()  # one that is whole has left the connection, perhaps to another request
            raise
        return answer

    async def _send(self, head: bytes, body: bytes, answer: Answer) -> None:
        """Write it all, or as much as the provider takes before it answers."""
        if len(body) <= PIECE_BYTES:
            self._transport.write(head + body)
            return
        self._transport.write(head)
        rest, self._sent_whole = memoryview(body), False
        while rest and not answer.is_here:
            self._transport.write(rest[:PIECE_BYTES])
            rest = rest[PIECE_BYTES:]
            await asyncio.sleep(0)
            while not (self._writable or answer.is_here):
                await answer.wait()
        self._sent_whole = not rest

    def abort(self, why: str = "closed") -> None:
        """End the connection at once."""
        self._over(Broken(why))
        self._transport.abort()

    def read_on(self) -> None:
        """Let the provider send more."""
        if not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def connection_lost(self, exc: Exception | None) -> None:
        """End an answer without a length well, any other as broken."""
        ends = exc is None and self._answer is not None and self._answer.status and self._lasts
        self._over(None if ends else Broken("disconnected"))
        self._lost(self)

    def pause_writing(self) -> None:
        """Wait with the rest of a large body."""
        self._writable = False

    def resume_writing(self) -> None:
        """Go on with it."""
        self._writable, self._heard = True, self._loop.time()
        if self._answer is not None:
            self._answer.tell()

    def data_received(self, data: bytes) -> None:
        """Read what came; what is no HTTP ends the connection."""
        self._heard = self._loop.time()
        self._bodiless_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort("no HTTP")
            return
        if self._bodiless_bytes > MOST_HEADER_BYTES:
            self.abort("no HTTP")
        elif self._answer is not None and self._answer.waiting > MOST_WAITING_BYTES and self._reading:
            self._reading = False
            self._transport.pause_reading()

    def on_message_begin(self) -> None:
        """Refuse what nobody asked for; take the headers of what follows a provisional answer."""
        if self._answer is None:
            raise Broken("unasked")
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what follows the body is none."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MOST_HEADER_BYTES:
            raise Broken("headers without end")
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Hand on the status and the headers; of a provisional answer nothing."""
        status = self._parser.get_status_code()
        if status > _LAST_FINAL:
            raise Broken("no status")
        if status < _FIRST_FINAL or self._answer is None:
            return
        names = {name for name, _ in self._headers}
        self._lasts = not names & {"content-length", "transfer-encoding"} and status not in _BODILESS
        self._answer.status, self._answer.headers = status, self._headers
        self._headers = []
        self._answer.tell()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece."""
        self._bodiless_bytes = 0
        if self._answer is not None:
            self._answer.add(body)

    def on_message_complete(self) -> None:
        """End the answer; keep the connection if both sides may."""
        if self._answer is None or not self._answer.status:  # a provisional one
            return
        self._over(None)
        if self._parser.should_keep_alive() and self._sent_whole:
            self.free_since = self._loop.time()
            self._free(self)
        else:
            self._transport.abort()  # closing would wait until the rest of a refused body is taken

    def _over(self, error: Broken | None) -> None:
        answer, self._answer = self._answer, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if answer is not None:
            answer.end(error)
            self.read_on()

    def _look(self) -> None:
        """End a connection whose provider has been silent for too long, unless it is this side that does not read."""
        left = self._heard + self._patience - self._loop.time()
        if left <= 0 and self._reading:
            self.abort(f"silent for {self._patience:g} seconds")
        else:
            self._timer = self._loop.call_later(max(left, 1.0), self._look)
