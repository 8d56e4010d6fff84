"""Looking after batches: results are fetched and settled though no client ever asks for them.

Every process looks; who has claimed a look goes first, and two at once change nothing twice. A batch
that the provider did not confirm is looked for in the provider's list: what was created about then, has
as many requests and is nobody's. Whose it is, its results say, for they bear the names of our holds;
only when nothing in the list can be it, its holds are given back.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers

from tokenpool.gateway import forward
from tokenpool.gateway.batches import documents, ending
from tokenpool.gateway.batches.creation import LOOK, PATH, give_back
from tokenpool.gateway.batches.ending import AT_ONCE, MOST_BYTES, Results
from tokenpool.gateway.connections import Answer
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.upstream import Upstream, UpstreamAway, lines, read
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput, Unavailable, traced
from tokenpool.limits import message_batches
from tokenpool.limits.message_batches import BatchRow

logger = logging.getLogger("tokenpool.gateway")

SELDOM = timedelta(hours=1)
OFTEN_FOR = timedelta(hours=25)  # the provider takes at most a day
KEPT = timedelta(days=29)  # then the provider has no results any more
NEVER_ARRIVED = timedelta(minutes=15)  # in no list by then: the provider has never had it
LONGEST_LOOK = timedelta(hours=1)  # at results that have no end
TURN_SECONDS = 10.0  # then others have their turn
AROUND = timedelta(minutes=10)  # how far two clocks may be apart
ANSWERED = timedelta(minutes=20)
PAGE, MOST_PAGES = 100, 50
ENDED = "ended"
NOBODY = Headers({})


class Watch:
    """Looks after the batches that are not over."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._looks: dict[str, asyncio.Task[bool]] = {}  # by batch: those under way

    async def run_once(self) -> int:
        """Look at every batch whose time has come; return how many were. What takes long keeps nobody else waiting.

        Raises:
            Unavailable: the database is away.
        """
        now = clock.now()
        for row in await message_batches.due(self._parts.store, clock.timestamp(now)):
            if row.id not in self._looks:
                self._looks[row.id] = asyncio.create_task(self._guarded(row, now))
        if not self._looks:
            return 0
        done, _ = await asyncio.wait(self._looks.values(), timeout=TURN_SECONDS)
        self._looks = {name: task for name, task in self._looks.items() if task not in done}
        failed = [error for task in done if (error := task.exception())]
        if failed:
            raise failed[0]
        return sum(task.result() for task in done)

    async def close(self) -> None:
        """End the looks under way; what they have settled stands, and the next look goes on from there."""
        for task in self._looks.values():
            task.cancel()
        await asyncio.gather(*self._looks.values(), return_exceptions=True)

    async def _guarded(self, row: BatchRow, now: datetime) -> bool:
        """Look at one batch if no other process does; what cannot be done now is done at the next look."""
        age = now - clock.from_timestamp(row.created_at_us)
        next_look = now + (LOOK if age < OFTEN_FOR else SELDOM)
        if not await message_batches.claim(self._parts.store, row, clock.timestamp(next_look)):
            return False
        try:
            async with asyncio.timeout(LONGEST_LOOK.total_seconds()):
                await self._look(row, age)
        except UpstreamAway as error:
            logger.info("batch %s: %s", row.id, error.message)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one batch that cannot be read must not stop the others
            logger.error("batch %s cannot be looked at: %s", row.id, traced(error))  # noqa: TRY400
        if age >= KEPT:
            await message_batches.finish(self._parts.store, row, "settled")
        return True

    async def _look(self, row: BatchRow, age: timedelta) -> None:
        upstream = self._parts.upstreams.named(row.upstream)
        if upstream is None:
            logger.warning("batch %s: the settings have no provider %s any more", row.id, row.upstream)
        elif row.upstream_id:
            await self._follow(row, upstream)
        else:
            await self._look_for(row, upstream, age)

    async def _follow(self, row: BatchRow, upstream: Upstream) -> None:
        document = documents.read(await read(await _asked(upstream, path_of(row.upstream_id))))
        await message_batches.describe(self._parts.store, row, documents.text(document))
        if document.get("processing_status") == ENDED:
            await settle(self._parts, row, upstream)

    async def _look_for(self, row: BatchRow, upstream: Upstream, age: timedelta) -> None:
        """Find an unconfirmed batch among those that the provider lists, or give its holds back."""
        mine = await message_batches.requests_of(self._parts.store, row)
        unsaid = False  # whose one of them is
        async for document in self._candidates(row, upstream):
            ended = document.get("processing_status") == ENDED
            first = await _first_hold(upstream, document["id"]) if ended else ""
            if first in mine:
                found = documents.text(document)
                await message_batches.adopt(self._parts.store, row, document["id"], found, 0)
                logger.warning("batch %s was found again at the provider", row.id)
                return
            unsaid = unsaid or not first
        if not unsaid and age >= NEVER_ARRIVED:
            logger.warning("batch %s has never arrived at the provider; its holds are given back", row.id)
            await give_back(self._parts, row, list(mine), "batch never arrived")

    async def _candidates(self, row: BatchRow, upstream: Upstream) -> AsyncIterator[dict[str, Any]]:
        """Yield the provider's batches that *row* can be: of about then, as large, and known as nobody's."""
        created_at = clock.from_timestamp(row.created_at_us)
        async for listed in _listed(upstream, created_at - AROUND):
            fitting = [one for one in listed if _at(one) <= created_at + ANSWERED and _size(one) == row.requests]
            known = await message_batches.known(self._parts.store, upstream.name, [one["id"] for one in fitting])
            for one in fitting:
                if one["id"] not in known:
                    yield one


