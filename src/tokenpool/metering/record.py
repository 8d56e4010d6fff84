"""The one way a usage event comes to exist: rated parts of a request, written with its settlement."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokenpool.kernel import ids
from tokenpool.kernel.group_commit import Row, Statement
from tokenpool.kernel.period import Window, keys_at
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.pricing.book import HourPrice
from tokenpool.pricing.cost import Cost


@dataclass(frozen=True, slots=True)
class RatedUsage:
    """What a request used of one model, and what that cost under the pinned price version."""

    model: str
    price_version: str
    counts: TokenCounts
    cost: Cost
    batch: bool = False
    us_only: bool = False
    fast: bool = False
    hourly: HourPrice | None = None  # of the time it used; the ledger takes off what of it is free
    free_seconds: int = 0


class Recorded(NamedTuple):
    """A settled request: whose it is, when, and its rated parts (one per model)."""

    hold_id: str
    member_id: str
    seat_type: str
    product: str
    cost_center: str
    project: str
    session_id: str
    agent_id: str
    groups: tuple[str, ...]
    admitted_at_us: int
    settled_at_us: int
    flags: str
    parts: tuple[RatedUsage, ...]


AMOUNT_COLUMNS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "web_search_requests",
    "code_execution_seconds",
    "code_execution_free_seconds",
    "input_nano",
    "cache_read_nano",
    "cache_write_5m_nano",
    "cache_write_1h_nano",
    "output_nano",
    "web_search_nano",
    "code_execution_nano",
    "cost_nano",
)
COLUMNS = (
    "organization_id",
    "id",
    "request_id",
    "part",
    "member_id",
    "seat_type",
    "product",
    "cost_center",
    "project",
    "session_id",
    "agent_id",
    "group_ids",
    "model",
    "price_version",
    "batch",
    "us_only",
    "fast",
    "month",
    "admitted_at_us",
    "settled_at_us",
    "flags",
    *AMOUNT_COLUMNS,
)
_INSERT = f"insert into metering_usageevent ({', '.join(COLUMNS)}) values ({', '.join('?' * len(COLUMNS))})"  # noqa: S608

_TYPES = (
    *("text",) * 3,
    "bigint",
    *("text",) * 10,
    *("boolean",) * 3,
    "text",
    "bigint",
    "bigint",
    "text",
    *("bigint",) * len(AMOUNT_COLUMNS),
)


def event_id(hold_id: str, part: int) -> str:
    """Return the id of a request's event: the hold's twin, with a suffix from the second model on."""
    twin = ids.twin("evt", hold_id)
    return f"{twin}.{part}" if part else twin


def amounts(usage: RatedUsage) -> Row:
    """Return the values of `AMOUNT_COLUMNS` of one rated part."""
    counts, cost = usage.counts, usage.cost
    return (
        counts.input,
        counts.cache_read,
        counts.cache_write_5m,
        counts.cache_write_1h,
        counts.output,
        counts.web_search_requests,
        counts.code_execution_seconds,
        usage.free_seconds,
        cost.input,
        cost.cache_read,
        cost.cache_write_5m,
        cost.cache_write_1h,
        cost.output,
        cost.web_search,
        cost.code_execution,
        cost.total,
    )


def insert(organization_id: str, settled: Sequence[Recorded]) -> Statement:
    """Insert the events of settled requests; an id that exists fails the whole transaction."""
    rows: list[Row] = []
    for one in settled:
        month = keys_at(one.admitted_at_us)[Window.MONTH]
        request_id = ids.twin("req", one.hold_id)
        rows += [
            (
                organization_id,
                event_id(one.hold_id, part),
                request_id,
                part,
                one.member_id,
                one.seat_type,
                one.product,
                one.cost_center,
                one.project,
                one.session_id,
                one.agent_id,
                " ".join(one.groups),
                usage.model,
                usage.price_version,
                usage.batch,
                usage.us_only,
                usage.fast,
                month,
                one.admitted_at_us,
                one.settled_at_us,
                one.flags,
                *amounts(usage),
            )
            for part, usage in enumerate(one.parts)
        ]
    return Statement(_INSERT, rows, _TYPES)
