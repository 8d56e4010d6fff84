"""The ledger and the server with one mistake each: what a proof must notice to be worth anything."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial, partialmethod
from typing import Any, TypeVar

from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Row, Statement, Store, Transaction
from tokenpool.limits import places
from tokenpool.limits.decide import Applied
from tokenpool.limits.hierarchy import Cap, applicable
from tokenpool.limits.holds import Overdue
from tokenpool.limits.kept import Kept, Known
from tokenpool.limits.operations import Void
from tokenpool.proofs import points

Answer = TypeVar("Answer")

SERVERS = ("settlement not awaited", "journal not written", "lost holds freed", "lost batches given back")
BESIDE = ("leases not renewed", "another's journal not waited for")
NAMES = (
    "check outside the transaction",
    "one level skipped",
    "held ignored",
    "lock taken after reading",
    "changed limits not noticed",
)


class ReadsOutside:
    """Decides on what was read outside the transaction that writes; perhaps under a lock that comes too late."""

    def __init__(self, store: Store, *, locks_late: bool) -> None:
        self._store, self._locks_late = store, locks_late

    async def run(self, transaction: Callable[[], Transaction[Answer]]) -> Answer:
        """Drive the steps as the real store does, but for the one mistake."""
        steps = transaction()
        statements, gate = next(steps), list[Statement]()
        try:
            while True:
                if all(one.sql.startswith("select") for one in statements):
                    gate = gate or statements[:1]
                    statements = steps.send([await self.read(one.sql, one.rows[0]) for one in statements])
                    continue
                await self._store.run(partial(_written, gate + statements if self._locks_late else statements))
                statements = steps.send([[] for _ in statements])
        except StopIteration as stop:
            answer: Answer = stop.value
            return answer

    async def read(self, sql: str, row: Row = ()) -> list[Row]:
        """Read in a transaction of its own."""
        return await self._store.run(partial(_rows, Statement(sql, [row])))

    async def close(self) -> None:
        """Close the real store."""
        await self._store.close()


def infect(name: str, store: Store) -> Store:
    """Make the mistake *name* in this process and return the store to use."""
    if name == "one level skipped":
        places.applicable = _without_organization  # type: ignore[attr-defined]
    elif name == "held ignored":
        Applied.left_nano = property(lambda limit: limit.amount_nano - limit.balance.spent_nano)  # type: ignore[method-assign,assignment]
    elif name == NAMES[4]:
        Kept.find = partialmethod(_of_any_version, Kept.find)  # type: ignore[method-assign,assignment]
    elif name:
        return ReadsOutside(store, locks_late=name == NAMES[3])
    return store


def infect_server(name: str) -> None:
    """Make the mistake *name* in this serving process."""
    attempt, _ = points.found("tokenpool.gateway.settle:Attempt.settle")
    settle = attempt.settle

    async def not_awaited(self: Any, *told: Any) -> None:  # noqa: ANN401 - an attempt of the gateway, and what it is told
        async def a_moment_later() -> None:
            await asyncio.sleep(0.02)
            await settle(self, *told)

        self.parts.background(a_moment_later())

    def not_written(_self: Any, _organization_id: str, _operation: object) -> None:  # noqa: ANN401
        pass

    async def freed(_self: Any, row: Overdue, _evidence: object) -> Void:  # noqa: ANN401
        return Void(row.id, "lost", clock.now())

    creation, _ = points.found("tokenpool.gateway.batches.creation:give_back")

    async def given_back(self: Any, row: Any, *_: object) -> None:  # noqa: ANN401 - a watch of the gateway, and a batch
        hold_ids = await creation.message_batches.open_holds(self._parts.store, row)
        await creation.give_back(self._parts, row, hold_ids, "lost")

    async def not_renewed(_parts: Any) -> None:  # noqa: ANN401
        pass

    mistakes: dict[str, tuple[str, object]] = {
        SERVERS[0]: ("tokenpool.gateway.settle:Attempt.settle", not_awaited),
        SERVERS[1]: ("tokenpool.gateway.spool:Spool.write", not_written),
        BESIDE[0]: ("tokenpool.gateway.journal:renew_leases", not_renewed),
        BESIDE[1]: ("tokenpool.gateway.resolver:ANOTHERS_JOURNAL", timedelta(0)),
        SERVERS[2]: ("tokenpool.gateway.resolver:Resolver._settlement", freed),
        SERVERS[3]: ("tokenpool.gateway.batches.watch:Watch._look_for", given_back),
    }
    points.put(*mistakes[name])


def _without_organization(caps: Mapping[str, Sequence[Cap]], scopes: Sequence[str]) -> Iterator[tuple[Cap, str]]:
    return (found for found in applicable(caps, scopes) if found[0].scope != "organization")


def _of_any_version(kept: Kept, find: Callable[..., Known | None], organization_id: str, *at: Any) -> Known | None:  # noqa: ANN401
    version, name = at
    found = (find(kept, organization_id, older, name) for older in range(1, version + 1))
    return next((known for known in found if known), None)


def _rows(statement: Statement) -> Transaction[list[Any]]:
    return (yield [statement])[0]


def _written(statements: list[Statement]) -> Transaction[None]:
    yield statements
