"""What a member has spent in the windows that run now, whether anything limits them or not."""

from datetime import datetime, timedelta

from tokenpool.kernel.group_commit import Statement, Store
from tokenpool.kernel.period import Window, key_of, start_of

_DAYS = (
    "select day, sum(cost_nano) from metering_dailyusage "
    "where organization_id = ? and member_id = ? and day in (?*) group by day"
)


async def spent(store: Store, organization_id: str, member_id: str, at: datetime) -> dict[Window, int]:
    """Return the nano-dollars of the month, week and day that contain *at*."""
    first = {window: start_of(window, at) for window in Window}
    since = min(first.values())
    days = [key_of(Window.DAY, since + timedelta(days=n)) for n in range((at - since).days + 1)]
    rows = await store.read(*Statement(_DAYS, [(organization_id, member_id, days)]).spelled_out())
    by_day = {day: int(nano) for day, nano in rows}
    begins = {window: key_of(Window.DAY, start) for window, start in first.items()}
    return {window: sum(nano for day, nano in by_day.items() if day >= begins[window]) for window in Window}
