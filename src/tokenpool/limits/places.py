"""Where a call counts: its accounts, their balances and the limits it must fit; one place for all calls like it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from tokenpool.kernel import clock
from tokenpool.kernel.money import MAX_NANO
from tokenpool.kernel.period import Window, keys_at
from tokenpool.limits.decide import AccountKey, Applied, Balance, Reading, apply, readings
from tokenpool.limits.hierarchy import Cap, applicable, scopes_of
from tokenpool.limits.operations import Attribution

PlaceName = tuple[str, str, tuple[str, ...], str]  # member, seat type, groups, day


@dataclass(slots=True)
class Place:
    """The accounts of a member's day under one seat type and its groups; balances and limits once they were read."""

    name: PlaceName
    keys: tuple[AccountKey, ...]
    readings: tuple[Reading, ...] | None = None  # its limits; None: not read yet
    balances: Sequence[Balance] = ()
    applied: list[Applied] | None = None
    moved: bool = False
    settled_at_us: int | None = None  # when money was last spent here by this batch

    @property
    def month(self) -> str:
        """The month the place counts in, like 2026-11."""
        return self.name[-1][:7]

    def read(self, caps: Mapping[str, Sequence[Cap]]) -> tuple[Reading, ...]:
        """Take over the limits that were read of the place's scopes, and return which account each of them reads."""
        self.readings = tuple(readings(applicable(caps, _scopes(self.name)), _keys_of_day(self.name[-1])))
        return self.readings

    def stand_on(self, balances: dict[AccountKey, Balance]) -> None:
        """Take over the balances that were read; accounts that do not exist yet start at zero under the same lock."""
        self.balances = [balances.get(key) or balances.setdefault(key, Balance()) for key in self.keys]

    def limits(self, balances: Mapping[AccountKey, Balance]) -> list[Applied]:
        """Return the limits of the place on *balances* as they move; joined once, when they are first asked for."""
        if self.applied is None:
            self.applied = apply(self.readings or (), balances)
        return self.applied

    def beyond_counting(self, nano: int) -> Applied | None:
        """Return what *nano* more would not fit into although no limit says so: an account's 64 bits."""
        for (scope, key), balance in zip(self.keys, self.balances, strict=True):
            if balance.spent_nano + balance.held_nano + nano > MAX_NANO:
                return Applied(Cap("", scope, "pool", Window.MONTH, MAX_NANO), (scope, key), balance, MAX_NANO)
        return None

    def move(self, *, held: int, spent: int = 0) -> None:
        """Move every account of the place, in nano-dollars."""
        for balance in self.balances:
            balance.held_nano += held
            balance.spent_nano += spent
        self.moved = True


def name_of(who: Attribution, at_us: int) -> PlaceName:
    """Return the name of the place where a call of *who*, admitted at *at_us* (microseconds since 1970), counts."""
    return (who.member_id, who.seat_type, who.groups, keys_at(at_us)[Window.DAY])


def account_keys(name: PlaceName, windows: str) -> tuple[AccountKey, ...]:
    """Return the accounts of a place: each of its scopes in each of *windows* (“month day”) that contains its day."""
    keys = _keys_of_day(name[-1])
    return tuple((scope, keys[Window(window)]) for scope in _scopes(name) for window in windows.split())


def _scopes(name: PlaceName) -> tuple[str, ...]:
    member_id, seat_type, groups, _ = name
    return scopes_of(member_id=member_id, seat_type=seat_type, groups=groups)


@lru_cache(maxsize=256)
def _keys_of_day(day: str) -> Mapping[Window, str]:
    return keys_at(clock.timestamp(datetime.fromisoformat(day).replace(tzinfo=UTC)))
