"""From seat-days and usage sums to the lines, the annex and the totals of a month. Pure.

Lines are exact in nano-dollars; the total is rounded to cents once and spread over the lines by
largest remainder, so the annex sums to the usage lines, the adjustments to theirs, and the lines to
the total.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tokenpool.kernel.money import spread_cents

USAGE_CLASSES = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "web_search", "code_execution",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeatFee:
    """A seat type as it is billed: its monthly fee and its HIPAA surcharge, in nano-dollars."""

    key: str
    name: str
    fee_nano: int
    hipaa_surcharge_nano: int


@dataclass(frozen=True, slots=True)
class HeldSeat:
    """On how many days of the month a member held a seat type, and on how many while HIPAA-ready."""

    member_id: str
    seat_type: str
    days: int
    hipaa_days: int


@dataclass(frozen=True, slots=True)
class UsageSum:
    """What a member used of a model in one class: tokens (or searches) and nano-dollars."""

    member_id: str
    model: str
    usage_class: str
    quantity: int
    amount_nano: int


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What corrections of an earlier month's usage came to, for a member and model; `events` name what they correct."""

    member_id: str
    model: str
    month: str
    events: tuple[str, ...]
    amount_nano: int


Row = TypeVar("Row", UsageSum, Adjustment)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `kind` is seat_fee, hipaa_surcharge, usage or adjustment."""

    kind: str
    item: str  # seat type key, or model
    name: str  # of an adjustment: the month it corrects
    usage_class: str  # empty unless usage
    quantity: int  # member-days, tokens, searches, or correcting events
    amount_nano: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A month's lines and annex with their cents; `lines[i]` costs `line_cents[i]`."""

    lines: Sequence[Line]
    line_cents: Sequence[int]
    annex: Sequence[UsageSum]
    annex_cents: Sequence[int]
    adjustments: Sequence[Adjustment]
    adjustment_cents: Sequence[int]

    @property
    def total_nano(self) -> int:
        """The exact total."""
        return sum(line.amount_nano for line in self.lines)

    @property
    def total_cents(self) -> int:
        """The total as it is paid."""
        return sum(self.line_cents)


def build(
    *,
    seat_fees: Sequence[SeatFee],
    held: Iterable[HeldSeat],
    usage: Iterable[UsageSum],
    days_in_month: int,
    adjustments: Iterable[Adjustment] = (),
) -> Statement:
    """Return the statement of a month.

    A seat costs fee x days / days of the month: a whole month is exactly the fee, and the member-days
    of a seat type are billed as one line, rounded down to the nano-dollar once.
    """
    seats = list(held)
    annex = sorted(
        (one for one in usage if one.amount_nano or one.quantity), key=lambda u: (u.member_id, u.model, u.usage_class)
    )
    adjusted = sorted(adjustments, key=lambda a: (a.month, a.model, a.member_id))
    lines = [
        *_seat_lines(seat_fees, seats, days_in_month),
        *_usage_lines(annex),
        *_adjustment_lines(adjusted),
    ]
    line_cents = spread_cents([line.amount_nano for line in lines])
    annex_cents = _row_cents(lines, line_cents, annex, lambda one: ("usage", one.model, one.model, one.usage_class))
    adjustment_cents = _row_cents(lines, line_cents, adjusted, lambda one: ("adjustment", one.model, one.month, ""))
    return Statement(lines, line_cents, annex, annex_cents, adjusted, adjustment_cents)


def _seat_lines(seat_fees: Sequence[SeatFee], seats: Sequence[HeldSeat], days_in_month: int) -> Iterable[Line]:
    for fee in seat_fees:
        days = sum(seat.days for seat in seats if seat.seat_type == fee.key)
        if days:
            yield Line("seat_fee", fee.key, fee.name, "", days, fee.fee_nano * days // days_in_month)
        hipaa_days = sum(seat.hipaa_days for seat in seats if seat.seat_type == fee.key)
        if hipaa_days and fee.hipaa_surcharge_nano:
            amount = fee.hipaa_surcharge_nano * hipaa_days // days_in_month
            yield Line("hipaa_surcharge", fee.key, fee.name, "", hipaa_days, amount)


def _usage_lines(annex: Sequence[UsageSum]) -> Iterable[Line]:
    sums: dict[tuple[str, str], list[int]] = {}
    for one in annex:
        cell = sums.setdefault((one.model, one.usage_class), [0, 0])
        cell[0] += one.quantity
        cell[1] += one.amount_nano
    for model, usage_class in sorted(sums, key=lambda key: (key[0], USAGE_CLASSES.index(key[1]))):
        quantity, amount = sums[model, usage_class]
        yield Line("usage", model, model, usage_class, quantity, amount)


def _adjustment_lines(adjustments: Sequence[Adjustment]) -> Iterable[Line]:
    """Return a line per month and model that was corrected."""
    for month, model in sorted({(one.month, one.model) for one in adjustments}):
        found = [one for one in adjustments if (one.month, one.model) == (month, model)]
        quantity = sum(len(one.events) for one in found)
        yield Line("adjustment", model, month, "", quantity, sum(one.amount_nano for one in found))


def _row_cents(
    lines: Sequence[Line], line_cents: Sequence[int], rows: Sequence[Row], line_of: Callable[[Row], tuple[str, ...]]
) -> list[int]:
    """Spread each line's cents over the rows it sums (*line_of* names it), so that they sum to the line."""
    cents = [0] * len(rows)
    for line, whole in zip(lines, line_cents, strict=True):
        name = (line.kind, line.item, line.name, line.usage_class)
        own = [i for i, row in enumerate(rows) if line_of(row) == name]
        parts = spread_cents([rows[i].amount_nano for i in own])
        for i, part in zip(own, parts, strict=True):
            cents[i] = part
        if own:  # the line's own rounding may differ by a cent from its rows' sum
            largest = max(own, key=lambda i: abs(rows[i].amount_nano))
            cents[largest] += whole - sum(parts)
    return cents
