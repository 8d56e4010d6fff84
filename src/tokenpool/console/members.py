"""The Members page: find, add, remove, and choose a seat type in the row, which saves by itself."""

from collections.abc import Iterable
from functools import partial

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tokenpool.console.access import PageRequest, page, show
from tokenpool.console.csv_export import csv_file
from tokenpool.console.query import every, listing
from tokenpool.kernel.errors import TokenpoolError
from tokenpool.organizations import groups, members, seats
from tokenpool.organizations.models import Group, Member
from tokenpool.organizations.roles import Right, Role

FILTERS = ("seat_type", "role", "group")


@page(Right.SEE_MEMBERS)
def index(request: PageRequest) -> HttpResponse:
    """Show the page, or the list as CSV."""
    wanted = listing(request, sorts=members.SORTS, default="name", filters=FILTERS)
    search = partial(
        members.search,
        by=request.principal,
        text=wanted.text,
        seat_type=wanted.filters.get("seat_type"),
        role=wanted.filters.get("role"),
        group=wanted.filters.get("group"),
        sort=wanted.sort,
        descending=wanted.descending,
    )
    present = groups.present(request.principal.organization_id)
    if request.GET.get("format") == "csv":
        return _csv(every(lambda offset: search(offset=offset, limit=members.MOST)), present)
    rows, found = search(offset=wanted.offset, limit=wanted.size)
    known = {group.id: group for group in present}
    in_groups = [(member, [known[group_id] for group_id in member.groups if group_id in known]) for member in rows]
    facts = {**wanted.facts(found), "rows": in_groups, "groups": present, **_choices(request)}
    return show(request, "console/members.html", facts)


@page(Right.MANAGE_MEMBERS)
@require_POST
def assign_seat(request: PageRequest, member_id: str) -> HttpResponse:
    """Assign the chosen seat type and answer with the field as it stands now, and an undo."""
    before = members.find(by=request.principal, member_id=member_id)
    chosen = request.POST.get("seat_type", "") or None
    facts = {**_choices(request), "member": before, "state": "saved"}
    status = 200
    try:
        seats.assign(by=request.principal, member_id=member_id, seat_type=chosen, expect=request.POST.get("expect"))
        facts["member"] = members.find(by=request.principal, member_id=member_id)
        facts["undo"] = before.seat_type or "" if before.seat_type != chosen else None
        facts["toast"] = _("%(name)s: seat type saved.") % {"name": before.name}
    except TokenpoolError as error:
        status, facts["state"], facts["error"] = error.status, "failed", error.message
    if not request.htmx:
        failed = {"message": facts.get("error", ""), "status": status}
        return show(request, "console/error.html", failed, status) if "error" in facts else redirect("members")
    return render(request, "console/pieces/seat_field.html", facts, status=status)


@page(Right.MANAGE_MEMBERS)
@require_POST
def add(request: PageRequest) -> HttpResponse:
    """Add one member; the form comes back with the reason when it cannot be."""
    given = {name: request.POST.get(name, "").strip() for name in ("email", "name", "role", "seat_type", "password")}
    try:
        members.add(
            by=request.principal,
            email=given["email"],
            name=given["name"],
            role=given["role"] or Role.MEMBER,
            seat_type=given["seat_type"] or None,
            password=given["password"] or None,
        )
    except TokenpoolError as error:
        facts = {**_choices(request), "given": given, "error": error.message, "field": error.field or ""}
        return show(request, "console/member_add.html", facts, status=error.status)
    return redirect("members")


@page(Right.MANAGE_MEMBERS)
@require_POST
def remove(request: PageRequest, member_id: str) -> HttpResponse:
    """Remove a member."""
    members.remove(by=request.principal, member_id=member_id)
    return redirect("members")


@page(Right.CHANGE_ROLES)
@require_POST
def change_role(request: PageRequest, member_id: str) -> HttpResponse:
    """Give a member another role."""
    members.change_role(by=request.principal, member_id=member_id, role=request.POST.get("role", ""))
    return redirect("members")


def _csv(rows: Iterable[Member], present: list[Group]) -> HttpResponse:
    header = ("member_id", "name", "email", "role", "seat_type", "cost_center", "groups")
    names = {group.id: group.name for group in present}
    return csv_file(
        "members",
        header,
        (
            (
                one.id,
                one.name,
                one.email,
                one.role,
                one.seat_type or "",
                one.cost_center,
                "; ".join(names.get(group_id, group_id) for group_id in one.groups),
            )
            for one in rows
        ),
    )


def _choices(request: PageRequest) -> dict[str, object]:
    return {
        "seat_types": seats.types(request.principal.organization_id),
        "roles": [role for role in Role if role is not Role.PRIMARY_OWNER],
    }
