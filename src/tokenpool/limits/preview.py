"""What the ledger would answer now: the same decision on the last committed state, holding and writing nothing."""

from dataclasses import dataclass

from tokenpool.kernel import clock
from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import Store
from tokenpool.limits import tables
from tokenpool.limits.batch import Batch
from tokenpool.limits.figures import state_of
from tokenpool.limits.kept import Kept
from tokenpool.limits.operations import Authorize, Held, LimitState, Refusal


@dataclass(frozen=True, slots=True)
class Preview:
    """The answer, the limit with the least room (None without limits), and the output that would fit into it."""

    answer: Held | Refusal
    binding: LimitState | None
    affordable_output: int


async def preview(store: Store, organization_id: str, ask: Authorize) -> Preview:
    """Return what would become of *ask* if it were asked now; another request may be faster.

    Raises:
        Unavailable: the ledger would admit nobody now.
    """
    (gate,) = await store.read(*tables.lock_gate(organization_id).spelled_out())
    batch = Batch(organization_id, tables.GateRow(*gate), [], Kept())
    keys = batch.locate([ask])
    accounts = await store.read(*tables.read_accounts(organization_id, keys).spelled_out())
    caps = await store.read(*tables.read_caps(organization_id, {scope for scope, _ in keys}).spelled_out())
    batch.stand_on(tables.balances_from(accounts), tables.caps_from(caps))
    limits = batch.place_of[ask.hold_id].limits(batch.balances)
    least = min(limits, key=lambda limit: limit.left_nano, default=None)
    binding = state_of(least, clock.timestamp(ask.admitted_at)) if least else None
    affordable = ask.bound.affordable_output(least.left_nano) if least else ask.bound.max_output
    (answer,) = batch.answers()
    if not isinstance(answer, Held | Refusal):
        raise Unavailable("The clock stands in a month that is closed; nobody is admitted.")
    return Preview(answer, binding, affordable)
