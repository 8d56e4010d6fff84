"""The ledger's statements: what a batch reads under the lock and what it writes. One text for both databases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from tokenpool.kernel.group_commit import Row, Statement
from tokenpool.kernel.period import Window
from tokenpool.limits.decide import AccountKey, Balance
from tokenpool.limits.hierarchy import Cap
from tokenpool.limits.operations import Attribution, Refusal

_HOLD_COLUMNS = (
    "id, state, member_id, seat_type, product, cost_center, project, session_id, agent_id, group_ids, model, "
    "price_version, amount_nano, reserved_nano, max_output, admitted_at_us, lease_until_us, evidence, settled_nano, "
    "end_reason"
)


@dataclass(slots=True)
class HoldRow:
    """A hold as stored; changed in place while its batch is decided."""

    id: str
    state: str
    who: Attribution
    model: str
    price_version: str
    amount_nano: int
    reserved_nano: int
    max_output: int
    admitted_at_us: int
    lease_until_us: int
    evidence: str = ""
    settled_nano: int | None = None
    end_reason: str = ""
    ended_at_us: int | None = None

    @property
    def is_open(self) -> bool:
        """True until it was settled or voided; holds in doubt are open."""
        return self.state in ("reserved", "in_doubt")

    @classmethod
    def from_row(cls, row: Row) -> "HoldRow":
        """Build from a row of `read_holds`."""
        who = (*row[2:9], tuple(row[9].split()))
        return cls(row[0], row[1], Attribution(*who), *row[10:20])


class GateRow(NamedTuple):
    """What `lock_gate` reads: the versions of facts and limits, the windows kept, where the first open month begins."""

    version: int
    limits_version: int
    windows: str
    open_from_us: int


def lock_gate(organization_id: str) -> Statement:
    """Read what every decision of an organization stands on; on PostgreSQL this row is the lock."""
    sql = "select version, limits_version, windows, open_from_us from organizations_gate where organization_id = ?"
    return Statement(sql, [(organization_id,)], locks=True)


def read_holds(organization_id: str, hold_ids: Sequence[str]) -> Statement:
    """Read the holds a batch speaks of."""
    sql = f"select {_HOLD_COLUMNS} from limits_hold where organization_id = ? and id in (?*)"  # noqa: S608 - our own names
    return Statement(sql, [(organization_id, list(hold_ids))])


def read_accounts(organization_id: str, keys: Iterable[AccountKey]) -> Statement:
    """Read the accounts of *keys* (and perhaps of their combinations)."""
    ordered = sorted(keys)
    scopes = sorted({scope for scope, _ in ordered})
    windows = sorted({window for _, window in ordered})
    sql = (
        "select scope, window_key, spent_nano, held_nano from limits_account "
        "where organization_id = ? and scope in (?*) and window_key in (?*)"
    )
    return Statement(sql, [(organization_id, scopes, windows)])


def balances_from(rows: Iterable[Row]) -> dict[AccountKey, Balance]:
    """Return the accounts that `read_accounts` read; those that never moved have no row."""
    return {(scope, key): Balance(spent_nano, held_nano) for scope, key, spent_nano, held_nano in rows}


def read_caps(organization_id: str, scopes: Iterable[str]) -> Statement:
    """Read the standing limits of *scopes*: the newest row of each (scope, basis, window)."""
    ordered = sorted(scopes)
    sql = (
        'select scope, basis, "window", id, state, amount_nano, exception from limits_spendlimit l '
        "where organization_id = ? and scope in (?*) and state <> 'not_set' and not exists ("
        "select 1 from limits_spendlimit n where n.organization_id = l.organization_id and n.scope = l.scope "
        'and n.basis = l.basis and n."window" = l."window" and n.id > l.id)'
    )
    return Statement(sql, [(organization_id, ordered)])


def caps_from(rows: Iterable[Row] = ()) -> dict[str, list[Cap]]:
    """Group the rows of `read_caps` by scope."""
    caps: dict[str, list[Cap]] = {}
    for row in rows:
        caps.setdefault(row[0], []).append(_cap(*row))
    return caps


@lru_cache(maxsize=65_536)
def _cap(
    scope: str, basis: str, window: str, limit_id: str, state: str, amount_nano: int | None, exception: int
) -> Cap:
    """Rows never change, so each is read into a cap once."""
    return Cap(limit_id, scope, basis, Window(window), amount_nano if state == "amount" else None, bool(exception))


def write_accounts(organization_id: str, balances: Mapping[AccountKey, Balance]) -> Statement:
    """Write the balances that a batch has moved."""
    return Statement(
        "insert into limits_account (organization_id, scope, window_key, spent_nano, held_nano) values (?, ?, ?, ?, ?) "
        "on conflict (organization_id, scope, window_key) do update set spent_nano = excluded.spent_nano, "
        "held_nano = excluded.held_nano",
        [(organization_id, *key, balances[key].spent_nano, balances[key].held_nano) for key in sorted(balances)],
        ("text", "text", "text", "bigint", "bigint"),
    )


def add_spent(organization_id: str, sums: Mapping[AccountKey, int]) -> Statement:
    """Add nano-dollars to what accounts have spent; accounts that are not kept stay away."""
    return Statement(
        "update limits_account set spent_nano = spent_nano + ? "
        "where organization_id = ? and scope = ? and window_key = ?",
        [(sums[key], organization_id, *key) for key in sorted(sums)],
    )


def write_holds(organization_id: str, holds: Sequence[HoldRow]) -> Statement:
    """Write the holds that a batch has granted, changed or ended; who and how much was asked never change."""
    return Statement(
        "insert into limits_hold (organization_id, id, state, member_id, seat_type, product, cost_center, project, "
        "session_id, agent_id, group_ids, model, price_version, amount_nano, reserved_nano, max_output, "
        "admitted_at_us, lease_until_us, evidence, settled_nano, ended_at_us, end_reason) "
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "on conflict (organization_id, id) do update set state = excluded.state, amount_nano = excluded.amount_nano, "
        "lease_until_us = excluded.lease_until_us, evidence = excluded.evidence, settled_nano = excluded.settled_nano, "
        "ended_at_us = excluded.ended_at_us, end_reason = excluded.end_reason",
        [
            (
                organization_id,
                h.id,
                h.state,
                h.who.member_id,
                h.who.seat_type,
                h.who.product,
                h.who.cost_center,
                h.who.project,
                h.who.session_id,
                h.who.agent_id,
                " ".join(h.who.groups),
                h.model,
                h.price_version,
                h.amount_nano,
                h.reserved_nano,
                h.max_output,
                h.admitted_at_us,
                h.lease_until_us,
                h.evidence,
                h.settled_nano,
                h.ended_at_us,
                h.end_reason,
            )
            for h in holds
        ],
        (*("text",) * 13, *("bigint",) * 5, "text", "bigint", "bigint", "text"),
    )


def write_refusals(organization_id: str, refusals: Iterable[tuple[Refusal, str, int]]) -> Statement:
    """Remember each member's last refusal; rows of (refusal, model, instant in microseconds), one a member."""
    return Statement(
        "insert into limits_lastrefusal (organization_id, member_id, refused_at_us, limit_id, scope, basis, "
        '"window", limit_nano, spent_nano, held_nano, asked_nano, model) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) '
        "on conflict (organization_id, member_id) do update set refused_at_us = excluded.refused_at_us, "
        "limit_id = excluded.limit_id, scope = excluded.scope, basis = excluded.basis, "
        '"window" = excluded."window", limit_nano = excluded.limit_nano, spent_nano = excluded.spent_nano, '
        "held_nano = excluded.held_nano, asked_nano = excluded.asked_nano, model = excluded.model",
        [
            (
                organization_id,
                r.member_id,
                at_us,
                r.limit.limit_id,
                r.limit.scope,
                r.limit.basis,
                r.limit.window,
                r.limit.limit_nano,
                r.limit.spent_nano,
                r.limit.held_nano,
                r.asked_nano,
                model,
            )
            for r, model, at_us in refusals
        ],
        ("text", "text", "bigint", "text", "text", "text", "text", *("bigint",) * 4, "text"),
    )
