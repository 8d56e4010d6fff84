"""A batch of operations being decided: the rows read under the lock, moved as each operation passes.

Pure but for the rows it was given: what it decides leaves as statements, what it answers as values.
"""

from collections.abc import Mapping, Sequence

from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import Statement
from tokenpool.limits import message_batches, tables
from tokenpool.limits.decide import AccountKey, Applied, Balance, Granted, Short, decide, fullest
from tokenpool.limits.figures import movement_of, state_of
from tokenpool.limits.hierarchy import Cap
from tokenpool.limits.kept import Kept, Known
from tokenpool.limits.operations import (
    Alive,
    Answer,
    Authorize,
    Done,
    Ended,
    Extend,
    Held,
    Lose,
    Movement,
    Operation,
    Refusal,
    Settle,
    Stale,
    Together,
    Trim,
    Unknown,
    Void,
)
from tokenpool.limits.places import Place, PlaceName, account_keys, name_of
from tokenpool.limits.tables import HoldRow
from tokenpool.metering import allowance, record, rollup

_ASKS = (Authorize, Together)
_DONE = Done()


class Batch:
    """The state a batch is decided on: what was read under the lock, moved as each operation passes."""

    def __init__(self, organization_id: str, gate: tables.GateRow, holds: Sequence[HoldRow], kept: Kept) -> None:
        self.organization_id, self.gate, self.kept = organization_id, gate, kept
        self.holds = {hold.id: hold for hold in holds}
        self.balances: dict[AccountKey, Balance] = {}
        self.places: dict[PlaceName, Place] = {}
        self.asked: list[tuple[Operation, Place | None]] = []  # with where it counts
        self.place_of: dict[str, Place] = {}  # by hold id
        self.changed: dict[str, HoldRow] = {}
        self.settled: list[record.Recorded] = []
        self.together: list[Together] = []
        self.refused: dict[str, tuple[Refusal, str, int]] = {}  # by member: the last one stays
        self.refusing: dict[tuple[str, AccountKey], tuple[Applied, str, int]] = {}
        self.months_with_time: dict[str, str] = {}  # by hold id: settlements with time of a tool
        self.free_used: dict[str, int] = {}  # by month: seconds of the organization's free time

    def locate(self, operations: Sequence[Operation]) -> set[AccountKey]:
        """Find where each operation counts; return every account that may be touched."""
        for operation in operations:
            place = self._locate(operation)
            self.asked.append((operation, place))
            if place is not None and isinstance(operation, Settle) and any(part.hourly for part in operation.usage):
                self.months_with_time[operation.hold_id] = place.month
        return {key for place in self.places.values() for key in place.keys}

    def unread(self) -> set[str]:
        """Return the scopes whose limits are not known since they were last changed."""
        return {scope for place in self.places.values() if place.readings is None for scope, _ in place.keys}

    def stand_on(self, balances: dict[AccountKey, Balance], caps: Mapping[str, Sequence[Cap]]) -> None:
        """Take over the accounts and limits that were read."""
        self.balances = balances
        for place in self.places.values():
            if place.readings is None:
                known = Known(place.keys, place.read(caps))
                self.kept.keep(self.organization_id, self.gate.limits_version, place.name, known)
            place.stand_on(balances)

    def answers(self) -> list[Answer]:
        """Decide the operations that were located, each on the state as its predecessors left it."""
        return [self._perform(operation, place) for operation, place in self.asked]

    def _perform(self, operation: Operation, place: Place | None) -> Answer:
        if place is not None and isinstance(operation, _ASKS):
            return self._authorize(operation, place)
        hold = self.holds.get(operation.hold_id)
        if hold is None:
            return Unknown()
        if not hold.is_open:
            return Ended(hold.state, hold.settled_nano, hold.end_reason)
        self.changed[hold.id] = hold
        match operation:
            case Settle():
                return self._settle(hold, operation)
            case Void():
                return self._void(hold, operation)
            case Trim():
                self._trim(hold, operation)
            case Extend():
                hold.lease_until_us = max(hold.lease_until_us, clock.timestamp(operation.lease_until))
                hold.state = "reserved"
            case Lose():
                if hold.lease_until_us < clock.timestamp(operation.at):
                    hold.state = "in_doubt"
        return _DONE

    def _locate(self, operation: Operation) -> Place | None:
        """Return the place of a hold that exists or is asked for; not by the id: two may ask with the same at once."""
        hold = self.holds.get(operation.hold_id)
        if hold is not None:
            name = name_of(hold.who, hold.admitted_at_us)
        elif isinstance(operation, _ASKS):
            name = name_of(operation.who, clock.timestamp(operation.admitted_at))
        else:
            return self.place_of.get(operation.hold_id)
        place = self.places.get(name)
        if place is None:
            known = self.kept.find(self.organization_id, self.gate.limits_version, name)
            place = Place(name, *known) if known else Place(name, account_keys(name, self.gate.windows))
            self.places[name] = place
        self.place_of[operation.hold_id] = place
        return place

    def _authorize(self, ask: Authorize | Together, place: Place) -> Answer:
        hold = self.holds.get(ask.hold_id)
        if hold is not None:
            return Ended(hold.state, hold.settled_nano, hold.end_reason)
        at_us = clock.timestamp(ask.admitted_at)
        if ask.facts_version not in (None, self.gate.version) or at_us < self.gate.open_from_us:
            return Stale(self.gate.version)
        limits = place.limits(self.balances)
        verdict = decide(limits, ask.bound, clamps=ask.clamps, floor_output=ask.floor_output)
        if isinstance(verdict, Short):
            return self._refuse(ask, verdict, at_us)
        full = place.beyond_counting(verdict.amount_nano)
        if full is not None:
            return Refusal(state_of(full, at_us), ask.who.member_id, verdict.amount_nano, 0)
        if isinstance(ask, Together):  # of one member and instant: the sum fits every limit exactly if all of them do
            self.together.append(ask)
            for one in ask.requests:
                granted = Granted(one.bound.amount(), one.bound.max_output)
                self.holds[one.hold_id] = self.changed[one.hold_id] = _granted(one, granted, at_us)
                self.place_of[one.hold_id] = place
        else:
            hold = self.holds[ask.hold_id] = self.changed[ask.hold_id] = _granted(ask, verdict, at_us)
            self.place_of[hold.id] = place
        place.move(held=verdict.amount_nano)
        worst = fullest(limits)
        clamped = verdict.max_output < ask.bound.max_output
        fullest_now = state_of(worst, at_us) if worst else None
        return Held(ask.hold_id, verdict.amount_nano, verdict.max_output, clamped, fullest_now)

    def _refuse(self, ask: Authorize | Together, verdict: Short, at_us: int) -> Refusal:
        binding, member_id = verdict.binding, ask.who.member_id
        refusal = Refusal(state_of(binding, at_us), member_id, ask.bound.amount(), verdict.affordable_output)
        self.refused[member_id] = (refusal, ask.model, at_us)
        self.refusing[binding.cap.limit_id, binding.account] = (binding, member_id, at_us)
        return refusal

    def _settle(self, hold: HoldRow, operation: Settle) -> Done | Alive:
        if operation.if_in_doubt and hold.state != "in_doubt":
            return Alive()
        at_us = clock.timestamp(operation.settled_at)
        month = self.months_with_time.get(hold.id)
        if month is not None:
            usage, used = allowance.taken_off(operation.usage, self.free_used.get(month, 0))
            operation, self.free_used[month] = operation._replace(usage=usage), used
        whole = (hold.id, *hold.who, hold.admitted_at_us, at_us, operation.flags, operation.usage)
        self.settled.append(record.Recorded(*whole))
        cost = sum([usage.cost.total for usage in operation.usage])
        self._end(hold, "settled", cost, at_us, operation.flags)
        self.place_of[hold.id].settled_at_us = at_us
        overrun = cost - hold.amount_nano
        return Done(overrun) if overrun > 0 else _DONE

    def _void(self, hold: HoldRow, operation: Void) -> Answer:
        if operation.admitted_at and clock.timestamp(operation.admitted_at) != hold.admitted_at_us:
            return Unknown()
        self._end(hold, "void", 0, clock.timestamp(operation.ended_at), operation.reason)
        self.changed[hold.id] = hold
        return Done()

    def _end(self, hold: HoldRow, state: str, cost_nano: int, at_us: int, reason: str) -> None:
        self.place_of[hold.id].move(held=-hold.amount_nano, spent=cost_nano)
        hold.state, hold.settled_nano, hold.ended_at_us, hold.end_reason = state, cost_nano, at_us, reason[:60]

    def _trim(self, hold: HoldRow, operation: Trim) -> None:
        hold.evidence = operation.evidence
        if operation.amount_nano is not None and operation.amount_nano < hold.amount_nano:
            self.place_of[hold.id].move(held=operation.amount_nano - hold.amount_nano)
            hold.amount_nano = operation.amount_nano

    def movements(self, from_percent: int = 0) -> list[Movement]:
        """Return the limits that refused, or that were spent from and reached *from_percent*, as they stand now."""
        moved = {
            (cap.limit_id, account): movement_of(
                Applied(cap, account, self.balances[account], nano), place.name[0], place.settled_at_us, refused=False
            )
            for place in self.places.values()
            if place.settled_at_us is not None
            for cap, account, nano in place.readings or ()
            if self.balances[account].spent_nano * 100 >= nano * from_percent
        }
        for key, (limit, member_id, at_us) in self.refusing.items():
            moved[key] = movement_of(limit, member_id, at_us, refused=True)
        return list(moved.values())

    def writes(self) -> list[Statement]:
        """Return the bulk writes of everything that was decided."""
        organization_id, statements = self.organization_id, []
        moved = {key for place in self.places.values() if place.moved for key in place.keys}
        if moved:
            statements.append(tables.write_accounts(organization_id, {key: self.balances[key] for key in moved}))
        if self.changed:
            statements.append(tables.write_holds(organization_id, list(self.changed.values())))
        for ask in self.together:
            statements += message_batches.insert(organization_id, ask)
        if self.settled:
            events = record.insert(organization_id, self.settled)
            statements += [events, rollup.add(events.rows)]
        if self.free_used:
            statements.append(allowance.write(organization_id, self.free_used))
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
