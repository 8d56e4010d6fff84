"""The free time of server tools: per organization and month, used up in the order in which settlements commit.

A hold is bounded as if none were left. At settlement the ledger reads, under its lock, how much of the
month's free time is used, takes what is left off each part, and moves the figure with the events.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tokenpool.kernel.group_commit import Statement
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing.cost import billed_seconds, time_cost

_UPSERT = (
    "insert into metering_freetime (organization_id, month, used_seconds) values (?, ?, ?) "
    "on conflict (organization_id, month) do update set used_seconds = excluded.used_seconds"
)


def read(organization_id: str, months: Iterable[str]) -> Statement:
    """Read the seconds of free time that are used in *months*."""
    sql = "select month, used_seconds from metering_freetime where organization_id = ? and month in (?*)"
    return Statement(sql, [(organization_id, sorted(months))])


def write(organization_id: str, used: Mapping[str, int]) -> Statement:
    """Store the seconds of free time that are *used* now, by month."""
    return Statement(
        _UPSERT, [(organization_id, month, used[month]) for month in sorted(used)], ("text", "text", "bigint")
    )


def taken_off(usage: Sequence[RatedUsage], used: int) -> tuple[tuple[RatedUsage, ...], int]:
    """Return *usage* with the free time that is left taken off its cost, and how much is *used* after it."""
    found = []
    for part in usage:
        if part.hourly is not None:
            left = max(0, part.hourly.free_seconds - used)
            free = min(left, billed_seconds(part.hourly, part.counts.code_execution_seconds))
            cost = time_cost(part.hourly, part.counts.code_execution_seconds, free)
            part = replace(part, free_seconds=free, cost=part.cost._replace(code_execution=cost))  # noqa: PLW2901
            used += free
        found.append(part)
    return tuple(found), used


def may_have_cost(usage: Sequence[RatedUsage], nano: int | None) -> bool:
    """Tell whether *usage*, rated without any free time, may have been settled at *nano*."""
    most = sum(part.cost.total for part in usage)
    least = most - sum(part.cost.code_execution for part in usage)
    return nano is not None and least <= nano <= most
