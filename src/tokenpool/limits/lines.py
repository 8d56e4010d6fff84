"""Limits with their numbers: standing rows joined with the balances of the accounts they read, in few queries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from tokenpool.kernel import clock
from tokenpool.kernel.period import Window, end_of, key_of, keys_at
from tokenpool.limits import caps
from tokenpool.limits.decide import AccountKey, Balance
from tokenpool.limits.models import Account, SpendLimit
from tokenpool.limits.scopes import names


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One limit with its three numbers: spent, held, left. `row` carries who set it, when and why."""

    row: SpendLimit
    scope_name: str  # the seat type's, group's or member's; empty for the organization's
    spent_nano: int
    held_nano: int
    resets_at: datetime
    replaced: bool = False  # by the member's exception

    @property
    def amount_nano(self) -> int | None:
        """The amount; None when explicitly unlimited."""
        return self.row.amount_nano

    @property
    def left_nano(self) -> int | None:
        """Room below the limit, never shown below zero; None when unlimited."""
        if self.row.amount_nano is None:
            return None
        return max(0, self.row.amount_nano - self.spent_nano - self.held_nano)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands at an instant: limits by scope, balances by account, names of scopes."""

    limits: Mapping[str, list[SpendLimit]]
    accounts: Mapping[AccountKey, Balance]
    names: Mapping[str, str]
    instant: datetime

    def balance(self, scope: str, window: Window = Window.MONTH) -> Balance:
        """Return the scope's balance in the window of the instant; nothing when nothing moved yet."""
        return self.accounts.get((scope, key_of(window, self.instant)), Balance())

    def line(self, row: SpendLimit, reads: str, *, replaced: bool = False) -> LimitLine:
        """Join a limit with the balance of the scope it *reads*."""
        balance, resets_at = self.balance(reads, Window(row.window)), end_of(Window(row.window), self.instant)
        return LimitLine(row, self.names.get(row.scope, ""), balance.spent_nano, balance.held_nano, resets_at, replaced)


def read(organization_id: str, scopes: Iterable[str], instant: datetime) -> Standing:
    """Return what stands for *scopes*, with their balances in the windows that contain *instant*."""
    wanted = set(scopes)
    limits = by_scope(caps.standing(organization_id, wanted))
    keys = list(keys_at(clock.timestamp(instant)).values())
    rows = Account.objects.filter(organization_id=organization_id, scope__in=wanted, window_key__in=keys)
    accounts = {(row.scope, row.window_key): Balance(row.spent_nano, row.held_nano) for row in rows}
    return Standing(limits, accounts, names(organization_id, limits), instant)


def by_scope(rows: Iterable[SpendLimit]) -> dict[str, list[SpendLimit]]:
    """Group standing limits by scope."""
    grouped: dict[str, list[SpendLimit]] = {}
    for row in rows:
        grouped.setdefault(row.scope, []).append(row)
    return grouped
