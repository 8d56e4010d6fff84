"""The end of each request of a batch, by its own result: exact, at the price of batches, once.

Whoever reads results first settles them; whoever reads them again, in whatever process, finds the hold
ended and changes nothing. A result that brought no message costs nothing and frees its part. One that
comes after its hold has ended as an estimate takes the place of that, once.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DatabaseError

from tokenpool.gateway import overruns, unpriced
from tokenpool.gateway.batches import spans
from tokenpool.gateway.parts import Parts
from tokenpool.invoicing import late
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import InvalidInput, Unavailable, UnknownModel
from tokenpool.limits import holds, message_batches
from tokenpool.limits.message_batches import BatchRow
from tokenpool.limits.operations import Done, Ended, Settle, Void
from tokenpool.limits.tables import HoldRow
from tokenpool.metering.extract import Reported, estimate, usage_from_message
from tokenpool.metering.rate import UNPRICED, rate_reported
from tokenpool.pricing.own import OwnBook

logger = logging.getLogger("tokenpool.gateway")

AT_ONCE = 256
MOST_BYTES = 4 * 2**20
FREE = {"errored": "batch request errored", "canceled": "batch request canceled", "expired": "batch request expired"}


class Results:
    """The results of one batch, as they are read."""

    def __init__(self, parts: Parts, row: BatchRow, custom_ids: Mapping[str, str]) -> None:
        """*custom_ids* are what the client of *row* calls its requests, by hold."""
        self._parts, self._row, self._custom_ids = parts, row, custom_ids

    async def settle(self, lines: Sequence[bytes]) -> list[bytes]:
        """End the holds of *lines* durably; return the lines as the client sees them.

        Raises:
            Unavailable: the database did not take it.
        """
        found = [read(line) for line in lines]
        named = [hold_id_of(result) for _, result in found]
        rows = await holds.several(
            self._parts.store, self._row.organization_id, [one for one in named if self._owns(one)]
        )
        book = OwnBook(self._parts.book, await self._parts.directory.own_prices(self._row.organization_id))
        ends = []
        for hold_id, line, (_, result) in zip(named, lines, found, strict=True):
            hold = rows.get(hold_id)
            waits = hold is not None and (hold.is_open or hold.end_reason == message_batches.LOST)
            if hold is not None and waits and (end := self._end(hold, result, len(line), book)) is not None:
                ends.append(end)
        await commit(self._parts, self._row, ends)
        return [self._renamed(*one, hold_id) for one, hold_id in zip(found, named, strict=True)]

    def _owns(self, hold_id: str) -> bool:
        return hold_id in self._custom_ids

    def _end(self, hold: HoldRow, result: Mapping[str, Any], size: int, book: OwnBook) -> Settle | Void | None:
        """Return how *result* ends its hold; None if nobody has described its kind or price: it stays held."""
        outcome = result.get("result")
        kind = outcome.get("type") if isinstance(outcome, Mapping) else None
        if isinstance(kind, str) and kind in FREE:
            return Void(hold.id, FREE[kind], clock.now())
        if kind != "succeeded" or not isinstance(outcome, Mapping):
            return None
        reported, why = _reported(outcome.get("message"), hold, size)
        if reported.free:
            return Void(hold.id, "the model refused before any output", clock.now())
        try:
            pinned = book.by_version(hold.price_version)
        except UnknownModel as error:
            logger.error("hold %s stays held: %s", hold.id, error.message)  # noqa: TRY400 - the sentence says it all
            return None
        day = clock.from_timestamp(hold.admitted_at_us).date()
        usage, flags = rate_reported(reported, pinned=pinned, book=book, day=day)
        if UNPRICED in flags.split():
            unpriced.look(self._parts, self._row.organization_id, reported)
        return Settle(hold.id, usage, clock.now(), " ".join(word for word in (why, flags) if word))

    def _renamed(self, text: str, result: Mapping[str, Any], hold_id: str) -> bytes:
        """Return a line with its client's own `custom_id`; one that is no JSON of ours as it was understood."""
        custom_id = self._custom_ids.get(hold_id)
        if custom_id is None:
            return text.encode()
        try:
            fields, _ = spans.members(text, spans.skip(text, 0))
        except InvalidInput:
            return json.dumps({**result, "custom_id": custom_id}).encode()
        return spans.replaced(text, [(fields["custom_id"], json.dumps(custom_id))]).encode()


def hold_id_of(result: Mapping[str, Any]) -> str:
    """Return the hold that a result of ours ends."""
    return f"hold_{result.get('custom_id')}"


def name_of(hold_id: str) -> str:
    """Return what the provider is told to call a request: its hold's id without the prefix."""
    return ids.twin("", hold_id)[1:]


async def void(
    parts: Parts, row: BatchRow, hold_ids: Sequence[str], reason: str, *, admitted_at: datetime | None = None
) -> None:
    """End holds of a batch without cost; only those that were admitted at *admitted_at*, if that is given.

    Raises:
        Unavailable: the database did not take all of it; the same again does the rest.
    """
    at = clock.now()
    await commit(parts, row, [Void(hold_id, reason, at, admitted_at) for hold_id in hold_ids])


async def commit(parts: Parts, row: BatchRow, ends: Sequence[Settle | Void]) -> None:
    """Commit *ends* of a batch, a transaction's worth at a time; of what has ended before only estimates give way.

    Raises:
        Unavailable: the database did not take all of it.
    """
    organization_id = row.organization_id
    for start in range(0, len(ends), AT_ONCE):
        part = ends[start : start + AT_ONCE]
        answers = await asyncio.gather(*(parts.commits.submit(organization_id, end) for end in part))
        came_late = []
        for end, answer in zip(part, answers, strict=True):
            if isinstance(answer, Done) and answer.overrun_nano:
                parts.background(sync_to_async(overruns.tell)(organization_id, end.hold_id, answer.overrun_nano))
            if isinstance(answer, Ended) and answer.reason == message_batches.LOST:
                came_late.append(end)
        if came_late:
            await _bill_late(row, came_late)


async def _bill_late(row: BatchRow, ends: Sequence[Settle | Void]) -> None:
    try:
        billed = await sync_to_async(late.bill)(row.organization_id, row.id, ends)
    except DatabaseError as error:
        raise Unavailable("Results that came late could not be billed; ask again.") from error
    if billed:
        logger.warning("batch %s: %s results came after their estimates and were billed in their place", row.id, billed)


def _reported(message: object, hold: HoldRow, size: int) -> tuple[Reported, str]:
    """Return the usage of a succeeded request, else the estimate of one that does not tell it, and its flags."""
    try:
        told = usage_from_message(message) if isinstance(message, Mapping) else None
    except InvalidInput:
        told = None
    if told is not None:
        return replace(told, batch=True, fast=False), ""
    facts = json.loads(hold.evidence)
    counts = estimate(None, size, 0, input_bound=facts["input_bound"], most_output=facts["max_output"])
    return Reported(((None, counts),), us_only=facts["us_only"], batch=True), "estimated no_usage"


def read(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """Return a line as text and as what it says; nothing when it says nothing that can be read."""
    text = line.decode(errors="replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return text, found if isinstance(found, dict) else {}
