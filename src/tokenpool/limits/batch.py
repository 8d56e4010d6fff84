"""A batch of operations being decided: the rows read under the lock, moved as each operation passes.

Pure but for the rows it was given: what it decides leaves as statements, what it answers as values.
"""

from collections.abc import Sequence
from datetime import timedelta

from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Statement
from tokenpool.kernel.period import Window, end_of, key_of
from tokenpool.limits import tables
from tokenpool.limits.decide import AccountKey, Applied, Balance, Granted, Short, apply, decide, fullest
from tokenpool.limits.hierarchy import WINDOWS_IN_USE, Cap, applicable, scopes_of
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


class Batch:
    """The state a batch is decided on: what was read under the lock, moved as each operation passes."""

    def __init__(self, organization_id: str, version: int, holds: Sequence[HoldRow]) -> None:
        self.organization_id = organization_id
        self.version = version
        self.holds = {hold.id: hold for hold in holds}
        self.balances: dict[AccountKey, Balance] = {}
        self.caps: dict[str, list[Cap]] = {}
        self.moved: set[AccountKey] = set()
        self.changed: dict[str, HoldRow] = {}
        self.settled: list[tuple[HoldRow, Settle]] = []
        self.refused: dict[str, tuple[Refusal, str, int]] = {}  # by member: the last one stays
        self.movements: dict[tuple[str, AccountKey], Movement] = {}

    def keys_of(self, operations: Sequence[Operation]) -> set[AccountKey]:
        """Return every account the operations may touch."""
        keys: set[AccountKey] = set()
        for operation in operations:
            if isinstance(operation, Authorize):
                keys.update(_account_keys(operation.who, clock.timestamp(operation.admitted_at)))
            elif operation.hold_id in self.holds:
                hold = self.holds[operation.hold_id]
                keys.update(_account_keys(hold.who, hold.admitted_at_us))
        return keys

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
        limits = self._limits(ask.who, at_us)
        verdict = decide(limits, ask.bound, clamps=ask.clamps, floor_output=ask.floor_output)
        if isinstance(verdict, Short):
            refusal = Refusal(
                _state(verdict.binding, at_us),
                ask.who.member_id,
                ask.bound.amount(),
                verdict.affordable_output,
            )
            self.refused[ask.who.member_id] = (refusal, ask.model, at_us)
            self._note_movement(verdict.binding, ask.who.member_id, at_us, refused=True)
            return refusal
        hold = _granted(ask, verdict)
        self.holds[hold.id] = self.changed[hold.id] = hold
        self._move(hold, held=verdict.amount_nano)
        worst = fullest(limits)
        clamped = verdict.max_output < ask.bound.max_output
        return Held(hold.id, hold.amount_nano, hold.max_output, clamped, _state(worst, at_us) if worst else None)

    def _settle(self, hold: HoldRow, operation: Settle) -> Done:
        cost = sum(usage.cost.total for usage in operation.usage)
        overrun = max(0, cost - hold.amount_nano)
        self._end(hold, "settled", cost, clock.timestamp(operation.settled_at), operation.flags)
        self.settled.append((hold, operation))
        for limit in self._limits(hold.who, hold.admitted_at_us):
            self._note_movement(limit, hold.who.member_id, clock.timestamp(operation.settled_at), refused=False)
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
        for key in _account_keys(hold.who, hold.admitted_at_us):
            balance = self.balances.setdefault(key, Balance())
            balance.held_nano += held
            balance.spent_nano += spent
            self.moved.add(key)

    def _limits(self, who: Attribution, at_us: int) -> list[Applied]:
        scopes = scopes_of(member_id=who.member_id, seat_type=who.seat_type)
        for key in _account_keys(who, at_us):
            self.balances.setdefault(key, Balance())
        caps = [(cap, scope) for cap, scope in applicable(self.caps, scopes) if cap.window in WINDOWS_IN_USE]
        return apply(caps, self.balances, _window_keys(at_us))

    def _note_movement(self, limit: Applied, member_id: str, at_us: int, *, refused: bool) -> None:
        cap, key = limit.cap, (limit.cap.limit_id, limit.account)
        before = self.movements.get(key)
        self.movements[key] = Movement(
            cap.limit_id,
            cap.scope,
            cap.basis,
            cap.window,
            limit.account[1],
            member_id,
            limit.amount_nano,
            limit.balance.spent_nano,
            refused or (before is not None and before.refused),
            at_us,
        )

    def writes(self) -> list[Statement]:
        """Return the bulk writes of everything that was decided."""
        organization_id, statements = self.organization_id, []
        if self.moved:
            statements.append(tables.write_accounts(organization_id, {key: self.balances[key] for key in self.moved}))
        if self.changed:
            statements.append(tables.write_holds(organization_id, list(self.changed.values())))
        if self.settled:
            recorded = [_recorded(hold, operation) for hold, operation in self.settled]
            statements += [record.insert(organization_id, recorded), rollup.add(organization_id, recorded)]
        if self.refused:
            statements.append(tables.write_refusals(organization_id, self.refused.values()))
        return statements


def _granted(ask: Authorize, verdict: Granted) -> HoldRow:
    return HoldRow(
        id=ask.hold_id,
        state="reserved",
        who=ask.who,
        model=ask.model,
        price_version=ask.price_version,
        amount_nano=verdict.amount_nano,
        reserved_nano=verdict.amount_nano,
        max_output=verdict.max_output,
        admitted_at_us=clock.timestamp(ask.admitted_at),
        lease_until_us=clock.timestamp(ask.admitted_at + timedelta(seconds=ask.lease_seconds)),
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
        hold.admitted_at_us,
        clock.timestamp(operation.settled_at),
        operation.flags,
        operation.usage,
    )


def _window_keys(at_us: int) -> dict[str, str]:
    instant = clock.from_timestamp(at_us)
    return {window: key_of(window, instant) for window in WINDOWS_IN_USE}


def _account_keys(who: Attribution, at_us: int) -> list[AccountKey]:
    scopes = scopes_of(member_id=who.member_id, seat_type=who.seat_type)
    return [(scope, key) for scope in scopes for key in _window_keys(at_us).values()]


def _state(limit: Applied, at_us: int) -> LimitState:
    cap, balance = limit.cap, limit.balance
    resets_at = end_of(Window(cap.window), clock.from_timestamp(at_us))
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
