"""The one module that speaks to the provider: patience, and the headers that go out.

Outbound headers are rebuilt from an allow-list; redirects are not followed.
"""

import re
import time
from collections.abc import AsyncGenerator, Iterable

from starlette.datastructures import Headers

from tokenpool.gateway.connections import Answer, Broken
from tokenpool.gateway.origins import Origin, Unreached
from tokenpool.kernel.errors import TokenpoolError

STREAM_IDLE_SECONDS = 90
ANSWER_SECONDS = 900
STALE_SECONDS = 1.0  # a connection that breaks sooner had been closed before the request came
MOST_ANSWER_BYTES = 64 * 2**20
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


class UpstreamAway(TokenpoolError):
    """The provider could not be reached, or went away before it answered.

    `worked`: it may have written a whole answer by then, so it is not known that nothing is billed.
    `reached`: it may have taken the request.
    """

    status = 502
    kind = "api_error"

    def __init__(self, message: str, *, worked: bool = False, reached: bool = True) -> None:
        super().__init__(message)
        self.worked, self.reached = worked, reached


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
        self._api_key = api_key
        self.origin = Origin(url, internal=internal)

    async def send(
        self, method: str, path: str, *, query: str = "", headers: Headers, body: bytes = b"", stream: bool
    ) -> Answer:
        """Send a request to *path* and return the answer once its headers are here; the caller reads or closes it.

        *path* is this side's word, never the client's: `/v1/…`, whose version is part of an OpenAI base address.
        HEAD is asked as GET, for the length that it tells is of a body that would not come; none is passed on.

        Raises:
            UpstreamAway: no connection, it broke before the headers, or the answer is a redirect.
        """
        began = time.monotonic()
        target = path.removeprefix("/v1") if self.speaks == "openai" else path
        try:
            answer = await self.origin.ask(
                "GET" if method == "HEAD" else method,
                f"{target}?{query}" if query else target,
                headers=self._outbound(headers),
                body=body,
                patience=STREAM_IDLE_SECONDS if stream else ANSWER_SECONDS,
            )
        except Broken as error:
            raise _away(error, stream=stream, seconds=time.monotonic() - began) from error
        if answer.status in REDIRECTS:
            answer.close()
            raise UpstreamAway(f"The provider answered with a redirect ({answer.status}), and none is followed.")
        if dict(answer.headers).get("content-encoding", "identity") != "identity":
            answer.close()
            raise UpstreamAway("The provider's answer is compressed, which nobody asked for.", worked=True)
        return answer

    def hiding(self, body: bytes) -> bytes:
        """Return the body of an error without what it tells of the operator's account: its key, its ids."""
        hidden = body.replace(self._api_key.encode(), b"...") if self._api_key else body
        return _ACCOUNT.sub(rb"\1...", hidden)

    async def close(self) -> None:
        """Close every connection."""
        self.origin.close()

    def _outbound(self, headers: Headers) -> dict[str, str]:
        allowed, found = OUTBOUND[self.speaks], dict[str, str]()
        for name, value in headers.items():
            if name in allowed:
                found[name] = f"{found[name]}, {value}" if name in found else value
        found["accept-encoding"] = "identity"
        if self.speaks == "anthropic":
            found.setdefault("anthropic-version", "2023-06-01")
        if self._api_key:
            name, value = KEY_IN[self.speaks]
            found[name] = value.format(self._api_key)
        return found


def _away(error: Broken, *, stream: bool, seconds: float) -> UpstreamAway:
    """Tell apart a request that nobody took, or whose answer had not begun, from a whole answer that was lost."""
    unreached = isinstance(error, Unreached)
    if stream or unreached or seconds < STALE_SECONDS:
        return UpstreamAway(f"The provider cannot be reached ({error}). Nothing was billed.", reached=not unreached)
    return UpstreamAway(f"The provider did not answer ({error}); it was billed as an estimate.", worked=True)


async def read(answer: Answer) -> bytes:
    """Return the whole body of an answer.

    Raises:
        UpstreamAway: it broke off, or is larger than any answer of a model; the rest is not read.
    """
    pieces, size = [], 0
    try:
        async for piece in answer:
            size += len(piece)
            if size > MOST_ANSWER_BYTES:
                raise UpstreamAway("The provider's answer has no end. Nothing was billed.")
            pieces.append(piece)
    except Broken as error:
        raise UpstreamAway("The provider's answer broke off. Nothing was billed.") from error
    finally:
        answer.close()
    return b"".join(pieces)


async def lines(answer: Answer) -> AsyncGenerator[bytes]:
    """Yield the lines of an answer of any length without their ends, empty ones left out; closes it at the end.

    Raises:
        UpstreamAway: it broke off, or a line is larger than any answer of a model.
    """
    rest = bytearray()
    try:
        async for piece in answer:
            *ended, last = piece.split(b"\n")
            for line in ended:
                rest += line
                if rest.strip():
                    yield bytes(rest)
                rest.clear()
            rest += last
            if len(rest) > MOST_ANSWER_BYTES:
                raise UpstreamAway("The provider's answer has a line without end.")
        if rest.strip():
            yield bytes(rest)
    except Broken as error:
        raise UpstreamAway("The provider's answer broke off.") from error
    finally:
        answer.close()


def inbound(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the provider's headers, named in lower case, that a client may see: no quotas, no identities."""
    return {name: value for name, value in pairs if name not in _HIDDEN_INBOUND and not name.startswith(_QUOTAS)}
