"""The one module that speaks to the provider: connections, timeouts, and the headers that go out.

Outbound headers are rebuilt from an allow-list; redirects are not followed; nothing of the
environment (proxies, netrc) is consulted.
"""

import io
import re
import socket
import time
from collections.abc import AsyncGenerator, Iterable
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import ResolveResult
from starlette.datastructures import Headers

from tokenpool.kernel.errors import TokenpoolError

CONNECT_SECONDS = 5
STREAM_IDLE_SECONDS = 90
ANSWER_SECONDS = 900
STALE_SECONDS = 1.0  # a connection that breaks sooner had been closed before the request came
MOST_ANSWER_BYTES = 64 * 2**20
LARGE_BODY_BYTES = 2**20  # sent in pieces, so that the loop goes on
REDIRECTS = (300, 301, 302, 303, 304, 305, 307, 308)
_ALWAYS = ("content-type", "accept", "user-agent", "x-client-request-id", "traceparent")
OUTBOUND = {
    "anthropic": ("anthropic-version", "anthropic-beta", *_ALWAYS),
    "openai": ("openai-beta", *_ALWAYS),
}
KEY_IN = {"anthropic": ("x-api-key", "{}"), "openai": ("authorization", "Bearer {}")}
_HIDDEN_INBOUND = (
    "connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade",
    "content-length", "content-encoding", "set-cookie", "server", "date", "alt-svc", "via", "location",
    "request-id", "x-request-id", "anthropic-organization-id", "anthropic-workspace-id",
    "openai-organization", "openai-project",
)  # fmt: skip
_QUOTAS = ("anthropic-ratelimit-", "x-ratelimit-")
_ACCOUNT = re.compile(rb"\b((?:org|proj|wrkspc)[-_])[A-Za-z0-9]{16,}|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


Reply = aiohttp.ClientResponse


class UpstreamAway(TokenpoolError):
    """The provider could not be reached, or went away before it answered.

    `worked`: it may have written a whole answer by then, so it is not known that nothing is billed.
    `reached`: it may have taken the request.
    """

    status = 502
    kind = "api_error"
    worked = False
    reached = True


class Upstream:
    """One provider, through a pool of connections of its own that belongs to the event loop."""

    def __init__(
        self,
        *,
        name: str,
        url: str,
        api_key: str,
        speaks: str = "anthropic",
        models: tuple[str, ...] = ("*",),
        drains: bool = False,
        prices: str = "",
        internal: bool = False,
        passes: tuple[str, ...] = (),
    ) -> None:
        """Speak to *url* with *api_key*; all of it comes from the operator's settings alone."""
        self.name, self.speaks, self.models, self.drains, self.prices = name, speaks, models, drains, prices
        self.passes = passes
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._internal = internal
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, path: str, *, query: str = "", headers: Headers, body: bytes | None, stream: bool
    ) -> aiohttp.ClientResponse:
        """Send a request to *path* and return the answer once its headers are here; the caller reads or closes it.

        *path* is this side's word, never the client's: `/v1/…`, whose version is part of an OpenAI base address.

        Raises:
            UpstreamAway: no connection, it broke before the headers, or the answer is a redirect.
        """
        data = io.BytesIO(body) if body and len(body) > LARGE_BODY_BYTES else body
        idle = STREAM_IDLE_SECONDS if stream else ANSWER_SECONDS
        began = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle)
        address = self._url + (path.removeprefix("/v1") if self.speaks == "openai" else path)
        try:
            answer = await self._pool().request(
                method,
                f"{address}?{query}" if query else address,
                headers=self._outbound(headers),
                data=data,
                timeout=timeout,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _away(error, stream=stream, seconds=time.monotonic() - began) from error
        if answer.status in REDIRECTS:
            answer.close()
            raise UpstreamAway(f"The provider answered with a redirect ({answer.status}), and none is followed.")
        return answer

    def hiding(self, body: bytes) -> bytes:
        """Return the body of an error without what it tells of the operator's account: its key, its ids."""
        hidden = body.replace(self._api_key.encode(), b"...") if self._api_key else body
        return _ACCOUNT.sub(rb"\1...", hidden)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            resolver = _Resolver(internal=self._internal)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60, resolver=resolver),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("user-agent", "accept-encoding"),
                read_bufsize=2**18,
            )
        return self._session

    def _outbound(self, headers: Headers) -> dict[str, str]:
        found = {name: ", ".join(headers.getlist(name)) for name in OUTBOUND[self.speaks] if name in headers}
        found["accept-encoding"] = "identity"
        if self.speaks == "anthropic":
            found.setdefault("anthropic-version", "2023-06-01")
        if self._api_key:
            name, value = KEY_IN[self.speaks]
            found[name] = value.format(self._api_key)
        return found


