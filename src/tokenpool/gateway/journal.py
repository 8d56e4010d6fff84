"""The attempt journal: what a running attempt has used so far, so that a killed process leaves evidence.

Written at `message_start` and every 2 s or 16 KiB. A hold whose lease has passed is in doubt; with
evidence it is settled at once, without any after 24 hours, always as a flagged estimate, never free.
"""

import json
import logging
import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from tokenpool.gateway.parts import Parts
from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Row
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits import holds
from tokenpool.limits.operations import LEASE_SECONDS, Extend, Lose, Settle, Trim
from tokenpool.metering.events import Meter
from tokenpool.metering.extract import Reported, estimate
from tokenpool.metering.rate import rate_reported
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.bound import Bound
from tokenpool.pricing.cost import rate

logger = logging.getLogger("tokenpool.gateway")

RENEW_SECONDS = LEASE_SECONDS / 3
EVERY_SECONDS = 2.0
EVERY_BYTES = 16 * 1024
WITHOUT_EVIDENCE = timedelta(hours=24)


class Journal:
    """Writes the evidence of one streamed attempt; never waits for the disk in the stream's way."""

    def __init__(
        self,
        parts: Parts,
        organization_id: str,
        hold_id: str,
        *,
        price: ModelPrice,
        bound: Bound,
        shape: dict[str, Any],
    ) -> None:
        """*shape* is what an estimate needs besides the evidence: input bound and modifiers."""
        self._parts = parts
        self._organization_id = organization_id
        self._hold_id = hold_id
        self._price, self._bound, self._shape = price, bound, shape
        self._written_bytes = -EVERY_BYTES
        self._written_at = 0.0

    def follow(self, meter: Meter) -> None:
        """Write evidence when the stream has begun, and then whenever two seconds or 16 KiB have passed."""
        if not meter.started:
            return
        first = self._written_at == 0.0
        now = time.monotonic()
        if (
            not first
            and meter.output_bytes - self._written_bytes < EVERY_BYTES
            and now - self._written_at < EVERY_SECONDS
        ):
            return
        self._written_bytes, self._written_at = meter.output_bytes, now
        amount = self._trimmed(meter.start_input) if first and meter.input_is_told else None
        trim = Trim(self._hold_id, evidence_of(meter, self._shape), amount)
        self._parts.background(self._parts.commits.submit(self._organization_id, trim))

    def _trimmed(self, start: TokenCounts | None) -> int | None:
        """Return what the hold must still cover once the real input is known: that input and the whole output."""
        if start is None:
            return None
        real = TokenCounts(start.input, start.cache_read, start.cache_write_5m, start.cache_write_1h)
        cost = rate(real, self._price, us_only=self._shape["us_only"], fast=self._shape["fast"])
        tools: int = self._shape["tools_nano"]
        return cost.total + tools + self._bound.amount() - self._bound.fixed_nano


def evidence_of(meter: Meter | None, shape: dict[str, Any]) -> str:
    """Return the evidence as stored: JSON of the input at `message_start`, output bytes, and the shape."""
    start = asdict(meter.start_input) if meter and meter.start_input else None
    output_bytes = meter.output_bytes if meter else 0
    return json.dumps({"start": start, "output_bytes": output_bytes, **shape}, separators=(",", ":"))


async def renew_leases(parts: Parts) -> None:
    """Extend the leases of this process's running attempts."""
    until = clock.now() + timedelta(seconds=LEASE_SECONDS)
    for hold_id, organization_id in list(parts.running.items()):
        await parts.commits.submit(organization_id, Extend(hold_id, until))


async def resolve_lost(parts: Parts) -> int:
    """Mark holds whose lease has passed as in doubt and settle those that can be; return how many were settled."""
    settled = 0
    for row in await holds.overdue(parts.store):
        organization_id, hold_id, state = row[0], row[1], row[2]
        if hold_id in parts.running or parts.spool.waiting():
            continue  # it is under way, or the database may still hear how it ended
        if state == "reserved":
            await parts.commits.submit(organization_id, Lose(hold_id, clock.now()))
            logger.warning("hold %s is in doubt: its process stopped answering for it", hold_id)
        settlement = _settlement(parts, row)
        if settlement is not None:
            await parts.commits.submit(organization_id, settlement)
            settled += 1
    return settled


def _settlement(parts: Parts, row: Row) -> Settle | None:
    """Return the flagged estimate that ends a lost hold, or None while evidence may still come."""
    _, hold_id, _, _, price_version, _, _, _, admitted_at_us, text = row
    evidence = json.loads(text)
    started = evidence["start"] is not None
    admitted_at = clock.from_timestamp(admitted_at_us)
    if not started and clock.now() - admitted_at < WITHOUT_EVIDENCE:
        return None
    start = TokenCounts(**evidence["start"]) if started else None
    counts = estimate(
        start, evidence["output_bytes"], input_bound=evidence["input_bound"], most_output=evidence["max_output"]
    )
    reported = Reported(((None, counts),), us_only=evidence["us_only"], fast=evidence["fast"])
    price = parts.book.by_version(price_version)
    usage, _ = rate_reported(reported, pinned=price, book=parts.book, day=admitted_at.date())
    return Settle(hold_id, usage, clock.now(), flags="estimated process_lost")
