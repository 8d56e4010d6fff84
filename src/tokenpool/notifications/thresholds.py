"""Which thresholds a batch of movements has reached: rows written in the transaction that moved the money.

Each (limit, account, window, threshold) has one key, so it fires once; a changed limit is a new
row with a new id and re-arms by itself. A refusal counts as reaching the whole limit.
"""

import json
from collections.abc import Sequence

from tokenpool.kernel import ids
from tokenpool.kernel.group_commit import Row, Statement
from tokenpool.limits.operations import Movement

PERCENTS = (75, 90, 100)
KIND = "limit_threshold"
_INSERT = (
    "insert into notifications_notice (organization_id, id, key, kind, member_id, facts, silent, created_at_us) "
    "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (organization_id, key) do nothing"
)

_TYPES = ("text", "text", "text", "text", "text", "text", "boolean", "bigint")


def reached(movement: Movement) -> list[int]:
    """Return the thresholds, in percent, that the movement's account has reached."""
    if movement.refused:
        return list(PERCENTS)
    if movement.amount_nano == 0:
        return []
    return [percent for percent in PERCENTS if movement.spent_nano * 100 >= percent * movement.amount_nano]


def writes(organization_id: str, movements: Sequence[Movement]) -> list[Statement]:
    """Return the inserts of what *movements* have reached; thresholds told before are left as they are.

    Of several reached at once only the highest is loud; the lower ones are written silent, so that
    they never fire later.
    """
    rows: list[Row] = []
    for movement in movements:
        percents = reached(movement)
        rows.extend(_row(organization_id, movement, percent, loud=percent == percents[-1]) for percent in percents)
    return [Statement(_INSERT, rows, _TYPES)] if rows else []


def _row(organization_id: str, movement: Movement, percent: int, *, loud: bool) -> Row:
    own = movement.basis == "each"
    account = movement.member_id if own else movement.scope
    facts = {
        "percent": percent,
        "scope": movement.scope,
        "basis": movement.basis,
        "window": movement.window,
        "window_key": movement.window_key,
        "limit_nano": movement.amount_nano,
        "spent_nano": movement.spent_nano,
        "refused": movement.refused,
    }
    key = f"{movement.limit_id}:{account}:{movement.window_key}:{percent}"
    member_id = movement.member_id if own else ""
    return (organization_id, ids.new("ntc"), key, KIND, member_id, json.dumps(facts), not loud, movement.at_us)
