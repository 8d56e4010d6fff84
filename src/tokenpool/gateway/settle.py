"""Ending a hold: exact when the provider told its usage, else the estimate of the table, always durable.

Durable before visible: callers await the settlement before the client sees the end.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import date, datetime
from typing import NotRequired, TypedDict

from asgiref.sync import sync_to_async

from tokenpool.gateway import overruns, unpriced
from tokenpool.gateway.parts import Parts
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Unavailable
from tokenpool.limits.operations import Done, Settle, Void
from tokenpool.metering.events import Meter
from tokenpool.metering.extract import Reported, estimate
from tokenpool.metering.rate import UNPRICED, rate_reported
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.own import Prices

logger = logging.getLogger("tokenpool.gateway")

PATIENCE_SECONDS = (0.05, 0.2, 0.5)
LONGEST_SECONDS = 2.0


class EstimateFacts(TypedDict):
    """What an estimate starts from, kept with a hold's evidence."""

    input_bound: int  # tokens of all samplings
    prompt_bound: int  # tokens of one
    max_output: int  # tokens of all samplings
    us_only: bool
    fast: bool
    tools_nano: int  # what tools at the provider can cost
    batch: NotRequired[bool]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One dispatched request: its hold, the price, book and day it is pinned to, and what an estimate needs."""

    parts: Parts
    organization_id: str
    hold_id: str
    price: ModelPrice
    estimate_facts: EstimateFacts
    book: Prices
    day: date

    async def settle(self, reported: Reported, flags: str = "") -> None:
        """End the hold with *reported* usage."""
        usage, flag = rate_reported(reported, pinned=self.price, book=self.book, day=self.day)
        if UNPRICED in flag.split():
            unpriced.look(self.parts, self.organization_id, reported)
        words = " ".join(word for word in (flags, flag) if word)
        await self._end(Settle(self.hold_id, usage, clock.now(), words))

    async def settle_estimate(self, why: str, meter: Meter | None = None, output_bytes: int = 0) -> None:
        """End the hold with the estimate of a broken answer, from what *meter* has seen; *why* becomes its flag."""
        facts, start, again = self.estimate_facts, None, 0
        if meter is not None:
            start = meter.start_input if meter.input_is_told or not meter.finished else None
            output_bytes = meter.output_bytes
            again = meter.read_again(facts["prompt_bound"])
        counts = estimate(start, output_bytes, again, input_bound=facts["input_bound"], most_output=facts["max_output"])
        reported = Reported(((None, counts),), us_only=facts["us_only"], fast=facts["fast"])
        await self.settle(reported, f"estimated {why}")

    async def void(self, reason: str) -> None:
        """End the hold of a request for which the provider bills nothing."""
        await self._end(Void(self.hold_id, reason, clock.now()))

    async def give_back(self, admitted_at: datetime) -> None:
        """End the hold whose commit was not confirmed, if it stands: its request was refused and never sent."""
        await self._commit(Void(self.hold_id, "never sent", clock.now(), admitted_at))

    async def _end(self, operation: Settle | Void) -> None:
        try:
            await self._commit(operation)
        finally:
            self.parts.running.end(self.hold_id)

    async def _commit(self, operation: Settle | Void) -> None:
        """Commit the end, or put it on the disk when the database stays away; only then may the client see it.

        Raises:
            Unavailable: neither the database nor the disk took it; the hold is left to its evidence.
        """
        began = time.monotonic()
        for pause in PATIENCE_SECONDS:
            try:
                answer = await self.parts.commits.submit(self.organization_id, operation)
            except Unavailable:
                if time.monotonic() - began > LONGEST_SECONDS:
                    break  # it lets wait rather than says no, and so would the next time
                await asyncio.sleep(pause)
                continue
            if isinstance(answer, Done) and answer.overrun_nano:
                told = sync_to_async(overruns.tell)(self.organization_id, self.hold_id, answer.overrun_nano)
                self.parts.background(told)
            return
        await self._spool(operation)

    async def _spool(self, operation: Settle | Void) -> None:
        try:
            await asyncio.to_thread(self.parts.spool.write, self.organization_id, operation)
        except OSError as error:
            logger.critical("hold %s could not be ended; it stays held until its evidence is settled", self.hold_id)
            raise Unavailable("The settlement could not be written; the answer is withheld until it can.") from error
        logger.warning("the database is away: the end of hold %s waits in the journal", self.hold_id)
