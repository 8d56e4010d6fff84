"""Daily sums per member and dimension, moved in the transaction of the events they sum."""

from collections.abc import Sequence

from tokenpool.kernel.group_commit import Row, Statement
from tokenpool.kernel.period import Window, keys_at
from tokenpool.metering.record import AMOUNT_COLUMNS, Recorded, amounts

_KEY = ("organization_id", "day", "member_id", "seat_type", "product", "cost_center", "model")
_SUMS = ("requests", *AMOUNT_COLUMNS)
_UPSERT = (
    f"insert into metering_dailyusage ({', '.join(_KEY + _SUMS)}) "  # noqa: S608 - our own column names
    f"values ({', '.join('?' * len(_KEY + _SUMS))}) on conflict ({', '.join(_KEY)}) do update set "
    + ", ".join(f"{name} = metering_dailyusage.{name} + excluded.{name}" for name in _SUMS)
)

_TYPES = (*("text",) * len(_KEY), *("bigint",) * len(_SUMS))


def add(organization_id: str, settled: Sequence[Recorded]) -> Statement:
    """Add settled requests to their day (of admission, UTC); a request counts once, on its first model."""
    cells: dict[Row, list[int]] = {}
    for one in settled:
        day = keys_at(one.admitted_at_us)[Window.DAY]
        for part, usage in enumerate(one.parts):
            key = (
                organization_id,
                day,
                one.member_id,
                one.seat_type,
                one.product,
                one.cost_center,
                usage.model,
            )
            sums = (int(part == 0), *amounts(usage))
            cell = cells.get(key)
            cells[key] = list(sums) if cell is None else [a + b for a, b in zip(cell, sums, strict=True)]
    return Statement(_UPSERT, [(*key, *sums) for key, sums in sorted(cells.items())], _TYPES)
