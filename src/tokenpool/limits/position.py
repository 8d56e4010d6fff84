"""Where a member stands now: the limits that apply to their next call with their balances, decided upon by nobody.

The same rows, rules and balances as the ledger's, read on the last committed state without its lock.
"""

from datetime import datetime

from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Store
from tokenpool.kernel.period import keys_at
from tokenpool.limits import tables
from tokenpool.limits.decide import Applied, Balance, apply, fullest, readings
from tokenpool.limits.figures import state_of
from tokenpool.limits.hierarchy import applicable, scopes_of
from tokenpool.limits.operations import Attribution, LimitState


async def position(
    store: Store, organization_id: str, who: Attribution, at: datetime
) -> tuple[list[LimitState], LimitState | None]:
    """Return the limits with an amount that apply to a call of *who* at *at*, and the one that headers speak of."""
    at_us = clock.timestamp(at)
    keys = keys_at(at_us)
    scopes = scopes_of(member_id=who.member_id, seat_type=who.seat_type, groups=who.groups)
    caps = tables.caps_from(await store.read(*tables.read_caps(organization_id, scopes).spelled_out()))
    wanted = {(scope, key) for scope in scopes for key in keys.values()}
    rows = await store.read(*tables.read_accounts(organization_id, wanted).spelled_out())
    balances = dict.fromkeys(wanted, Balance()) | tables.balances_from(rows)
    limits: list[Applied] = apply(readings(applicable(caps, scopes), keys), balances)
    worst = fullest(limits)
    return [state_of(limit, at_us) for limit in limits], state_of(worst, at_us) if worst else None
