"""Writing corrections: events, days and accounts move together, and the right invoice carries the difference.

Whoever writes them holds the organization's lock, which the closing of a month takes too: so which
month bills a difference is certain until the commit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db import connection

from tokenpool.invoicing.models import Invoice
from tokenpool.kernel.group_commit import Statement
from tokenpool.kernel.period import Month, Window, keys_at
from tokenpool.limits import tables
from tokenpool.limits.decide import AccountKey
from tokenpool.limits.places import account_keys
from tokenpool.metering import correct, rollup
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.record import COLUMNS


@dataclass(slots=True)
class Sums:
    """What corrections came to, in nano-dollars."""

    corrected: int = 0
    difference_nano: int = 0
    by_invoice: dict[str, int] = field(default_factory=dict)  # month whose invoice carries it -> nano-dollars

    def take(self, fresh: Sequence[UsageEvent]) -> None:
        """Add what correcting events say."""
        self.corrected += len(fresh)
        for event in fresh:
            self.difference_nano += event.cost_nano
            month = event.billed_in or event.month
            self.by_invoice[month] = self.by_invoice.get(month, 0) + event.cost_nano


def issued(organization_id: str) -> set[str]:
    """Return the months that have an invoice."""
    return set(Invoice.objects.filter(organization_id=organization_id).values_list("month", flat=True))


def billed_in(month: str, issued: set[str]) -> str | None:
    """Return the month whose invoice carries a difference of *month*; None: its own, which is not issued yet."""
    if month not in issued:
        return None
    later = Month.parse(month).next()
    while str(later) in issued:
        later = later.next()
    return str(later)


def write(fresh: Sequence[UsageEvent], windows: str) -> None:
    """Insert events and move their days and the accounts of the *windows* they belong to, in Django's transaction."""
    with connection.cursor() as cursor:
        for statement in _writes(fresh, windows):
            cursor.executemany(statement.sql.replace("?", "%s"), statement.rows)


def _writes(fresh: Sequence[UsageEvent], windows: str) -> Iterator[Statement]:
    yield correct.insert(fresh)
    rows = [tuple(getattr(event, name) for name in COLUMNS) for event in fresh]
    yield rollup.add(rows, are_requests=False)
    sums: dict[AccountKey, int] = {}
    for event in fresh:
        groups, day = tuple(event.group_ids.split()), keys_at(event.admitted_at_us)[Window.DAY]
        for account in account_keys((event.member_id, event.seat_type, groups, day), windows):
            sums[account] = sums.get(account, 0) + event.cost_nano
    yield tables.add_spent(fresh[0].organization_id, sums)