class _Resolver(aiohttp.ThreadedResolver):
    """Names lead to public addresses; to private ones only where the operator said so, to metadata services never.

    What is looked at here is what is connected to, so a name that changes its mind gains nothing.
    """

    def __init__(self, *, internal: bool) -> None:
        super().__init__()
        self._internal = internal

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of *host* that may be connected to.

        Raises:
            OSError: it has none.
        """
        found = [one for one in await super().resolve(host, port, family) if self._allows(host, one["host"])]
        if not found:
            raise OSError(f"{host} has no address that may be connected to")
        return found

    def _allows(self, host: str, address: str) -> bool:
        found = ip_address(address)
        found = getattr(found, "ipv4_mapped", None) or found
        if found.is_loopback and host == "localhost":
            return True
        return found.is_global or (self._internal and not found.is_link_local)


def _away(error: Exception, *, stream: bool, seconds: float) -> UpstreamAway:
    """Tell apart a request that nobody took, or whose answer had not begun, from a whole answer that was lost."""
    unreached = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | ValueError)
    if stream or unreached or seconds < STALE_SECONDS:
        away = UpstreamAway(f"The provider cannot be reached ({type(error).__name__}). Nothing was billed.")
        away.reached = not unreached
        return away
    away = UpstreamAway(f"The provider did not answer ({type(error).__name__}); it was billed as an estimate.")
    away.worked = True
    return away


async def whole(answer: aiohttp.ClientResponse) -> bytes:
    """Return the whole body of an answer.

    Raises:
        aiohttp.ClientPayloadError: it is larger than any answer of a model; the rest is not read.
    """
    pieces, size = [], 0
    try:
        async for piece in answer.content.iter_any():
            size += len(piece)
            if size > MOST_ANSWER_BYTES:
                raise aiohttp.ClientPayloadError
            pieces.append(piece)
    finally:
        answer.close()  # a connection whose answer was read to its end has gone back by itself
    return b"".join(pieces)


async def lines(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Yield the lines of an answer of any length without their ends, empty ones left out; closes it at the end.

    Raises:
        UpstreamAway: it broke off, or a line is larger than any answer of a model.
    """
    rest: list[bytes] = []
    try:
        async for piece in answer.content.iter_any():
            *whole_lines, last = piece.split(b"\n")
            for line in whole_lines:
                found = b"".join([*rest, line])
                rest = []
                if found.strip():
                    yield found
            rest.append(last)
            if sum(map(len, rest)) > MOST_ANSWER_BYTES:
                raise UpstreamAway("The provider's answer has a line without end.")
        if b"".join(rest).strip():
            yield b"".join(rest)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UpstreamAway("The provider's answer broke off.") from error
    finally:
        answer.close()


def left_over(answer: aiohttp.ClientResponse) -> bytes:
    """Return what had arrived when the connection broke: aiohttp raises before it hands that out."""
    return answer.content._read_nowait(-1)  # noqa: SLF001 - its public readers raise first


def inbound(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the provider's headers that a client may see: no quotas of the shared account, no identities."""
    return {
        name.lower(): value
        for name, value in pairs
        if name.lower() not in _HIDDEN_INBOUND and not name.lower().startswith(_QUOTAS)
    }
