"""Daily sums per member and dimension, moved in the transaction of the events they sum."""

from collections.abc import Sequence
from operator import add as plus
from operator import itemgetter

from tokenpool.kernel.group_commit import Row, Statement
from tokenpool.kernel.period import Window, keys_at
from tokenpool.metering.record import AMOUNT_COLUMNS, COLUMNS

_KEY = ("organization_id", "day", "member_id", "seat_type", "product", "cost_center", "model")
_SUMS = ("requests", *AMOUNT_COLUMNS)
_UPSERT = (
    f"insert into metering_dailyusage ({', '.join(_KEY + _SUMS)}) "  # noqa: S608 - our own column names
    f"values ({', '.join('?' * len(_KEY + _SUMS))}) on conflict ({', '.join(_KEY)}) do update set "
    + ", ".join(f"{name} = metering_dailyusage.{name} + excluded.{name}" for name in _SUMS)
)

_TYPES = (*("text",) * len(_KEY), *("bigint",) * len(_SUMS))

_dimensions = itemgetter(COLUMNS.index("organization_id"), *(COLUMNS.index(name) for name in _KEY[2:]))
_PART, _ADMITTED, _AMOUNTS = COLUMNS.index("part"), COLUMNS.index("admitted_at_us"), -len(AMOUNT_COLUMNS)


def add(events: Sequence[Row], *, are_requests: bool = True) -> Statement:
    """Add *events* (rows of `record.COLUMNS`) to their day (of admission, UTC); a request counts once.

    Corrections are no requests: they move amounts alone.
    """
    cells: dict[Row, Row] = {}
    for event in events:
        organization_id, *rest = _dimensions(event)
        key = (organization_id, keys_at(event[_ADMITTED])[Window.DAY], *rest)
        sums = (int(are_requests and event[_PART] == 0), *event[_AMOUNTS:])
        cell = cells.get(key)
        cells[key] = sums if cell is None else tuple(map(plus, cell, sums))
    return Statement(_UPSERT, [key + cells[key] for key in sorted(cells)], _TYPES)
