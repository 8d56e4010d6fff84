"""Setting spend limits: dated rows with who and why; the newest row stands and acts on the next request."""

from collections.abc import Collection

from django.db import transaction

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotFound
from tokenpool.kernel.money import MAX_NANO, dollars
from tokenpool.kernel.period import Window
from tokenpool.limits import windows
from tokenpool.limits.hierarchy import ORGANIZATION, Cap, group_scope, member_scope
from tokenpool.limits.models import SpendLimit
from tokenpool.organizations import groups, seats, trail
from tokenpool.organizations.models import Gate, Member
from tokenpool.organizations.roles import Principal, Right

NO_LIMIT = "none"  # `expect` of somebody who saw that nothing was set
REASON_LENGTH = 200


def set_limit(
    *,
    by: Principal,
    scope: str,
    basis: str,
    amount_nano: int | None,
    exception: bool = False,
    window: str = "month",
    reason: str = "",
    expect: str | None = None,
) -> SpendLimit:
    """Set the limit of (*scope*, *basis*, *window*) to *amount_nano*, or to explicitly unlimited (None).

    *expect* is the id of the row the caller saw (`"none"` when there was none); someone else's
    change in between is then a conflict instead of a loss.

    Raises:
        NotAllowed: *by* may not set limits.
        InvalidInput: an unknown basis or window, an amount out of range, a scope that cannot have it.
        NotFound: no such seat type, group or member in this organization.
        Conflict: the limit has changed since *expect*.
    """
    _check_amount(amount_nano)
    state = "unlimited" if amount_nano is None else "amount"
    return _add_row(
        by=by,
        scope=scope,
        basis=basis,
        window=window,
        state=state,
        amount_nano=amount_nano,
        exception=exception,
        reason=reason,
        expect=expect,
    )


def remove(
    *,
    by: Principal,
    scope: str,
    basis: str,
    window: str = "month",
    reason: str = "",
    expect: str | None = None,
) -> SpendLimit:
    """Set nothing at this level any more; the other levels' limits go on.

    Raises:
        NotAllowed, InvalidInput, NotFound, Conflict: as `set_limit`; NotFound also when nothing was set.
    """
    return _add_row(
        by=by,
        scope=scope,
        basis=basis,
        window=window,
        state="not_set",
        amount_nano=None,
        exception=False,
        reason=reason,
        expect=expect,
    )


def delete_group(*, by: Principal, group_id: str) -> None:
    """Delete a group; its limits end in the same transaction, and their history says why.

    Raises:
        NotAllowed: without the right to manage members, or to set limits when the group has some.
        NotFound: no such group.
    """
    scope = group_scope(group_id)
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        for row in standing(by.organization_id, {scope}):
            remove(by=by, scope=scope, basis=row.basis, window=row.window, reason="The group was deleted.")
        groups.delete(by=by, group_id=group_id)


def supposed(*, by: Principal, scope: str, basis: str, window: str, amount_nano: int | None) -> Cap:
    """Return the cap that `set_limit` would set, checked like it; nothing is set.

    Raises:
        NotAllowed: without the right to see everybody's spend. InvalidInput, NotFound: as `set_limit`.
    """
    by.require(Right.SEE_SPEND)
    _check_amount(amount_nano)
    _check_shape(scope=scope, basis=basis, window=window, exception=False, reason="")
    _check_scope_exists(by.organization_id, scope)
    return Cap("", scope, basis, Window(window), amount_nano)


def standing(organization_id: str, scopes: Collection[str] | None = None) -> list[SpendLimit]:
    """Return the limits of *scopes* (default: all) that stand now, in the order of the levels."""
    latest: dict[tuple[str, str, str], SpendLimit] = {}
    rows = SpendLimit.objects.filter(organization_id=organization_id)
    for row in (rows if scopes is None else rows.filter(scope__in=scopes)).order_by("id"):
        latest[row.scope, row.basis, row.window] = row
    found = [row for row in latest.values() if row.state != "not_set"]
    return sorted(found, key=lambda row: (_level(row.scope), row.scope, row.basis, row.window))


def in_force(organization_id: str) -> list[SpendLimit]:
    """Return the limits that can bind somebody: all that stand, but those of removed members."""
    gone = Member.objects.filter(organization_id=organization_id).exclude(removed_at=None)
    scopes = {member_scope(member_id) for member_id in gone.values_list("id", flat=True)}
    return [row for row in standing(organization_id) if row.scope not in scopes]


def history(*, by: Principal, scope: str, basis: str, window: str = "month") -> list[SpendLimit]:
    """Return every row of one limit, newest first: who set it to what, when and why."""
    by.require(Right.SET_LIMITS)
    rows = SpendLimit.objects.filter(organization_id=by.organization_id, scope=scope, basis=basis, window=window)
    return list(rows.order_by("-id"))