async def settle(parts: Parts, row: BatchRow, upstream: Upstream) -> bool:
    """Read the results of a batch that has ended and end its holds; return whether none is open any more.

    Raises:
        UpstreamAway: the provider does not give them, or not all of them.
        Unavailable: the database did not take it.
    """
    reply = await _asked(upstream, path_of(row.upstream_id) + "/results")
    results = Results(parts, row, await message_batches.requests_of(parts.store, row))
    async with aclosing(lines(reply)) as found:
        async for chunk in chunks(found):
            await results.settle(chunk)
    return await over(parts, row)


async def over(parts: Parts, row: BatchRow) -> bool:
    """Tell whether no hold of a batch is open any more, and if so look at it never again."""
    if await message_batches.open_holds(parts.store, row):
        return False
    await message_batches.finish(parts.store, row, "settled")
    return True


def path_of(upstream_id: str) -> str:
    """Return where the provider has the batch it calls *upstream_id*; addresses that it tells are not followed."""
    return f"{PATH}/{quote(upstream_id, safe='')}"


async def chunks(found: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Yield lines a transaction's worth at a time."""
    chunk, size = list[bytes](), 0
    async for line in found:
        chunk.append(line)
        size += len(line)
        if len(chunk) == AT_ONCE or size > MOST_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


async def _asked(upstream: Upstream, path: str, query: str = "") -> Answer:
    """Return what the provider answers when it is asked by nobody's request.

    Raises:
        UpstreamAway: it does not answer, or with an error.
    """
    reply = await upstream.send("GET", path, query=query, headers=NOBODY, stream=True)
    if reply.status != forward.OK:
        reply.close()
        raise UpstreamAway(f"The provider answered {reply.status} to GET {path}.")
    return reply


async def _listed(upstream: Upstream, since: datetime) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield pages of the provider's batches, newest first, down to those created before *since*.

    Raises:
        UpstreamAway: it does not list them, or more than are looked through.
    """
    query = f"limit={PAGE}"
    for _ in range(MOST_PAGES):
        found = json.loads(await read(await _asked(upstream, PATH, query)))
        data = found.get("data") if isinstance(found, dict) else None
        if not isinstance(data, list):
            raise UpstreamAway("The provider's list of batches is none.")
        yield [one for one in data if _at(one) >= since]
        if not found.get("has_more") or not data or _at(data[-1]) < since:
            return
        query = f"limit={PAGE}&after_id={quote(str(data[-1]['id']), safe='')}"
    raise UpstreamAway("The provider lists too many batches.")


async def _first_hold(upstream: Upstream, upstream_id: str) -> str:
    """Return the hold that the first result of a provider's batch names, "" when it has none that can be read."""
    reply = await _asked(upstream, path_of(upstream_id) + "/results")
    async with aclosing(lines(reply)) as found:
        async for line in found:
            if result := ending.read(line)[1]:
                return ending.hold_id_of(result)
    return ""


def _at(document: dict[str, Any]) -> datetime:
    at = datetime.fromisoformat(str(document["created_at"]))
    if at.tzinfo is None:
        raise InvalidInput("The provider's batch has an instant without a zone.")
    return at


def _size(document: dict[str, Any]) -> int:
    return sum(count for count in document["request_counts"].values() if isinstance(count, int))
