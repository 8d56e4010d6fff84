"""The ledger once more, as plainly as it can be said: what every answer of the real one is held against.

No database, no batches, no classes of the product: scopes, windows and sums in dictionaries.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

Account = tuple[str, str]
FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Kept:
    """A hold as the model knows it: whose, since when, how much, at which price."""

    member: str
    seat: str
    groups: tuple[str, ...]
    at: datetime
    nano: int
    price: int
    lease_until: datetime
    state: str = "reserved"

    @property
    def is_open(self) -> bool:
        """True until it has ended."""
        return self.state in ("reserved", "in_doubt")


@dataclass
class Model:
    """One organization. *members* who belong have a seat ("": none) and groups; *prices* are nano a token by day."""

    members: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    prices: dict[date, int] = field(default_factory=dict)
    limits: dict[tuple[str, str, str], tuple[int | None, bool]] = field(default_factory=dict)
    spent: dict[Account, int] = field(default_factory=dict)
    held: dict[Account, int] = field(default_factory=dict)
    holds: dict[str, Kept] = field(default_factory=dict)
    open_from: datetime = FIRST

    def hold(self, hold_id: str, tokens: int, member: str, at: datetime) -> str:
        """Return `held`, why not, or how the id stands already."""
        seat, groups = self.members.get(member, ("", ()))
        if member not in self.members or not seat:
            return "no seat" if member in self.members else "nobody"
        if hold_id in self.holds:
            return self.holds[hold_id].state
        if at < self.open_from:
            return "closed"
        price = self.prices[max(day for day in self.prices if day <= at.date())]
        lefts = self.lefts(member, seat, groups, at)
        if lefts and min(lefts) < tokens * price:
            return f"refused {min(lefts)}"
        kept = Kept(member, seat, groups, at, tokens * price, price, at + timedelta(seconds=30))
        self.holds[hold_id] = kept
        self._add(self.held, kept, kept.nano)
        return "held"

    def together(self, asks: list[tuple[str, int]], member: str, at: datetime) -> str:
        """Hold all of *asks* (id, tokens) or none; the first one's id tells whether it was asked before."""
        first, tokens = asks[0]
        said = self.hold(first, sum(tokens for _, tokens in asks), member, at)
        if said == "held":
            self.trim(first, tokens * self.holds[first].price)
            for hold_id, its_tokens in asks[1:]:
                said = self.hold(hold_id, its_tokens, member, at)
        return said

    def trim(self, hold_id: str, nano: int) -> str:
        """Lower an open hold, never raise it."""
        kept = self.holds.get(hold_id)
        if kept is None or not kept.is_open:
            return kept.state if kept else "unknown"
        if nano < kept.nano:
            self._add(self.held, kept, nano - kept.nano)
            kept.nano = nano
        return "done 0"

    def end(self, hold_id: str, state: str, tokens: int = 0, *, if_in_doubt: bool = False) -> str:
        """Settle at the price of the admission, or void."""
        kept = self.holds.get(hold_id)
        if kept is None or not kept.is_open:
            return kept.state if kept else "unknown"
        if if_in_doubt and kept.state != "in_doubt":
            return "alive"
        self._add(self.held, kept, -kept.nano)
        self._add(self.spent, kept, tokens * kept.price)
        kept.state = state
        return f"done {max(0, tokens * kept.price - kept.nano) if state == 'settled' else 0}"

    def extend(self, hold_id: str, until: datetime) -> str:
        """Renew a lease; a hold in doubt is believed again."""
        kept = self.holds.get(hold_id)
        if kept is None or not kept.is_open:
            return kept.state if kept else "unknown"
        kept.lease_until, kept.state = max(kept.lease_until, until), "reserved"
        return "done 0"

    def lose(self, hold_id: str, at: datetime) -> str:
        """Put a hold in doubt whose lease has passed; it goes on counting."""
        kept = self.holds.get(hold_id)
        if kept is None or not kept.is_open:
            return kept.state if kept else "unknown"
        if kept.lease_until < at:
            kept.state = "in_doubt"
        return "done 0"

    def close(self, until: datetime) -> str:
        """Close the months before *until*, unless a hold of them is open."""
        if any(kept.is_open and kept.at < until for kept in self.holds.values()):
            return "open"
        self.open_from = max(self.open_from, until)
        return "final"

    def lefts(self, member: str, seat: str, groups: tuple[str, ...], at: datetime) -> list[int]:
        """Return the room of every limit that applies."""
        own = f"member:{member}"
        excepted = any(exception for (scope, _, _), (_, exception) in self.limits.items() if scope == own)
        found = []
        for (scope, basis, window), (nano, _) in self.limits.items():
            if nano is None or scope not in scopes(member, seat, groups):
                continue
            if basis == "each" and excepted and scope not in ("organization", own):
                continue
            account = (scope if basis == "pool" else own, keys(at)[window])
            found.append(nano - self.spent.get(account, 0) - self.held.get(account, 0))
        return found

    def _add(self, sums: dict[Account, int], kept: Kept, nano: int) -> None:
        for scope in scopes(kept.member, kept.seat, kept.groups):
            for key in keys(kept.at).values():
                sums[scope, key] = sums.get((scope, key), 0) + nano


def scopes(member: str, seat: str, groups: tuple[str, ...]) -> list[str]:
    """Return where a call counts."""
    return ["organization", f"seat_type:{seat}", *(f"group:{name}" for name in groups), f"member:{member}"]


def keys(at: datetime) -> dict[str, str]:
    """Return the window keys of an instant, by strftime."""
    return {"month": at.strftime("%Y-%m"), "day": at.strftime("%Y-%m-%d"), "week": at.strftime("%G-W%V")}