def find(*, by: Principal, limit_id: str) -> SpendLimit:
    """Return the row with this id.

    Raises:
        NotFound: absent, or another organization's.
    """
    by.require(Right.SET_LIMITS)
    row = SpendLimit.objects.filter(organization_id=by.organization_id, id=limit_id).first()
    if row is None:
        raise NotFound("There is no such spend limit.")
    return row


def _add_row(
    *,
    by: Principal,
    scope: str,
    basis: str,
    window: str,
    state: str,
    amount_nano: int | None,
    exception: bool,
    reason: str,
    expect: str | None,
) -> SpendLimit:
    by.require(Right.SET_LIMITS)
    _check_shape(scope=scope, basis=basis, window=window, exception=exception, reason=reason)
    with transaction.atomic():
        gate = Gate.objects.select_for_update().get(organization_id=by.organization_id)
        _check_scope_exists(by.organization_id, scope)
        rows = SpendLimit.objects.filter(organization_id=by.organization_id, scope=scope, basis=basis, window=window)
        before = rows.order_by("-id").first()
        seen = before.id if before and before.state != "not_set" else NO_LIMIT
        if expect is not None and expect != seen:
            raise Conflict(_conflict_sentence(before), field="amount")
        if state == "not_set" and seen == NO_LIMIT:
            raise NotFound("There is no limit set here.")
        windows.keep(gate, Window(window))
        gate.limits_version += 1
        gate.save(update_fields=["limits_version"])
        row = SpendLimit.objects.create(
            organization_id=by.organization_id,
            scope=scope,
            basis=basis,
            window=window,
            id=ids.new("spl", after=before.id if before else ""),
            state=state,
            amount_nano=amount_nano,
            exception=exception,
            set_at=clock.now(),
            set_by=by.name,
            reason=reason,
        )
        action = Action.SPEND_LIMIT_REMOVED if state == "not_set" else Action.SPEND_LIMIT_SET
        trail.note(by, action, ("spend_limit", row.id), before=_facts(before), after=_facts(row))
    return row


def _check_amount(amount_nano: int | None) -> None:
    if amount_nano is not None and not 0 <= amount_nano <= MAX_NANO:
        raise InvalidInput(
            "amount: must lie between 0 and 9,223,372,036.85 dollars; 0 blocks all spending.", field="amount"
        )


def _check_shape(*, scope: str, basis: str, window: str, exception: bool, reason: str) -> None:
    if basis not in ("pool", "each"):
        raise InvalidInput("basis: must be “pool” (all together) or “each” (every member alone).", field="basis")
    if window not in list(Window):
        raise InvalidInput(f"window: must be month, week or day, not “{window[:20]}”.", field="window")
    is_member = scope.startswith("member:")
    if is_member and basis != "each":
        raise InvalidInput("basis: a member's own limit is always “each”.", field="basis")
    if exception and not is_member:
        raise InvalidInput("exception: only a member's own limit can be an exception.", field="exception")
    if len(reason) > REASON_LENGTH:
        raise InvalidInput(f"reason: at most {REASON_LENGTH} characters.", field="reason")


def _check_scope_exists(organization_id: str, scope: str) -> None:
    kind, _, name = scope.partition(":")
    if scope == ORGANIZATION:
        return
    if kind == "seat_type":
        keys = [seat_type.key for seat_type in seats.types(organization_id)]
        if name not in keys:
            raise NotFound(
                f"seat type: there is no “{name[:40]}”; the seat types are {', '.join(keys)}.", field="scope"
            )
    elif kind == "group":
        if name not in [group.id for group in groups.present(organization_id)]:
            raise NotFound("There is no such group.", field="scope")
    elif kind == "member":
        if not Member.objects.filter(organization_id=organization_id, id=name, removed_at=None).exists():
            raise NotFound("There is no such member.", field="scope")
    else:
        raise InvalidInput("scope: must be organization, a seat type, a group or a member.", field="scope")


def _conflict_sentence(now: SpendLimit | None) -> str:
    if now is None or now.state == "not_set":
        return "This limit was removed in the meantime. Look at it again, then decide."
    value = "unlimited" if now.amount_nano is None else f"{dollars(now.amount_nano)} dollars"
    return f"{now.set_by} set this limit to {value} in the meantime. Look at it again, then decide."


def _facts(row: SpendLimit | None) -> dict[str, object] | None:
    if row is None:
        return None
    return {
        "scope": row.scope,
        "basis": row.basis,
        "window": row.window,
        "state": row.state,
        "amount_nano": row.amount_nano,
        "exception": row.exception,
        "reason": row.reason,
    }


def _level(scope: str) -> int:
    return ("organization", "seat_type", "group", "member").index(scope.partition(":")[0])
