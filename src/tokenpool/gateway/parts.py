"""What the gateway works with, handed to it by the process, and the tasks that outlive a request."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from tokenpool.gateway.admission import Running
from tokenpool.gateway.spool import Spool
from tokenpool.gateway.upstreams import Upstreams
from tokenpool.kernel.errors import traced
from tokenpool.kernel.group_commit import GroupCommit, Store
from tokenpool.organizations.directory import Directory
from tokenpool.pricing.book import PriceBook

logger = logging.getLogger("tokenpool.gateway")

CLOSE_SECONDS = 20


@dataclass
class Parts:
    """One process's store, queue of commits, directory, price book and providers."""

    store: Store
    commits: GroupCommit
    directory: Directory
    book: PriceBook
    upstreams: Upstreams
    spool: Spool
    running: Running = field(default_factory=Running)
    public_url: str = ""  # what clients open, when it is not the address that a request came to
    most_in_batch: int = 10_000  # requests
    unpriced: dict[str, set[str]] = field(default_factory=dict)  # organization -> models told to have no price
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run *work* to its end whatever becomes of the request that began it."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Finish what is under way, then let go of the providers."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=CLOSE_SECONDS)  # what takes longer is resolved from its evidence
        await self.commits.settle_down()
        await self.upstreams.close()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a task that outlives its request failed: %s", traced(error))
