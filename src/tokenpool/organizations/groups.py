"""Groups: members who share limits. Each has a name of its own and ends without taking its history along."""

import unicodedata
from collections.abc import Iterable, Sequence

from django.db import transaction
from django.db.models import Case, F, Q, Sum, TextField, Value, When
from django.db.models.functions import Concat, Replace, Trim

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotFound
from tokenpool.organizations import trail
from tokenpool.organizations.founding import checked_name
from tokenpool.organizations.models import Gate, Group, GroupMembership, Member
from tokenpool.organizations.roles import Principal, Right

MOST_OF_ORGANIZATION = 500
DESCRIPTION_LENGTH = 200


def create(*, by: Principal, name: str, description: str = "") -> Group:
    """Create a group without members.

    Raises:
        NotAllowed: without the right to manage members.
        InvalidInput: a name or description that cannot be.
        Conflict: the name is another group's, or the organization has 500 groups.
    """
    by.require(Right.MANAGE_MEMBERS)
    now = clock.now()
    with transaction.atomic():
        _lock(by)
        if len(present(by.organization_id)) >= MOST_OF_ORGANIZATION:
            raise Conflict(f"name: there are {MOST_OF_ORGANIZATION} groups, the most there can be.", field="name")
        group = Group.objects.create(
            organization_id=by.organization_id,
            id=ids.new("grp"),
            name=_free_name(by, name),
            description=_checked_description(description),
            created_at=now,
            changed_at=now,
        )
        facts = {"name": group.name, "description": group.description}
        trail.note(by, Action.GROUP_CREATED, ("group", group.id), after=facts)
    return group


def change(*, by: Principal, group_id: str, name: str | None = None, description: str | None = None) -> Group:
    """Give a group another name or description; what is not given stays.

    Raises:
        NotAllowed, InvalidInput, Conflict: as `create`. NotFound: no such group.
    """
    by.require(Right.MANAGE_MEMBERS)
    with transaction.atomic():
        group = locked(by, group_id)
        before = {"name": group.name, "description": group.description}
        if name is not None:
            group.name = _free_name(by, name, but=group.id)
        if description is not None:
            group.description = _checked_description(description)
        after = {"name": group.name, "description": group.description}
        if before != after:
            group.changed_at = clock.now()
            group.save(update_fields=["name", "description", "changed_at"])
            trail.note(by, Action.GROUP_CHANGED, ("group", group.id), before=before, after=after)
    return group


def delete(*, by: Principal, group_id: str) -> None:
    """End a group: everybody is out of it with the next request; running holds stay counted where they are.

    Its limits are ended first, by `limits.caps.delete_group`, which is the verb for the doors.

    Raises:
        NotAllowed: without the right to manage members. NotFound: no such group.
    """
    by.require(Right.MANAGE_MEMBERS)
    with transaction.atomic():
        group = locked(by, group_id)
        before = {"name": group.name, "members": strike_out(by, group.id)}
        group.deleted_at = clock.now()
        group.save(update_fields=["deleted_at"])
        trail.bump(by.organization_id)
        trail.note(by, Action.GROUP_DELETED, ("group", group.id), before=before)


def find(*, by: Principal, group_id: str) -> Group:
    """Return a group.

    Raises:
        NotAllowed: without the right to see members.
        NotFound: absent, deleted, or another organization's.
    """
    by.require(Right.SEE_MEMBERS)
    return _find(by, group_id)


def listed(*, by: Principal) -> list[tuple[Group, int]]:
    """Return every group by name, with how many members it has.

    Raises:
        NotAllowed: without the right to see members.
    """
    by.require(Right.SEE_MEMBERS)
    counts = sizes(by.organization_id)
    return [(group, counts.get(group.id, 0)) for group in present(by.organization_id)]


def among(group_id: str) -> Q:
    """Return the condition that finds the members of a group, or with "" those who are in none."""
    if not group_id:
        return Q(group_ids="")
    return Q(group_ids__contains=group_id) if ids.is_id("grp", group_id) else Q(id__in=[])


def locked(by: Principal, group_id: str) -> Group:
    """Return a group under the organization's lock; inside the caller's transaction.

    Raises:
        NotFound: as `find`.
    """
    _lock(by)
    return _find(by, group_id)


def strike_out(by: Principal, group_id: str, member_ids: Sequence[str] | None = None) -> int:
    """Strike a group off these members, or off all; return how many were in it. The history is the caller's."""
    rows = Member.objects.filter(among(group_id), organization_id=by.organization_id, removed_at=None)
    if member_ids is not None:
        rows = rows.filter(id__in=member_ids)
    framed = Concat(Value(" "), F("group_ids"), Value(" "), output_field=TextField())
    return rows.update(group_ids=Trim(Replace(framed, Value(f" {group_id} "), Value(" "))))


def present(organization_id: str) -> list[Group]:
    """Return the organization's groups by name."""
    rows = Group.objects.filter(organization_id=organization_id, deleted_at=None)
    return sorted(rows, key=lambda group: (group.name.casefold(), group.id))


def names(organization_id: str, group_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of groups by id, deleted ones' too."""
    rows = Group.objects.filter(organization_id=organization_id, id__in=list(group_ids))
    return dict(rows.values_list("id", "name"))


def sizes(organization_id: str) -> dict[str, int]:
    """Return how many members each group has: those who joined less those who left."""
    rows = GroupMembership.objects.filter(organization_id=organization_id).values_list("group_id")
    return dict(rows.annotate(size=Sum(Case(When(joined=True, then=1), default=-1))))


def _lock(by: Principal) -> None:
    Gate.objects.select_for_update().get(organization_id=by.organization_id)


def _find(by: Principal, group_id: str) -> Group:
    group = Group.objects.filter(organization_id=by.organization_id, id=group_id, deleted_at=None).first()
    if group is None:
        raise NotFound("There is no such group.")
    return group


def _free_name(by: Principal, name: str, *, but: str = "") -> str:
    """Return *name* cleaned; names that look alike (case, compatible characters) are the same."""
    name = checked_name("name", name)
    if any(_looks(one.name) == _looks(name) for one in present(by.organization_id) if one.id != but):
        raise Conflict(f"name: there is a group {name} already; choose another name.", field="name")
    return name


def _looks(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _checked_description(text: str) -> str:
    cleaned = " ".join(text.split())
    if len(cleaned) > DESCRIPTION_LENGTH or not cleaned.isprintable():
        raise InvalidInput(f"description: at most {DESCRIPTION_LENGTH} printable characters.", field="description")
    return cleaned
