"""The ledger: decides a batch of operations of one organization in order, in one transaction.

Three round trips whatever the size of the batch: lock the gate and read the holds; read accounts,
and the caps that are not known; write everything. A fourth reads the free time of the month when a
settlement has time of a tool. No copy of a balance outside the database decides anything.
"""

from collections.abc import Callable, Sequence

from tokenpool.kernel.group_commit import Statement, Transaction
from tokenpool.kernel.period import Window
from tokenpool.limits import tables
from tokenpool.limits.batch import Batch
from tokenpool.limits.kept import Kept
from tokenpool.limits.operations import Answer, Movement, Operation
from tokenpool.limits.tables import HoldRow
from tokenpool.metering import allowance

Also = Callable[[str, Sequence[Movement]], list[Statement]]


def transaction(
    organization_id: str, operations: list[Operation], *, kept: Kept, also: Also | None = None, from_percent: int = 0
) -> Transaction[list[Answer]]:
    """Decide *operations* in order and write their effects.

    *kept* has the limits of earlier batches. *also* adds writes for the limits that moved and of which
    at least *from_percent* is spent.
    """
    hold_ids = sorted({operation.hold_id for operation in operations})
    gate, holds = yield [tables.lock_gate(organization_id), tables.read_holds(organization_id, hold_ids)]
    facts = tables.GateRow(*gate[0]) if gate else tables.GateRow(0, 0, Window.MONTH, 0)
    batch = Batch(organization_id, facts, [HoldRow.from_row(row) for row in holds], kept)
    keys = batch.locate(operations)
    if keys:
        unread = batch.unread()
        reads = [tables.read_accounts(organization_id, keys)]
        reads += [tables.read_caps(organization_id, unread)] if unread else []
        accounts, *caps = yield reads
        batch.stand_on(tables.balances_from(accounts), tables.caps_from(*caps))
    if batch.months_with_time:
        (rows,) = yield [allowance.read(organization_id, set(batch.months_with_time.values()))]
        batch.free_used = dict(rows)
    answers = batch.answers()
    writes = batch.writes()
    movements = batch.movements(from_percent) if also else []
    if also and movements:
        writes += also(organization_id, movements)
    if writes:
        yield writes
    return answers
