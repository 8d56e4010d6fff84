"""Windows besides the month: their accounts are kept from the first limit that counts by them.

Who has no limit by day or week pays nothing for them; who sets one is judged from the first request
by what was spent since the window began, because the accounts are made under the same lock.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db.models import Sum

from tokenpool.kernel import clock
from tokenpool.kernel.period import Window, keys_at, start_of
from tokenpool.limits.decide import AccountKey
from tokenpool.limits.hierarchy import group_scope, scopes_of
from tokenpool.limits.models import Account, Hold
from tokenpool.metering.models import DailyUsage, UsageEvent
from tokenpool.organizations.models import Gate


def keep(gate: Gate, window: Window) -> None:
    """Keep the accounts of *window* from now on; *gate* is the organization's locked row.

    Accounts are made for the running window, for that of the day before (the clock may run ahead, and be set
    right) and for those of holds that are still open, so that every hold is released where it is counted.
    """
    if window in gate.windows.split():
        return
    open_holds = list(Hold.objects.filter(organization_id=gate.organization_id, ended_at_us=None))
    oldest = min([clock.timestamp(clock.now()), *(hold.admitted_at_us for hold in open_holds)])
    sums: defaultdict[AccountKey, list[int]] = defaultdict(lambda: [0, 0])
    since = start_of(window, clock.from_timestamp(oldest) - timedelta(days=1))
    for scope, at_us, nano in _spent(gate.organization_id, since):
        sums[scope, keys_at(at_us)[window]][0] += nano
    for hold in open_holds:
        groups = hold.group_ids.split()
        for scope in scopes_of(member_id=hold.member_id, seat_type=hold.seat_type, groups=groups):
            sums[scope, keys_at(hold.admitted_at_us)[window]][1] += hold.amount_nano
    Account.objects.bulk_create(
        Account(organization_id=gate.organization_id, scope=scope, window_key=key, spent_nano=spent, held_nano=held)
        for (scope, key), (spent, held) in sums.items()
    )
    gate.windows += f" {window}"
    gate.limits_version += 1
    gate.save(update_fields=["windows", "limits_version"])


def _spent(organization_id: str, since: datetime) -> Iterator[tuple[str, int, int]]:
    """Yield (scope, an instant of the day in microseconds, cost) of all usage from *since* on."""
    usage = DailyUsage.objects.filter(organization_id=organization_id, day__gte=since.date().isoformat())
    for row in usage.values("day", "member_id", "seat_type").annotate(cost=Sum("cost_nano")):
        at_us = clock.timestamp(datetime.fromisoformat(row["day"]).replace(tzinfo=UTC))
        for scope in scopes_of(member_id=row["member_id"], seat_type=row["seat_type"]):
            yield scope, at_us, row["cost"]
    events = UsageEvent.objects.filter(organization_id=organization_id, admitted_at_us__gte=clock.timestamp(since))
    in_groups = events.exclude(group_ids="").values_list("group_ids", "admitted_at_us", "cost_nano")
    for groups, at_us, nano in in_groups.iterator():
        for group_id in groups.split():
            yield group_scope(group_id), at_us, nano
