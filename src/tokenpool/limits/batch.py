"""A batch of operations being decided: the rows read under the lock, moved as each operation passes.

Pure but for the rows it was given: what it decides leaves as statements, what it answers as values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Statement
from tokenpool.kernel.period import Window, end_of, keys_at
from tokenpool.limits import tables
from tokenpool.limits.decide import AccountKey, Applied, Balance, Granted, Short, apply, decide, fullest
from tokenpool.limits.hierarchy import Cap, applicable, scopes_of
from tokenpool.limits.operations import (
    Answer,
    Attribution,
    Authorize,
    Done,
    Ended,
    Extend,
    Held,
    LimitState,
    Lose,
    Movement,
    Operation,
    Refusal,
    Settle,
    Stale,
    Trim,
    Unknown,
    Void,
)
from tokenpool.limits.tables import HoldRow
from tokenpool.metering import record, rollup

PlaceName = tuple[str, str, tuple[str, ...], str]  # member, seat type, groups, day


@dataclass(slots=True)
class Place:
    """Where a call counts: its accounts, their balances, and the limits it must fit; one for all calls like it."""

    keys: tuple[AccountKey, ...]
    balances: list[Balance]
    limits: list[Applied]


class Batch:
    """The state a batch is decided on: what was read under the lock, moved as each operation passes."""

    def __init__(self, organization_id: str, version: int, windows: str, holds: Sequence[HoldRow]) -> None:
        self.organization_id = organization_id
        self.version = version
        self.windows = windows
        self.holds = {hold.id: hold for hold in holds}
        self.balances: dict[AccountKey, Balance] = {}
        self.caps: dict[str, list[Cap]] = {}
        self.places: dict[PlaceName, Place] = {}
        self.moved: set[PlaceName] = set()
        self.changed: dict[str, HoldRow] = {}
        self.settled: list[tuple[HoldRow, Settle]] = []
        self.refused: dict[str, tuple[Refusal, str, int]] = {}  # by member: the last one stays
        self.touched: dict[tuple[str, AccountKey], tuple[Applied, str, int, bool]] = {}

    def keys_of(self, operations: Sequence[Operation]) -> set[AccountKey]:
        """Return every account the operations may touch."""
        names: set[PlaceName] = set()
        for operation in operations:
            if isinstance(operation, Authorize):
                names.add(_name(operation.who, clock.timestamp(operation.admitted_at)))
            elif operation.hold_id in self.holds:
                hold = self.holds[operation.hold_id]
                names.add(_name(hold.who, hold.admitted_at_us))
        return {key for name in names for key in account_keys(name, self.windows)}

    def stand_on(self, balances: dict[AccountKey, Balance], caps: dict[str, list[Cap]]) -> None:
        """Take over what was read; accounts that do not exist yet start at zero under the same lock."""
        self.balances, self.caps = balances, caps

    def perform(self, operation: Operation) -> Answer:
        """Decide one operation on the state as its predecessors left it."""
        if isinstance(operation, Authorize):
            return self._authorize(operation)
        hold = self.holds.get(operation.hold_id)
        if hold is None:
            return Unknown()
        if not hold.is_open:
            return Ended(hold.state, hold.settled_nano, hold.end_reason)
        match operation:
            case Settle():
                return self._settle(hold, operation)
            case Void():
                self._end(hold, "void", 0, clock.timestamp(operation.ended_at), operation.reason)
            case Trim():
                self._trim(hold, operation)
            case Extend():
                hold.lease_until_us = max(hold.lease_until_us, clock.timestamp(operation.lease_until))
                hold.state = "reserved"
            case Lose():
                if hold.lease_until_us < clock.timestamp(operation.at):
                    hold.state = "in_doubt"
        self.changed[hold.id] = hold
        return Done()

    def _authorize(self, ask: Authorize) -> Answer:
        if ask.hold_id in self.holds:
            hold = self.holds[ask.hold_id]
            return Ended(hold.state, hold.settled_nano, hold.end_reason)
        if ask.facts_version is not None and ask.facts_version != self.version:
            return Stale(self.version)
        at_us = clock.timestamp(ask.admitted_at)
        limits = self._place(ask.who, at_us).limits
        verdict = decide(limits, ask.bound, clamps=ask.clamps, floor_output=ask.floor_output)
        if isinstance(verdict, Short):
            return self._refuse(ask, verdict, at_us)
        hold = _granted(ask, verdict, at_us)
        self.holds[hold.id] = self.changed[hold.id] = hold
        self._move(hold, held=verdict.amount_nano)
        worst = fullest(limits)
        clamped = verdict.max_output < ask.bound.max_output
        return Held(hold.id, hold.amount_nano, hold.max_output, clamped, _state(worst, at_us) if worst else None)

    def _refuse(self, ask: Authorize, verdict: Short, at_us: int) -> Refusal:
        binding, member_id = verdict.binding, ask.who.member_id
        refusal = Refusal(_state(binding, at_us), member_id, ask.bound.amount(), verdict.affordable_output)
        self.refused[member_id] = (refusal, ask.model, at_us)
        self.touched[binding.cap.limit_id, binding.account] = (binding, member_id, at_us, True)
        return refusal

    def _settle(self, hold: HoldRow, operation: Settle) -> Done:
        cost = sum(usage.cost.total for usage in operation.usage)
        overrun, at_us = max(0, cost - hold.amount_nano), clock.timestamp(operation.settled_at)
        self._end(hold, "settled", cost, at_us, operation.flags)
        self.settled.append((hold, operation))
        for limit in self._place(hold.who, hold.admitted_at_us).limits:
            key = (limit.cap.limit_id, limit.account)
            before = self.touched.get(key)
            self.touched[key] = (limit, hold.who.member_id, at_us, before is not None and before[3])
        self.changed[hold.id] = hold
        return Done(overrun)

    def _end(self, hold: HoldRow, state: str, cost_nano: int, at_us: int, reason: str) -> None:
        self._move(hold, held=-hold.amount_nano, spent=cost_nano)
        hold.state, hold.settled_nano, hold.ended_at_us, hold.end_reason = (
            state,
            cost_nano,
            at_us,
            reason[:60],
        )

    def _trim(self, hold: HoldRow, operation: Trim) -> None:
        hold.evidence = operation.evidence
        if operation.amount_nano is not None and operation.amount_nano < hold.amount_nano:
            self._move(hold, held=operation.amount_nano - hold.amount_nano)
            hold.amount_nano = operation.amount_nano

    def _move(self, hold: HoldRow, *, held: int, spent: int = 0) -> None:
        for balance in self._place(hold.who, hold.admitted_at_us).balances:
            balance.held_nano += held
            balance.spent_nano += spent
        self.moved.add(_name(hold.who, hold.admitted_at_us))

    def _place(self, who: Attribution, at_us: int) -> Place:
        name = _name(who, at_us)
        place = self.places.get(name)
        if place is None:
            keys = account_keys(name, self.windows)
            balances = [self.balances.setdefault(key, Balance()) for key in keys]
            scopes = scopes_of(member_id=who.member_id, seat_type=who.seat_type, groups=who.groups)
            found = applicable(self.caps, scopes)
            limits = apply(found, self.balances, keys_at(at_us)) if self.caps else []
            place = self.places[name] = Place(keys, balances, limits)
        return place

    def movements(self) -> list[Movement]:
        """Return the limits whose accounts have moved, or that refused, as they stand after the batch."""
        return [_movement(*touched) for touched in self.touched.values()]

    def writes(self) -> list[Statement]:
        """Return the bulk writes of everything that was decided."""
        organization_id, statements = self.organization_id, []
        if self.moved:
            keys = {key for name in self.moved for key in self.places[name].keys}
            statements.append(tables.write_accounts(organization_id, {key: self.balances[key] for key in keys}))
        if self.changed:
            statements.append(tables.write_holds(organization_id, list(self.changed.values())))
        if self.settled:
            recorded = [_recorded(hold, operation) for hold, operation in self.settled]
            statements += [record.insert(organization_id, recorded), rollup.add(organization_id, recorded)]
        if self.refused:
            statements.append(tables.write_refusals(organization_id, self.refused.values()))
        return statements


def _granted(ask: Authorize, verdict: Granted, at_us: int) -> HoldRow:
    return HoldRow(
        id=ask.hold_id,
        state="reserved",
        who=ask.who,
        model=ask.model,
        price_version=ask.price_version,
        amount_nano=verdict.amount_nano,
        reserved_nano=verdict.amount_nano,
        max_output=verdict.max_output,
        admitted_at_us=at_us,
        lease_until_us=at_us + ask.lease_seconds * 1_000_000,
        evidence=ask.evidence,
    )


def _recorded(hold: HoldRow, operation: Settle) -> record.Recorded:
    who = hold.who
    return record.Recorded(
        hold.id,
        who.member_id,
        who.seat_type,
        who.product,
        who.cost_center,
        who.project,
        who.session_id,
        who.groups,
        hold.admitted_at_us,
        clock.timestamp(operation.settled_at),
        operation.flags,
        operation.usage,
    )


def _name(who: Attribution, at_us: int) -> PlaceName:
    return (who.member_id, who.seat_type, who.groups, keys_at(at_us)[Window.DAY])


@lru_cache(maxsize=65_536)
def account_keys(name: PlaceName, windows: str) -> tuple[AccountKey, ...]:
    """Return the accounts of a place: each of its scopes in each of *windows* (“month day”) that contains its day."""
    member_id, seat_type, groups, day = name
    keys = keys_at(clock.timestamp(datetime.fromisoformat(day).replace(tzinfo=UTC)))
    scopes = scopes_of(member_id=member_id, seat_type=seat_type, groups=groups)
    return tuple((scope, keys[Window(window)]) for scope in scopes for window in windows.split())


def _movement(limit: Applied, member_id: str, at_us: int, refused: bool) -> Movement:  # noqa: FBT001 - a stored row
    cap = limit.cap
    return Movement(
        cap.limit_id,
        cap.scope,
        cap.basis,
        cap.window,
        limit.account[1],
        member_id,
        limit.amount_nano,
        limit.balance.spent_nano,
        refused,
        at_us,
    )


def _state(limit: Applied, at_us: int) -> LimitState:
    cap, balance = limit.cap, limit.balance
    resets_at = _resets_at(cap.window, at_us // 3_600_000_000)
    return LimitState(
        cap.limit_id,
        cap.scope,
        cap.basis,
        cap.window,
        limit.amount_nano,
        balance.spent_nano,
        balance.held_nano,
        resets_at,
    )


@lru_cache(maxsize=256)
def _resets_at(window: Window, hour: int) -> datetime:
    return end_of(window, datetime.fromtimestamp(hour * 3600, UTC))
