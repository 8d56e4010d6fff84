"""Relaying the provider's answer: bytes unchanged and unbuffered, a copy to the meter, the end after the settlement."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tokenpool.gateway.connections import Answer, Broken
from tokenpool.gateway.formats import Outward
from tokenpool.gateway.journal import Journal
from tokenpool.gateway.settle import Attempt
from tokenpool.gateway.upstream import Upstream, UpstreamAway, inbound, read
from tokenpool.kernel.errors import InvalidInput, traced
from tokenpool.metering.events import Meter
from tokenpool.metering.extract import Reported

logger = logging.getLogger("tokenpool.gateway")

OK = 200
AT_ONCE = {"x-accel-buffering": "no"}  # a proxy in front passes on every piece as it comes
READ_SECONDS = 30.0  # twice this is the patience with a client that does not read
REFUSED = "the model refused before any output"


class Relay(Response):
    """A streamed answer on its way through."""

    def __init__(
        self,
        answer: Answer,
        attempt: Attempt,
        journal: Journal,
        headers: Mapping[str, str],
        *,
        meter: Meter,
        outward: Outward | None,
        drains: bool,
    ) -> None:
        """*drains*: when the client leaves, read on and settle exactly, instead of closing the provider."""
        self._answer, self._attempt, self._journal = answer, attempt, journal
        self._settling = self._left = False
        self._sends = self._sent = 0  # chunks whose sending has begun, and ended
        self._meter, self._outward, self._drains = meter, outward, drains
        self.status_code = answer.status
        self.background: BackgroundTask | None = None
        told = {**headers, **AT_ONCE}
        self.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Relay until the provider ends, the provider breaks, or the client leaves; then settle."""
        pump = asyncio.create_task(self._pump(send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await self._until_over(pump, leaving)
        finally:
            self._left = not pump.done()
            if self._left and leaving.done() and (self._drains or self._meter.is_complete):
                self._attempt.parts.background(self._read_on(pump))
            else:
                if self._left:
                    pump.cancel()
                    self._attempt.parts.background(self._settle("client_gone"))
                self._answer.close()  # nobody pays for text that nobody reads
            leaving.cancel()
        if not self._left:
            await self._outcome(pump)

    async def _until_over(self, pump: asyncio.Task[None], leaving: asyncio.Task[None]) -> None:
        """Wait until the stream is over or the client has left; one that has not read for a minute has left."""
        stuck = None
        while not (pump.done() or leaving.done()) and (stuck is None or stuck != self._sends):
            await asyncio.wait({pump, leaving}, return_when=asyncio.FIRST_COMPLETED, timeout=READ_SECONDS)
            stuck = self._sends if self._sends > self._sent else None

    async def _outcome(self, pump: asyncio.Task[None]) -> None:
        """End as *pump* has ended; of an error of our own nothing is told, and its hold ends with an estimate."""
        try:
            await pump
        except UpstreamAway:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the hold ends
            logger.error("hold %s: its stream failed: %s", self._attempt.hold_id, traced(error))  # noqa: TRY400
            self._attempt.parts.background(self._settle("gateway_error"))
            raise UpstreamAway("The stream failed.") from None

    async def _read_on(self, pump: asyncio.Task[None]) -> None:
        """Let the provider finish without the client: what it bills then is what is billed."""
        with suppress(UpstreamAway):
            await self._outcome(pump)
        self._answer.close()

    async def _pump(self, send: Send) -> None:
        """Pass chunks on as they come; keep the one with the end back until the settlement is durable."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        why = "no_usage"
        try:
            async for chunk in self._answer:
                await self._pass(chunk, send)
        except Broken:
            why = "upstream_lost"
        if not self._meter.finished:
            await asyncio.shield(self._attempt.parts.background(self._settle(why)))
        if why == "upstream_lost":
            raise UpstreamAway("The provider's stream broke off.")  # an unfinished body, so that clients notice
        await self._pass_on(send, self._outward.end() if self._outward else b"", more=False)

    async def _pass_on(self, send: Send, body: bytes, *, more: bool = True) -> None:
        if (body or not more) and not self._left:
            await send({"type": "http.response.body", "body": body, "more_body": more})

    async def _pass(self, chunk: bytes, send: Send) -> None:
        self._meter.feed(chunk)
        self._journal.follow(self._meter)
        if self._meter.finished:
            await asyncio.shield(self._attempt.parts.background(self._settle("no_usage")))
        self._sends += 1
        await self._pass_on(send, self._outward.feed(chunk) if self._outward else chunk)
        self._sent += 1

    async def _settle(self, why: str) -> None:
        """Bill what the table says for how this stream ended."""
        if self._settling:  # the client left while the end was being written: once is enough
            return
        self._settling = True
        try:
            await self._end(why)
        finally:
            self._attempt.parts.running.end(self._attempt.hold_id)  # if it has not ended, evidence ends it

    async def _end(self, why: str) -> None:
        meter, attempt = self._meter, self._attempt
        reported = meter.reported()
        why = "upstream_error" if meter.error is not None and why == "no_usage" else why
        if reported is not None and reported.free:
            await attempt.void(REFUSED)
        elif reported is not None and (meter.finished or why == "no_usage"):
            await attempt.settle(reported, "client_gone" if self._left else "")
        elif reported is not None:
            await attempt.settle(reported, why)  # the final usage was told before the stream broke: exact
        elif not meter.started and meter.error is not None:
            await attempt.void("upstream_error")
        else:
            await attempt.settle_estimate("hostile_usage" if meter.hostile else why, meter)


async def relay_whole(
    answer: Answer,
    attempt: Attempt,
    headers: Mapping[str, str],
    usage: Callable[[bytes], Reported | None],
) -> Response:
    """Return a non-streamed answer after its settlement; runs to its end even if the client leaves."""
    try:
        body = await read(answer)
    except UpstreamAway as error:
        await attempt.settle_estimate("upstream_lost")
        raise UpstreamAway("The provider's answer broke off; it was billed as an estimate.") from error
    try:
        reported = usage(body)
    except (InvalidInput, ValueError, RecursionError):  # nonsense from the provider is settled like no usage
        reported = None
    if reported is None:
        await attempt.settle_estimate("no_usage", output_bytes=len(body))
    elif reported.free:
        await attempt.void(REFUSED)
    else:
        await attempt.settle(reported)
    return Response(body, answer.status, dict(headers))


async def relay_error(answer: Answer, upstream: Upstream, named: Mapping[str, str]) -> Response:
    """Return the provider's error in its words (clients match them), its account hidden.

    Raises:
        UpstreamAway: it broke off.
    """
    body = await read(answer)
    return Response(upstream.hiding(body), answer.status, {**inbound(answer.headers), **named})


def relay_pieces(answer: Answer, named: Mapping[str, str]) -> Response:
    """Return an answer that is not metered, piece by piece as it comes; whoever leaves closes the provider."""

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in answer:
                yield piece
        except Broken as error:
            raise UpstreamAway("The provider's answer broke off.") from error
        finally:
            answer.close()

    return StreamingResponse(pieces(), answer.status, {**inbound(answer.headers), **named, **AT_ONCE})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
