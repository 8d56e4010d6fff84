"""The ledger once more, as plainly as it can be said: what every answer of the real one is held against.

No database, no batches, no classes of the product: scopes, windows and sums in dictionaries.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

Account = tuple[str, str]


@dataclass
class Kept:
    """A hold as the model knows it."""

    member: str
    seat: str
    at: datetime
    nano: int
    lease_until: datetime
    state: str = "reserved"
    settled: int | None = None


@dataclass
class Model:
    """One organization."""

    limits: dict[tuple[str, str, str], tuple[int | None, bool]] = field(default_factory=dict)
    spent: dict[Account, int] = field(default_factory=dict)
    held: dict[Account, int] = field(default_factory=dict)
    holds: dict[str, Kept] = field(default_factory=dict)

    def hold(self, hold_id: str, nano: int, member: str, seat: str, at: datetime) -> str:
        """Return `held`, `refused <left>`, or how the id had ended before."""
        if hold_id in self.holds:
            return self.holds[hold_id].state
        lefts = self.lefts(member, seat, at)
        if lefts and min(lefts) < nano:
            return f"refused {min(lefts)}"
        self.holds[hold_id] = Kept(member, seat, at, nano, at + timedelta(seconds=30))
        self._add(self.held, self.holds[hold_id], nano)
        return "held"

    def trim(self, hold_id: str, nano: int) -> str:
        """Lower an open hold, never raise it."""
        kept = self.holds.get(hold_id)
        if kept is None or kept.state in ("settled", "void"):
            return kept.state if kept else "unknown"
        if nano < kept.nano:
            self._add(self.held, kept, nano - kept.nano)
            kept.nano = nano
        return "done 0"

    def end(self, hold_id: str, state: str, cost: int = 0) -> str:
        """Settle or void."""
        kept = self.holds.get(hold_id)
        if kept is None or kept.state in ("settled", "void"):
            return kept.state if kept else "unknown"
        self._add(self.held, kept, -kept.nano)
        self._add(self.spent, kept, cost)
        kept.state, kept.settled = state, cost
        return f"done {max(0, cost - kept.nano) if state == 'settled' else 0}"

    def extend(self, hold_id: str, until: datetime) -> str:
        """Renew a lease; a hold in doubt is believed again."""
        kept = self.holds.get(hold_id)
        if kept is None or kept.state in ("settled", "void"):
            return kept.state if kept else "unknown"
        kept.lease_until, kept.state = max(kept.lease_until, until), "reserved"
        return "done 0"

    def lose(self, hold_id: str, at: datetime) -> str:
        """Put a hold in doubt whose lease has passed; it goes on counting."""
        kept = self.holds.get(hold_id)
        if kept is None or kept.state in ("settled", "void"):
            return kept.state if kept else "unknown"
        if kept.lease_until < at:
            kept.state = "in_doubt"
        return "done 0"

    def lefts(self, member: str, seat: str, at: datetime) -> list[int]:
        """Return the room of every limit that applies."""
        own = f"member:{member}"
        excepted = any(exception for (scope, _, _), (_, exception) in self.limits.items() if scope == own)
        found = []
        for (scope, basis, window), (nano, _) in self.limits.items():
            if scope not in ("organization", f"seat_type:{seat}", own) or nano is None:
                continue
            if basis == "each" and scope.startswith("seat_type") and excepted:
                continue
            account = (scope if basis == "pool" or scope == own else own, keys(at)[window])
            found.append(nano - self.spent.get(account, 0) - self.held.get(account, 0))
        return found

    def _add(self, sums: dict[Account, int], kept: Kept, nano: int) -> None:
        for scope in ("organization", f"seat_type:{kept.seat}", f"member:{kept.member}"):
            for key in keys(kept.at).values():
                sums[scope, key] = sums.get((scope, key), 0) + nano


def keys(at: datetime) -> dict[str, str]:
    """Return the window keys of an instant, by strftime."""
    return {"month": at.strftime("%Y-%m"), "day": at.strftime("%Y-%m-%d"), "week": at.strftime("%G-W%V")}
