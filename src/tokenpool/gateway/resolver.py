"""Holds whose process is lost: in doubt after the lease, ended as an estimate when nothing better can come.

Every process has a resolver, and none may end what another one still answers for. So an estimate
counts only while the hold is in doubt in the transaction that writes it; only after this process
has seen it so for a whole lease by its own stopwatch, whatever a clock, a stall or a database that
was away may have made of the instants; and only once the settlement journal that may hold the
exact end has been replayed, or has not come back for an hour. Never free.
"""

import json
import logging
import time
from datetime import timedelta
from typing import Any

from tokenpool.gateway.parts import Parts
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Unavailable, traced
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits import holds, message_batches
from tokenpool.limits.operations import LEASE_SECONDS, Done, Lose, Settle
from tokenpool.metering.extract import Reported, estimate
from tokenpool.metering.rate import rate_reported
from tokenpool.pricing.own import OwnBook

logger = logging.getLogger("tokenpool.gateway")

WITHOUT_EVIDENCE = timedelta(hours=24)
ANOTHERS_JOURNAL = timedelta(hours=1)


class Resolver:
    """Ends the holds of lost processes by their evidence."""

    def __init__(self, parts: Parts, *, watch_seconds: float = LEASE_SECONDS) -> None:
        """*watch_seconds* is how long a hold must have been seen without its process before it is ended."""
        self._parts = parts
        self._watch_seconds = watch_seconds
        self._seen_since: dict[str, float] = {}

    async def run_once(self) -> int:
        """Mark holds whose lease has passed as in doubt and settle those that can be; return how many were settled."""
        overdue = [row async for row in holds.overdue(self._parts.store) if row.id not in self._parts.running]
        self._seen_since = {row.id: self._seen_since.get(row.id, time.monotonic()) for row in overdue}
        settled = 0
        for row in overdue:
            try:
                settled += await self._look_at(row)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one row that cannot be read must not stop the others
                logger.error("hold %s cannot be resolved and stays held: %s", row.id, traced(error))  # noqa: TRY400
        return settled

    async def _look_at(self, row: holds.Overdue) -> bool:
        """Mark one hold as in doubt, and end it if that can be; return whether it was ended."""
        if row.state == "reserved":
            await self._parts.commits.submit(row.organization_id, Lose(row.id, clock.now()))
            logger.warning("hold %s is in doubt: its process stopped answering for it", row.id)
        evidence = json.loads(row.evidence)
        if not self._may_end(row, evidence):
            return False
        answer = await self._parts.commits.submit(row.organization_id, await self._settlement(row, evidence))
        return isinstance(answer, Done)

    def _may_end(self, row: holds.Overdue, evidence: dict[str, Any]) -> bool:
        """Tell whether nothing better than an estimate is to be waited for."""
        if time.monotonic() - self._seen_since[row.id] < self._watch_seconds or self._parts.spool.waiting():
            return False
        if evidence["start"] is None:
            return clock.now() - clock.from_timestamp(row.admitted_at_us) >= WITHOUT_EVIDENCE
        if evidence.get("journal") == self._parts.spool.name:
            return True
        return clock.now() - clock.from_timestamp(row.lease_until_us) >= ANOTHERS_JOURNAL

    async def _settlement(self, row: holds.Overdue, evidence: dict[str, Any]) -> Settle:
        """Return the flagged estimate that ends a lost hold."""
        start = TokenCounts(**evidence["start"]) if evidence["start"] is not None else None
        counts = estimate(
            start,
            evidence["output_bytes"],
            evidence["read_again"],
            input_bound=evidence["input_bound"],
            most_output=evidence["max_output"],
        )
        batch = evidence.get("batch", False)
        reported = Reported(((None, counts),), us_only=evidence["us_only"], fast=evidence["fast"], batch=batch)
        book = OwnBook(self._parts.book, await self._parts.directory.own_prices(row.organization_id))
        day = clock.from_timestamp(row.admitted_at_us).date()
        usage, _ = rate_reported(reported, pinned=book.by_version(row.price_version), book=book, day=day)
        flags = message_batches.LOST if batch else "estimated process_lost"
        return Settle(row.id, usage, clock.now(), flags, if_in_doubt=True)
