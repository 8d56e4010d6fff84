"""What can be asked of the ledger and what it answers. Refusals are values, never exceptions.

What is made for every operation is a named tuple: a frozen dataclass takes three times as long.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from tokenpool.kernel.period import Window
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing.bound import Bound

LEASE_SECONDS = 30


class Attribution(NamedTuple):
    """Whose usage it will be, pinned at admission and inherited by the event."""

    member_id: str
    seat_type: str
    product: str
    cost_center: str = ""
    project: str = ""
    session_id: str = ""
    agent_id: str = ""
    groups: tuple[str, ...] = ()  # ids, ascending


class Authorize(NamedTuple):
    """Reserve the largest possible cost of a request, or refuse it."""

    hold_id: str
    who: Attribution
    model: str
    price_version: str
    bound: Bound
    admitted_at: datetime
    facts_version: int | None = None  # None: the caller read its facts under the same lock
    clamps: bool = False
    floor_output: int = 1024
    lease_seconds: int = LEASE_SECONDS
    evidence: str = ""  # what an estimate would start from, should the process be lost before it hears anything


class Together(NamedTuple):
    """Reserve for all requests of a message batch, or for none; the batch is written with its holds."""

    batch_id: str
    who: Attribution
    upstream: str  # the provider it is for
    requests: tuple[Authorize, ...]  # not clamped; of the same member and instant
    custom_ids: tuple[str, ...]  # what its client calls them
    look_at: datetime  # when nobody is waiting for the provider's answer any more
    clamps: bool = False
    floor_output: int = 0

    @property
    def hold_id(self) -> str:
        """The hold of the first request: when it stands already, the batch was made before."""
        return self.requests[0].hold_id

    @property
    def admitted_at(self) -> datetime:
        """The instant all of them are admitted at."""
        return self.requests[0].admitted_at

    @property
    def model(self) -> str:
        """The model of the first request, which stands for all."""
        return self.requests[0].model

    @property
    def facts_version(self) -> int | None:
        """The version of the facts they were asked with."""
        return self.requests[0].facts_version

    @property
    def bound(self) -> Bound:
        """The sum of what they can cost."""
        return Bound(sum(one.bound.amount() for one in self.requests), 0, 0)


class Trim(NamedTuple):
    """Lower an open hold (never raise it) and write down the evidence of what the attempt has used."""

    hold_id: str
    evidence: str
    amount_nano: int | None = None


class Settle(NamedTuple):
    """End a hold with what was really used; the events, rollups and accounts move with it."""

    hold_id: str
    usage: tuple[RatedUsage, ...]
    settled_at: datetime
    flags: str = ""
    if_in_doubt: bool = False  # an estimate: only while no process answers for the hold


class Void(NamedTuple):
    """End a hold that cost nothing."""

    hold_id: str
    reason: str
    ended_at: datetime
    admitted_at: datetime | None = None  # only the hold that was admitted then: a later one may bear its id


class Extend(NamedTuple):
    """Renew the lease of a running attempt."""

    hold_id: str
    lease_until: datetime


class Lose(NamedTuple):
    """Mark a hold whose lease has passed as in doubt; it still counts as held."""

    hold_id: str
    at: datetime


Operation = Authorize | Together | Trim | Settle | Void | Extend | Lose


class LimitState(NamedTuple):
    """A limit with its numbers at the instant of the answer."""

    limit_id: str
    scope: str
    basis: str
    window: Window
    limit_nano: int
    spent_nano: int
    held_nano: int
    resets_at: datetime

    @property
    def left_nano(self) -> int:
        """Room below the limit; negative when it was lowered below what is spent."""
        return self.limit_nano - self.spent_nano - self.held_nano

    @property
    def spent_percent(self) -> int:
        """Whole percents that are spent, rounded down; 100 of a limit of nothing."""
        return self.spent_nano * 100 // self.limit_nano if self.limit_nano else 100


class Held(NamedTuple):
    """The hold stands. `fullest` is the limit with the largest spent share, None without limits."""

    hold_id: str
    amount_nano: int
    max_output: int
    clamped: bool
    fullest: LimitState | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request does not fit `limit`; nothing was held."""

    limit: LimitState
    member_id: str
    asked_nano: int
    affordable_output: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The facts have changed since they were read, or the month has been closed; read them and the clock again."""

    version: int


@dataclass(frozen=True, slots=True)
class Done:
    """The operation took effect. `overrun_nano` is what a settlement cost above its hold (should be 0)."""

    overrun_nano: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The hold had ended before, this way; nothing was changed."""

    state: str
    settled_nano: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The hold is not in doubt: its process answers for it. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No such hold in this organization."""


Answer = Held | Refusal | Stale | Done | Ended | Alive | Unknown


class Movement(NamedTuple):
    """A limit whose account has moved (or that refused): what thresholds are decided from."""

    limit_id: str
    scope: str  # of the limit
    basis: str
    window: Window
    window_key: str
    member_id: str
    amount_nano: int
    spent_nano: int
    refused: bool
    at_us: int
