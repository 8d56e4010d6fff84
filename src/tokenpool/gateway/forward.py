"""Relaying the provider's answer: bytes unchanged and unbuffered, a copy to the meter, the end after the settlement."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tokenpool.gateway.journal import Journal
from tokenpool.gateway.settle import Attempt
from tokenpool.gateway.upstream import UpstreamAway, inbound
from tokenpool.kernel.errors import InvalidInput
from tokenpool.metering.extract import usage_from_message
from tokenpool.metering.stream import StreamMeter

OK = 200


class Relay(Response):
    """A streamed answer on its way through."""

    def __init__(
        self, answer: aiohttp.ClientResponse, attempt: Attempt, journal: Journal, headers: Mapping[str, str]
    ) -> None:
        self._answer, self._attempt, self._journal = answer, attempt, journal
        self._settling = False
        self._meter = StreamMeter()
        self.status_code = answer.status
        self.background: BackgroundTask | None = None
        self.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Relay until the provider ends, the provider breaks, or the client leaves; then settle."""
        pump = asyncio.create_task(self._pump(send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({pump, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not pump.done():
                pump.cancel()
                self._attempt.parts.background(self._settle("client_gone"))
            self._answer.close()  # nobody pays for text that nobody reads
        with suppress(asyncio.CancelledError):
            await pump

    async def _pump(self, send: Send) -> None:
        """Pass chunks on as they come; keep the one with the end back until the settlement is durable."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        why = "no_usage"
        try:
            async for chunk in self._answer.content.iter_any():
                self._meter.feed(chunk)
                self._journal.follow(self._meter)
                if self._meter.finished:
                    await asyncio.shield(self._attempt.parts.background(self._settle(why)))
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (aiohttp.ClientError, TimeoutError, OSError):
            why = "upstream_lost"
        if not self._meter.finished:
            if self._meter.error is not None:
                why = "upstream_error"
            await asyncio.shield(self._attempt.parts.background(self._settle(why)))
        if why == "upstream_lost":
            raise UpstreamAway("The provider's stream broke off.")  # an unfinished body, so that clients notice
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _settle(self, why: str) -> None:
        """Bill what the table says for how this stream ended."""
        if self._settling:  # the client left while the end was being written: once is enough
            return
        self._settling = True
        meter, attempt = self._meter, self._attempt
        reported = meter.reported()
        if reported is not None and (meter.finished or why == "no_usage"):
            await attempt.settle(reported)
        elif reported is not None:
            await attempt.settle(reported, why)  # the final usage was told before the stream broke: exact
        elif not meter.started and meter.error is not None:
            await attempt.void("upstream_error")
        else:
            await attempt.settle_estimate(
                meter.start_input, meter.output_bytes, "hostile_usage" if meter.hostile else why
            )


async def relay_whole(answer: aiohttp.ClientResponse, attempt: Attempt, headers: Mapping[str, str]) -> Response:
    """Return a non-streamed answer after its settlement; runs to its end even if the client leaves."""
    try:
        body = await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        await attempt.settle_estimate(None, 0, "upstream_lost")
        raise UpstreamAway("The provider's answer broke off; it was billed as an estimate.") from error
    try:
        message = json.loads(body)
        reported = usage_from_message(message) if isinstance(message, dict) else None
    except (InvalidInput, ValueError, RecursionError):  # nonsense from the provider is settled like no usage
        reported = None
    if reported is None:
        await attempt.settle_estimate(None, len(body), "no_usage")
    else:
        await attempt.settle(reported)
    return Response(body, answer.status, dict(headers))


async def relay_error(answer: aiohttp.ClientResponse, attempt: Attempt | None, request_id: str) -> Response:
    """Return the provider's error as it is (clients match its words); a hold ends without cost."""
    if attempt is not None:
        await attempt.void(f"upstream answered {answer.status}")
    try:
        body = await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UpstreamAway("The provider's answer broke off. Nothing was billed.") from error
    return Response(body, answer.status, {**inbound(answer.headers.items()), "request-id": request_id})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
