"""The Limits page: organization, seat types, groups, members; amounts in the person's locale, conflicts shown."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tokenpool.console.access import PageRequest, page, show
from tokenpool.console.query import listing
from tokenpool.console.templatetags.tokenpool import language
from tokenpool.kernel.errors import InvalidInput, NotFound, TokenpoolError
from tokenpool.kernel.money import parse_dollars
from tokenpool.kernel.period import Window
from tokenpool.limits import caps, explain, overview, scopes
from tokenpool.limits.hierarchy import ORGANIZATION, group_scope, member_scope, seat_type_scope
from tokenpool.limits.lines import by_scope
from tokenpool.limits.models import SpendLimit
from tokenpool.organizations.models import Member
from tokenpool.organizations.roles import Right

GROUPS_SHOWN = 12


@page(Right.SET_LIMITS)
def index(request: PageRequest) -> HttpResponse:
    """Show every limit that can be set and every one that is."""
    by = request.principal
    rows = caps.in_force(by.organization_id)
    standing = {(row.scope, row.basis, row.window): row for row in rows}
    own = [row for row in rows if row.scope.startswith("member:")]
    above = [(ORGANIZATION, _("Organization"), overview.pool(by=by))]
    above += [
        (seat_type_scope(one.seat_type.key), one.seat_type.name, one.balance) for one in overview.seat_types(by=by)
    ]
    wanted = listing(request, sorts=("name",), default="name", filters=(), size=GROUPS_SHOWN)
    groups = [one for one in overview.groups(by=by) if one.group.deleted_at is None]
    found = [one for one in groups if wanted.text.casefold() in one.group.name.casefold()]
    shown = found[wanted.offset : wanted.offset + wanted.size]
    facts = {
        **wanted.facts(len(found)),
        "cards": [_card(scope, name, balance, standing) for scope, name, balance in above],
        "group_cards": [_card(group_scope(one.group.id), one.group.name, one.balance, standing) for one in shown],
        "group_count": len(groups),
        "own": _own_limits(by.organization_id, own),
        "people": Member.objects.filter(organization_id=by.organization_id, removed_at=None).order_by("name"),
    }
    return show(request, "console/limits.html", facts)


@page(Right.SET_LIMITS)
@require_POST
def set_limit(request: PageRequest) -> HttpResponse:
    """Set or remove one limit and answer with the field as it stands now, and an undo."""
    scope, basis, window = (request.POST.get(name, "") for name in ("scope", "basis", "window"))
    window = window or Window.MONTH
    before = _standing(request, scope, basis, window)
    facts: dict[str, Any] = {"scope": scope, "basis": basis, "window": window, "row": before, "state": "saved"}
    status = 200
    try:
        _apply(request, scope, basis, window, before)
        facts["row"] = _standing(request, scope, basis, window)
        facts["undo"] = before
        facts["toast"] = _("Limit saved. It acts on the next request.")
    except TokenpoolError as error:
        status, facts["state"], facts["error"] = error.status, "failed", error.message
        facts["typed"] = request.POST.get("amount", "")
    if not request.htmx:
        failed = {"message": facts.get("error", ""), "status": status}
        return show(request, "console/error.html", failed, status) if facts["state"] == "failed" else redirect("limits")
    return render(request, "console/pieces/limit_field.html", facts, status=status)


@page()
def explained(request: PageRequest, member_id: str) -> HttpResponse:
    """Show a member's limits, the one that binds, and the last refusal, as a panel or a page."""
    facts = {"explanation": explain.limits_of(by=request.principal, member_id=member_id)}
    if request.htmx:
        return render(request, "console/pieces/explain.html", facts)
    return show(request, "console/explain.html", facts)


@page(Right.SET_LIMITS)
def history(request: PageRequest) -> HttpResponse:
    """Show who set a limit to what, when and why."""
    scope, basis = request.GET.get("scope", ""), request.GET.get("basis", "")
    rows = caps.history(by=request.principal, scope=scope, basis=basis, window=request.GET.get("window", "month"))
    name = _scope_name(request, scope)
    if not name or basis not in ("pool", "each"):
        raise NotFound(_("There is no such limit."))
    facts = {"rows": rows, "scope_name": name, "basis": basis}
    return show(request, "console/limit_history.html", facts)


def _apply(request: PageRequest, scope: str, basis: str, window: str, before: SpendLimit | None) -> None:
    """Carry out what was typed: an amount, `unlimited`, or nothing at all."""
    typed = request.POST.get("amount", "").strip()
    expect = request.POST.get("expect") or None
    words = {_("unlimited").lower(), "unlimited"}
    if not typed:
        if before is not None:
            caps.remove(by=request.principal, scope=scope, basis=basis, window=window, expect=expect)
        return
    amount = None
    if typed.lower() not in words:
        amount = parse_dollars(typed, field=_("Amount"), decimal_comma=language().startswith("it"))
    if basis not in ("pool", "each"):
        raise InvalidInput("basis: must be pool or each.", field="basis")
    caps.set_limit(
        by=request.principal,
        scope=scope,
        basis=basis,
        amount_nano=amount,
        window=window,
        exception="exception" in request.POST and scope.startswith("member:"),
        reason=request.POST.get("reason", "")[: caps.REASON_LENGTH],
        expect=expect,
    )


def _standing(request: PageRequest, scope: str, basis: str, window: str) -> SpendLimit | None:
    rows = caps.standing(request.principal.organization_id, {scope})
    return next((row for row in rows if (row.scope, row.basis, row.window) == (scope, basis, window)), None)


def _card(
    scope: str, name: str, balance: overview.ScopeBalance, standing: dict[tuple[str, str, str], SpendLimit]
) -> dict[str, Any]:
    def pair(window: str) -> dict[str, Any]:
        return {"window": window, **{basis: standing.get((scope, basis, window)) for basis in ("pool", "each")}}

    shorter = [pair(Window.DAY), pair(Window.WEEK)]
    is_set = any(one["pool"] or one["each"] for one in shorter)
    return {"scope": scope, "name": name, "balance": balance, **pair(Window.MONTH), "shorter": shorter, "open": is_set}


def _own_limits(organization_id: str, rows: list[SpendLimit]) -> list[dict[str, Any]]:
    """Join members' own limits with the members and what they have spent."""
    ids = [row.scope.partition(":")[2] for row in rows]
    people = Member.objects.filter(organization_id=organization_id, id__in=ids, removed_at=None).order_by("name")
    mine = by_scope(rows)
    found = []
    for one in explain.explain_all(organization_id, list(people)):
        lines = {line.row.id: line for line in one.lines}
        found += [{"line": lines[row.id], "explanation": one} for row in mine[member_scope(one.member.id)]]
    return found


def _scope_name(request: PageRequest, scope: str) -> str:
    return _("Organization") if scope == ORGANIZATION else scopes.name_of(request.principal.organization_id, scope)
