"""Many operations, one transaction, one fsync; each caller gets its own answer after the commit.

Knows no table. A *transaction* is a generator that yields lists of statements and is sent their
rows; each yield is one round trip, on every database. So the rules are written once, without I/O,
and the database only locks, reads and writes. One transaction touches one organization.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from tokenpool.kernel.errors import Unavailable

MANY, ENOUGH = 4, 32  # operations of a batch behind which, in a busy loop, the next waits for more
BUSY_SECONDS = 0.001  # a turn of a loop that has more to do than commits
GATHER_SECONDS = 0.006  # how long it waits at most

Answer = TypeVar("Answer")
Row = tuple[Any, ...]


class Statement(NamedTuple):
    """One SQL text for every database and its rows of parameters.

    `?` marks a parameter, `in (?*)` one that is a list. *types* are the PostgreSQL types of the
    parameters of an `insert … values (?, …)`, which then takes any number of rows at once. *locks*
    marks a query whose rows stay locked to the end of the transaction.
    """

    sql: str
    rows: Sequence[Row]
    types: tuple[str, ...] = ()
    locks: bool = False

    def spelled_out(self) -> tuple[str, Row]:
        """Return text and parameters of a query for `Store.read`, with one mark for each value of its lists."""
        sql, values = self.sql, []
        for value in self.rows[0]:
            if isinstance(value, list):
                sql = sql.replace("in (?*)", f"in ({', '.join('?' * len(value))})", 1)
                values += value
            else:
                values.append(value)
        return sql, tuple(values)


Transaction = Generator[list[Statement], list[list[Row]], Answer]
"""Yields statements, is sent the rows each returned, returns the answer to give after the commit."""


class Store(Protocol):
    """A database that can run transactions durably."""

    async def run(self, transaction: Callable[[], Transaction[Answer]]) -> Answer:
        """Run *transaction* atomically; return only when its effects would survive power loss."""
        ...

    async def read(self, sql: str, row: Row = ()) -> list[Row]:
        """Return the rows of one query, outside any transaction."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...


class GroupCommit:
    """Collects operations per organization and commits them together, in order of arrival."""

    def __init__(
        self,
        store: Store,
        decide: Callable[[str, list[Any]], Transaction[list[Any]]],
        *,
        most: int = 256,
        most_waiting: int = 2_048,
    ) -> None:
        """*decide* makes the transaction of (organization, operations) and returns one answer each.

        *most* ride in one transaction; with *most_waiting* of an organization queued nobody new is admitted.
        """
        self._store = store
        self._decide = decide
        self._most = most
        self._most_waiting = most_waiting
        self._waiting: dict[str, deque[tuple[Any, asyncio.Future[Any]]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, organization_id: str, operation: Any) -> Any:  # noqa: ANN401 - answers are the operations'
        """Queue *operation* and return its answer once it is durable.

        Raises:
            Unavailable: the database did not take the transaction, or not the one before.
            Undecided: it did not confirm the commit.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        queue = self._waiting.get(organization_id)
        if queue is None:
            queue = self._waiting[organization_id] = deque()
            task = asyncio.create_task(self._drain(organization_id, queue))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        queue.append((operation, future))
        return await future

    async def admit(self, organization_id: str, operation: Any) -> Any:  # noqa: ANN401 - as `submit`
        """Submit an operation that begins something new; under overload it is shed, what ends something never is.

        Raises:
            Unavailable: as `submit`; or as many of the organization wait as may.
        """
        if len(self._waiting.get(organization_id, ())) >= self._most_waiting:
            raise Unavailable("Too many requests of this organization wait; try again.")
        return await self.submit(organization_id, operation)

    async def settle_down(self) -> None:
        """Wait until everything submitted so far has been answered."""
        while self._running:
            await asyncio.gather(*self._running)

    async def _drain(self, organization_id: str, queue: deque[tuple[Any, asyncio.Future[Any]]]) -> None:
        """Commit batches until the queue is empty; what arrives meanwhile rides in the next batch.

        Where many came at once more are about to come: a busy loop waits for them, and less often for the disk.
        """
        while queue:
            committed = await self._commit(organization_id, queue)
            if MANY <= committed < ENOUGH:
                began = time.monotonic()
                await asyncio.sleep(0)  # those who were answered ask again
                if time.monotonic() - began > BUSY_SECONDS and len(queue) < committed:
                    await asyncio.sleep(GATHER_SECONDS)
        del self._waiting[organization_id]

    async def _commit(self, organization_id: str, queue: deque[tuple[Any, asyncio.Future[Any]]]) -> int:
        """Commit the next batch, answer it, and return how many operations it had; none if it failed."""
        batch = [queue.popleft() for _ in range(min(len(queue), self._most))]
        operations = [operation for operation, _ in batch]
        try:
            answers = await self._store.run(lambda: self._decide(organization_id, operations))
        except Exception as error:  # noqa: BLE001 - every caller must hear of it
            _answer_all(batch, error)
            if isinstance(error, Unavailable):  # nobody waits for the database twice
                _answer_all(queue, Unavailable("The database is away. Nothing was written."))
                queue.clear()
            return 0
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
        return len(batch)


def _answer_all(batch: Iterable[tuple[Any, asyncio.Future[Any]]], error: Exception) -> None:
    """Give every caller of a failed batch the same error."""
    for _, future in batch:
        if not future.done():
            future.set_exception(error if isinstance(error, Unavailable) else Unavailable(_sentence(error)))
            future.exception()  # a caller that left must not make the loop warn


def _sentence(error: Exception) -> str:
    return f"The database did not take the transaction ({type(error).__name__}); nothing was written. Try again."
