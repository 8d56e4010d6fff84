"""What the pages and the API take of bodies: Django puts a whole one aside before it asks who sends it.

So a body has a limit here, and all that are being read at once have one together, apart from the gateway's.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenpool.gateway.admission import Bodies
from tokenpool.gateway.answers import from_error
from tokenpool.gateway.received import TooLarge
from tokenpool.kernel import ids
from tokenpool.kernel.errors import TokenpoolError

MOST_BYTES = 2_621_440  # of one body: what Django parses at most
MOST_BYTES_AT_ONCE = 128 * 2**20


class FormBodies:
    """Hands bodies on to *app* as long as there is room; what is over is refused and not read on."""

    def __init__(self, app: ASGIApp, most_at_once: int = MOST_BYTES_AT_ONCE) -> None:
        self._app = app
        self._bodies = Bodies(most_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 413 (one body) or 503 (all together)."""
        size, problem = 0, _told_too_large(Headers(scope=scope))

        async def counted() -> Message:
            nonlocal size, problem
            message = await receive()
            more = len(message.get("body", b""))
            try:
                self._bodies.take(more)
            except TokenpoolError as error:
                problem = error
            else:
                size += more
                problem = _too_large() if size > MOST_BYTES else None
            return {"type": "http.disconnect"} if problem else message

        try:
            if problem is None:
                await self._app(scope, counted, send)
        finally:
            self._bodies.give_back(size)
        if problem is not None:
            response = from_error(problem, ids.new("req"))
            response.headers["connection"] = "close"
            await response(scope, receive, send)


def _told_too_large(headers: Headers) -> TokenpoolError | None:
    return _too_large() if int(headers.get("content-length", 0)) > MOST_BYTES else None


def _too_large() -> TokenpoolError:
    return TooLarge(f"The body is larger than {MOST_BYTES:,} bytes.")
