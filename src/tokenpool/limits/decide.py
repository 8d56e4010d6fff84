"""The decision itself, pure: does this request fit every limit that applies to it, and if not, which one binds?

The database locks, reads and writes around it; nothing else decides. Overspend and false refusals
are therefore properties of this page.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokenpool.kernel.period import Window
from tokenpool.limits.hierarchy import Cap
from tokenpool.pricing.bound import Bound

AccountKey = tuple[str, str]  # (scope, window key)
Reading = tuple[Cap, AccountKey, int]  # a cap with the account it reads and its amount


@dataclass(slots=True)
class Balance:
    """What an account has spent and holds, in nano-dollars; moved in place as a batch is decided."""

    spent_nano: int = 0
    held_nano: int = 0


@dataclass(slots=True)
class Applied:
    """A cap with an amount, the account it reads, and that account's balance."""

    cap: Cap
    account: AccountKey
    balance: Balance
    amount_nano: int

    @property
    def left_nano(self) -> int:
        """Room below the limit; negative when it was lowered below what is spent."""
        return self.amount_nano - self.balance.spent_nano - self.balance.held_nano


class Granted(NamedTuple):
    """The request fits: hold this much, for at most this many output tokens."""

    amount_nano: int
    max_output: int


@dataclass(frozen=True, slots=True)
class Short:
    """The request does not fit the *binding* limit; what would have fit is said in tokens."""

    binding: Applied
    affordable_output: int


def readings(applicable: Iterable[tuple[Cap, str]], window_keys: Mapping[Window, str]) -> Iterator[Reading]:
    """Yield the caps that can bind, each with the account it reads; explicitly unlimited ones never do."""
    for cap, scope in applicable:
        if cap.amount_nano is not None:
            yield cap, (scope, window_keys[cap.window]), cap.amount_nano


def apply(found: Iterable[Reading], balances: Mapping[AccountKey, Balance]) -> list[Applied]:
    """Join caps with the balances they read."""
    return [Applied(cap, account, balances[account], amount_nano) for cap, account, amount_nano in found]


def decide(limits: Sequence[Applied], wanted: Bound, *, clamps: bool, floor_output: int) -> Granted | Short:
    """Grant *wanted* when it fits every limit, a clamped output when that is allowed, else name the binding limit.

    *floor_output* is the smallest output worth having; a clamp never goes below it.
    """
    asked = wanted.amount()
    for limit in limits:
        if limit.left_nano < asked:
            break
    else:
        return Granted(asked, wanted.max_output)
    binding = min(limits, key=_left)
    affordable = wanted.affordable_output(binding.left_nano)
    if clamps and floor_output <= affordable < wanted.max_output:
        return Granted(wanted.amount(affordable), affordable)
    return Short(binding, affordable)


def fullest(limits: Sequence[Applied]) -> Applied | None:
    """Return the limit with the largest spent share; warnings and headers speak of it."""
    worst: Applied | None = None
    for limit in limits:
        if worst is None or limit.balance.spent_nano * worst.amount_nano > worst.balance.spent_nano * limit.amount_nano:
            worst = limit
    return worst


def _left(limit: Applied) -> int:
    return limit.left_nano
