"""The attempt journal: what a running attempt has used so far, so that a killed process leaves evidence.

Written at `message_start` and every 2 s or 16 KiB; the lease of a running attempt is renewed every ten.
"""

import asyncio
import json
import time
from dataclasses import fields
from datetime import timedelta
from typing import Any

from tokenpool.gateway.parts import Parts
from tokenpool.gateway.settle import Attempt, EstimateFacts
from tokenpool.kernel import clock
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits.operations import LEASE_SECONDS, Extend, Trim
from tokenpool.metering.events import Meter
from tokenpool.pricing.bound import Bound
from tokenpool.pricing.cost import rate

RENEW_SECONDS = LEASE_SECONDS / 3
EVERY_SECONDS = 2.0
EVERY_BYTES = 16 * 1024
_COUNTS = [field.name for field in fields(TokenCounts)]
_written = json.JSONEncoder(separators=(",", ":")).encode


class Journal:
    """Writes the evidence of one streamed attempt; never waits for the disk in the stream's way."""

    def __init__(self, attempt: Attempt, bound: Bound) -> None:
        """*bound* is what the hold of *attempt* covers."""
        self._attempt, self._bound = attempt, bound
        self._written_bytes = 0
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
        attempt = self._attempt
        trim = Trim(attempt.hold_id, evidence_of(attempt.parts, meter, attempt.estimate_facts), amount)
        attempt.parts.background(attempt.parts.commits.submit(attempt.organization_id, trim))

    def _trimmed(self, start: TokenCounts | None) -> int | None:
        """Return what the hold must still cover once the real input is known: that input and the whole output.

        A prompt that may be read more than once is not known before the end: nothing is given back.
        """
        facts = self._attempt.estimate_facts
        if start is None or facts["input_bound"] > facts["prompt_bound"]:
            return None
        real = TokenCounts(start.input, start.cache_read, start.cache_write_5m, start.cache_write_1h)
        cost = rate(real, self._attempt.price, us_only=facts["us_only"], fast=facts["fast"])
        return cost.total + facts["tools_nano"] + self._bound.amount() - self._bound.fixed_nano


def evidence_of(parts: Parts, meter: Meter | None, facts: EstimateFacts) -> str:
    """Return the evidence as stored: JSON of the input at `message_start`, output bytes, *facts*, and the journal.

    The journal is this process's of settlements: the exact end may be waiting there, which no estimate replaces.
    """
    seen: dict[str, Any] = {"start": None, "output_bytes": 0, "read_again": 0}
    if meter is not None:
        seen = {
            "start": meter.start_input and {name: getattr(meter.start_input, name) for name in _COUNTS},
            "output_bytes": meter.output_bytes,
            "read_again": meter.read_again(facts["prompt_bound"]),
        }
    return _written({**seen, "journal": parts.spool.name, **facts})


async def renew_leases(parts: Parts) -> None:
    """Extend the leases of this process's running attempts, all in one batch per organization."""
    until = clock.now() + timedelta(seconds=LEASE_SECONDS)
    renewals = [
        parts.commits.submit(attempt.organization_id, Extend(hold, until)) for hold, attempt in parts.running.items()
    ]
    await asyncio.gather(*renewals)
