"""The one module that speaks to the provider: connections, timeouts, and the headers that go out.

Outbound headers are rebuilt from an allow-list; redirects are not followed; nothing of the
environment (proxies, netrc) is consulted.
"""

import io
from collections.abc import Iterable

import aiohttp
from starlette.datastructures import Headers

from tokenpool.kernel.errors import TokenpoolError

CONNECT_SECONDS = 5
STREAM_IDLE_SECONDS = 90
ANSWER_SECONDS = 900
LARGE_BODY_BYTES = 2**20  # sent in pieces, so that the loop goes on
OUTBOUND = (
    "anthropic-version",
    "anthropic-beta",
    "content-type",
    "accept",
    "user-agent",
    "x-client-request-id",
    "traceparent",
)
_HIDDEN_INBOUND = (
    "connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade",
    "content-length", "content-encoding", "set-cookie", "server", "date", "request-id", "alt-svc", "via",
    "anthropic-organization-id", "anthropic-workspace-id",
)  # fmt: skip


class UpstreamAway(TokenpoolError):
    """The provider could not be reached, or went away before it answered; nothing was billed."""

    status = 502
    kind = "api_error"


class Upstream:
    """The provider, through one pool of connections that belongs to the event loop."""

    def __init__(self, url: str, api_key: str) -> None:
        """Speak to *url* with *api_key*; both come from the operator's settings alone."""
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, path: str, *, headers: Headers, body: bytes | None, stream: bool
    ) -> aiohttp.ClientResponse:
        """Send a request and return the answer once its headers are here; the caller reads or closes it.

        Raises:
            UpstreamAway: no connection, or it broke before the headers.
        """
        if not self._url:
            raise UpstreamAway("No provider is configured; the operator sets TOKENPOOL_UPSTREAM_URL.")
        data = io.BytesIO(body) if body and len(body) > LARGE_BODY_BYTES else body
        idle = STREAM_IDLE_SECONDS if stream else ANSWER_SECONDS
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=idle)
        try:
            return await self._pool().request(
                method,
                self._url + path,
                headers=self._outbound(headers),
                data=data,
                timeout=timeout,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UpstreamAway(
                f"The provider cannot be reached ({type(error).__name__}). Nothing was billed."
            ) from error

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("user-agent", "accept-encoding"),
                read_bufsize=2**18,
            )
        return self._session

    def _outbound(self, headers: Headers) -> dict[str, str]:
        found = {name: ", ".join(headers.getlist(name)) for name in OUTBOUND if name in headers}
        found.setdefault("anthropic-version", "2023-06-01")
        found["accept-encoding"] = "identity"
        found["x-api-key"] = self._api_key
        return found


def inbound(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the provider's headers that a client may see: no quotas of the shared account, no identities."""
    return {
        name.lower(): value
        for name, value in pairs
        if name.lower() not in _HIDDEN_INBOUND and not name.lower().startswith("anthropic-ratelimit-")
    }
