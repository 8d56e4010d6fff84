"""Groups, below Members: made, named, filled, emptied, and deleted after their effects were read."""

import re
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from tokenpool.console.access import PageRequest, page, show
from tokenpool.console.query import every, listing
from tokenpool.kernel.errors import TokenpoolError
from tokenpool.limits import caps, overview
from tokenpool.limits.hierarchy import group_scope
from tokenpool.organizations import groups, members, memberships, seats
from tokenpool.organizations.models import Group, Member
from tokenpool.organizations.roles import Principal, Right

TOLD = "console"  # the tag of messages that pages show; others' (of signing in) pass unseen
STEP = 200  # members moved in one transaction, so that requests get their turn between
_ADDRESS = re.compile(r"<([^<>]*)>")


@page(Right.SEE_MEMBERS)
def index(request: PageRequest) -> HttpResponse:
    """Show every group, and what it spends to those who may see that."""
    return show(request, "console/groups.html", _list_facts(request))


@page(Right.MANAGE_MEMBERS)
@require_POST
def create(request: PageRequest) -> HttpResponse:
    """Create a group and go to it; the form comes back with the reason when it cannot be."""
    given = {name: request.POST.get(name, "") for name in ("name", "description")}
    try:
        group = groups.create(by=request.principal, **given)
    except TokenpoolError as error:
        facts = {**_list_facts(request), "given": given, "error": error.message, "field": error.field}
        return show(request, "console/groups.html", facts, status=error.status)
    return redirect("members-group", group.id)


@page(Right.SEE_MEMBERS)
def detail(request: PageRequest, group_id: str) -> HttpResponse:
    """Show one group: its month, its members, who joined and left last."""
    return show(request, "console/group.html", _facts(request, group_id))


@page(Right.MANAGE_MEMBERS)
@require_POST
def change(request: PageRequest, group_id: str) -> HttpResponse:
    """Give the group another name or description."""
    given = {name: request.POST.get(name) for name in ("name", "description")}
    try:
        groups.change(by=request.principal, group_id=group_id, **given)
    except TokenpoolError as error:
        return _again(request, group_id, error, given=given)
    return redirect("members-group", group_id)


@page(Right.MANAGE_MEMBERS)
@require_POST
def add(request: PageRequest, group_id: str) -> HttpResponse:
    """Put the members of a pasted list into the group, all or none."""
    pasted = request.POST.get("members", "")
    try:
        joined = memberships.add(by=request.principal, group_id=group_id, members=_entries(pasted))
    except TokenpoolError as error:
        return _again(request, group_id, error, pasted=pasted)
    _tell(request, len(joined), joined=True)
    return redirect("members-group", group_id)


@page(Right.MANAGE_MEMBERS)
@require_POST
def remove(request: PageRequest, group_id: str) -> HttpResponse:
    """Take the chosen members out of the group."""
    try:
        left = memberships.remove(by=request.principal, group_id=group_id, members=request.POST.getlist("member"))
    except TokenpoolError as error:
        return _again(request, group_id, error)
    _tell(request, len(left), joined=False)
    return redirect("members-group", group_id)


@page(Right.MANAGE_MEMBERS)
@require_POST
def move(request: PageRequest) -> HttpResponse:
    """Put members chosen on the Members page into a group or take them out: the ticked ones, or all that it lists."""
    by, group_id = request.principal, request.POST.get("group", "")
    chosen = request.POST.getlist("member")
    if request.POST.get("whom") == "listed":
        chosen = [member.id for member in _listed(by, request)]
    verb = memberships.remove if request.POST.get("do") == "remove" else memberships.add
    moved = 0
    try:
        for start in range(0, max(1, len(chosen)), STEP):
            moved += len(verb(by=by, group_id=group_id, members=chosen[start : start + STEP]))
    finally:
        if moved:
            _tell(request, moved, joined=verb is memberships.add)
    return redirect("members-group", group_id)


