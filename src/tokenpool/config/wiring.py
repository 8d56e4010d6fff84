"""Which parts meet: one store, one queue of commits, one directory, one price book, the providers.

The ledger's transaction is composed here with the notices' writes, so limits and notifications
commit together without importing each other.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from functools import partial

from asgiref.sync import sync_to_async

from tokenpool.config.database import open_store
from tokenpool.config.environment import Environment
from tokenpool.config.upstreams import bind_keys
from tokenpool.gateway import journal
from tokenpool.gateway.admission import Running
from tokenpool.gateway.batches.watch import Watch
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.resolver import Resolver
from tokenpool.gateway.spool import Spool
from tokenpool.gateway.upstream import Upstream
from tokenpool.gateway.upstreams import Upstreams
from tokenpool.invoicing import close
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.group_commit import GroupCommit, Store
from tokenpool.limits import ledger
from tokenpool.limits.kept import Kept
from tokenpool.notifications import thresholds
from tokenpool.notifications.outbox import Courier
from tokenpool.organizations.directory import Directory
from tokenpool.pricing import load

logger = logging.getLogger("tokenpool.process")

COURIER_SECONDS = 1.0
SPOOL_SECONDS = 1.0
RESOLVER_SECONDS = 5.0
BATCHES_SECONDS = 5.0
CLOSER_SECONDS = 600.0
PRICES_SECONDS = 5.0
MOST_MOVED_SECONDS = 3600
_MOVED = "the clock was set by %d s: no month is closed, no lost hold ended; look at it, then start Tokenpool anew"


def ledger_commits(store: Store) -> GroupCommit:
    """Return the queue through which every hold and settlement of this process goes."""
    first = min(thresholds.PERCENTS)
    return GroupCommit(store, partial(ledger.transaction, kept=Kept(), also=thresholds.writes, from_percent=first))


@asynccontextmanager
async def ledger_of(environment: Environment) -> AsyncIterator[GroupCommit]:
    """Open the ledger for a command; it closes its connections at the end."""
    store = open_store(environment)
    try:
        yield ledger_commits(store)
    finally:
        await store.close()


def gateway_parts(environment: Environment) -> Parts:
    """Build what the gateway works with from the operator's settings.

    Raises:
        InvalidInput: a provider's address has changed and its key has not.
    """
    bind_keys(environment.upstreams, folder=environment.folder, secret=environment.secret_key)
    store = open_store(environment)
    return Parts(
        store=store,
        commits=ledger_commits(store),
        directory=Directory(store),
        book=load.standard(),
        upstreams=Upstreams([Upstream(**asdict(one)) for one in environment.upstreams]),
        spool=Spool(environment.folder / "settlements"),
        running=Running(int(environment.member_requests)),
        public_url=environment.public_url,
        most_in_batch=int(environment.batch_requests),
    )


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[None]:
    """Run what happens by itself: mail, leases, month close. On the way out, finish what is under way."""
    watch = Watch(parts)
    jobs: list[tuple[Callable[[], Awaitable[object]], float]] = [
        (partial(parts.spool.replay, parts.commits), SPOOL_SECONDS),  # first: what was used goes before any estimate
        (Courier().run_once, COURIER_SECONDS),
        (partial(_unless_moved, Resolver(parts).run_once), RESOLVER_SECONDS),
        (partial(journal.renew_leases, parts), journal.RENEW_SECONDS),
        (partial(_unless_moved, watch.run_once), BATCHES_SECONDS),
        (partial(reread_prices, parts), PRICES_SECONDS),
        (partial(_unless_moved, _close_due_months), CLOSER_SECONDS),
    ]
    logger.debug("the settlement journal is %s", parts.spool.name)  # made now, not when the disk may be full
    async with AsyncExitStack() as stack:
        stack.push_async_callback(parts.store.close)
        stack.push_async_callback(parts.close)
        stack.push_async_callback(watch.close)
        for job, seconds in jobs:
            task = asyncio.create_task(_repeat(job, seconds))
            stack.push_async_callback(_stop, task)
        yield


async def reread_prices(parts: Parts) -> None:
    """Take the operator's price files over when one has changed; a mistake in them leaves the book that stands."""
    try:
        changed = await asyncio.to_thread(load.look)
    except InvalidInput as error:
        logger.error("the prices stay as they are: %s", error.message)  # noqa: TRY400 - the sentence says it all
        return
    if changed:
        parts.book = load.standard()
        logger.info("the operator's price files were read again")


async def _close_due_months() -> None:
    await sync_to_async(close.close_due)(clock.now())


async def _unless_moved(job: Callable[[], Awaitable[object]]) -> None:
    """Run *job*, which ends things for good because time has passed, unless the machine's clock was set by an hour."""
    moved = clock.moved_seconds()
    if abs(moved) > MOST_MOVED_SECONDS:
        level = logging.ERROR if job is _close_due_months else logging.DEBUG  # the one that comes by seldom tells
        logger.log(level, _MOVED, moved)
        return
    await job()


async def _repeat(job: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Run *job* for ever; an error is logged and the next round tries again."""
    while True:
        try:
            await job()
        except Exception:
            logger.exception("a background job failed and will run again in %s s", seconds)
        await asyncio.sleep(seconds)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