@page(Right.MANAGE_MEMBERS)
def delete(request: PageRequest, group_id: str) -> HttpResponse:
    """Ask whether to delete the group, naming the effects; delete it when asked by the form."""
    if request.method == "POST":
        caps.delete_group(by=request.principal, group_id=group_id)
        return redirect("members-groups")
    group = groups.find(by=request.principal, group_id=group_id)
    return show(request, "console/group_delete.html", {"group": group, **_effects(request.principal, group)})


def _list_facts(request: PageRequest) -> dict[str, Any]:
    by, text = request.principal, request.GET.get("q", "").strip()
    months = {one.group.id: one.balance for one in overview.groups(by=by)} if by.may(Right.SEE_SPEND) else {}
    found = [
        (group, size, months.get(group.id))
        for group, size in groups.listed(by=by)
        if text.casefold() in f"{group.name}\n{group.description}".casefold()
    ]
    return {"rows": found, "text": text, "sees_spend": by.may(Right.SEE_SPEND)}


def _facts(request: PageRequest, group_id: str) -> dict[str, Any]:
    by = request.principal
    group = groups.find(by=by, group_id=group_id)
    wanted = listing(request, sorts=members.SORTS, default="name", filters=())
    rows, found = members.search(
        by=by, text=wanted.text, group=group.id, sort=wanted.sort, descending=wanted.descending,
        offset=wanted.offset, limit=wanted.size,
    )  # fmt: skip
    seat_names = {one.key: one.name for one in seats.types(by.organization_id)}
    since = memberships.since(by=by, group_id=group.id, members=rows)
    months = {one.group.id: one.balance for one in overview.groups(by=by)} if by.may(Right.SEE_SPEND) else {}
    return {
        **wanted.facts(found),
        "group": group,
        "scope": group_scope(group.id),
        "rows": [(one, seat_names.get(one.seat_type or "", _("No seat")), since.get(one.id)) for one in rows],
        "balance": months.get(group.id),
        "history": _history(by, group),
        **_effects(by, group),
    }


def _history(by: Principal, group: Group) -> list[tuple[Any, str]]:
    rows = memberships.history(by=by, group_id=group.id)
    known = Member.objects.filter(organization_id=by.organization_id, id__in=[row.member_id for row in rows])
    names = dict(known.values_list("id", "name"))
    return [(row, names.get(row.member_id, row.member_id)) for row in rows]


def _effects(by: Principal, group: Group) -> dict[str, Any]:
    """Return what a deletion would end."""
    scope = group_scope(group.id)
    return {
        "size": groups.sizes(by.organization_id).get(group.id, 0),
        "limits": len(caps.standing(by.organization_id, {scope})),
    }


def _again(request: PageRequest, group_id: str, error: TokenpoolError, **given: object) -> HttpResponse:
    """Show the group's page again with the reason and what was given."""
    facts = {**_facts(request, group_id), **given, "failure": error.message, "field": error.field}
    return show(request, "console/group.html", facts, status=error.status)


def _listed(by: Principal, request: PageRequest) -> Sequence[Member]:
    """Return everybody whom the Members page lists under the filters that its form carries."""
    filters = {name: request.POST[name] for name in ("seat_type", "role", "in_group") if name in request.POST}

    def read(offset: int) -> tuple[list[Member], int]:
        return members.search(
            by=by, text=request.POST.get("q", ""), seat_type=filters.get("seat_type"), role=filters.get("role"),
            group=filters.get("in_group"), offset=offset, limit=members.MOST,
        )  # fmt: skip

    return list(every(read))


def _entries(pasted: str) -> list[str]:
    """Return the ids and addresses of a list: one a line, or between commas; `Name <address>` is its address."""
    entries = [entry for entry in re.split(r"[\n,;]+", pasted) if entry.strip()]
    return [found[1] if (found := _ADDRESS.search(entry)) else entry for entry in entries]


def _tell(request: PageRequest, count: int, *, joined: bool) -> None:
    if joined:
        text = ngettext("%(n)s member was added.", "%(n)s members were added.", count)
    else:
        text = ngettext("%(n)s member was taken out.", "%(n)s members were taken out.", count)
    acts = _("It acts on the next request.")
    messages.success(request, f"{text % {'n': count}} {acts}", extra_tags=TOLD)
