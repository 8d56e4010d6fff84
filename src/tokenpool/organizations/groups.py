"""Groups and who is in which: joining and leaving are added rows with the instant they took effect.

What a member is in now stands beside the member (`group_ids`), so that facts are read in one row;
every change raises the gate's version, so the next request counts where it should.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from django.db import transaction
from django.db.models import Case, F, Max, Q, QuerySet, Sum, TextField, Value, When
from django.db.models.functions import Concat, Replace, Trim

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound
from tokenpool.organizations import trail
from tokenpool.organizations.founding import checked_name
from tokenpool.organizations.models import Gate, Group, GroupMembership, Member
from tokenpool.organizations.roles import Principal, Right

MOST_OF_MEMBER = 20
MOST_OF_ORGANIZATION = 500
MOST_AT_ONCE = 1000
MOST_TOLD = 5
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
        _lock(by)
        group = _find(by, group_id)
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
        _lock(by)
        group = _find(by, group_id)
        before = {"name": group.name, "members": _take_out(_present_members(by), group.id)}
        group.deleted_at = clock.now()
        group.save(update_fields=["deleted_at"])
        trail.bump(by.organization_id)
        trail.note(by, Action.GROUP_DELETED, ("group", group.id), before=before)


def add_members(*, by: Principal, group_id: str, members: Sequence[str]) -> list[Member]:
    """Put *members* (ids or e-mail addresses) into a group from now on; return those who were not in it.

    All of them join or nobody does. What they spent before does not count in the group.

    Raises:
        NotAllowed: without the right to manage members.
        InvalidInput: none, or more than a thousand at once.
        NotFound: no such group; or some are no members, named.
        Conflict: somebody is in 20 groups already, named.
    """
    by.require(Right.MANAGE_MEMBERS)
    with transaction.atomic():
        _lock(by)
        group = _find(by, group_id)
        joining = [member for member in _named(by, members) if group.id not in member.groups]
        for member in joining:
            if len(member.groups) >= MOST_OF_MEMBER:
                sentence = f"{member.name} is in {MOST_OF_MEMBER} groups, the most there can be; take them out of one."
                raise Conflict(f"members: {sentence}", field="members")
        if joining:
            _put_in(by, group.id, joining)
            _note(by, group, joining, joined=True)
    return joining


def remove_members(*, by: Principal, group_id: str, members: Sequence[str]) -> list[Member]:
    """Take *members* (ids or e-mail addresses) out of a group; return those who were in it.

    Raises:
        NotAllowed: without the right to manage members; oneself without the right to set limits.
        InvalidInput, NotFound: as `add_members`.
    """
    by.require(Right.MANAGE_MEMBERS)
    with transaction.atomic():
        _lock(by)
        group = _find(by, group_id)
        leaving = [member for member in _named(by, members) if group.id in member.groups]
        if by.member_id in [member.id for member in leaving] and not by.may(Right.SET_LIMITS):
            raise NotAllowed("Leaving a group lifts its limits, so nobody takes themselves out; ask an owner.")
        if leaving:
            _take_out(_present_members(by).filter(id__in=[member.id for member in leaving]), group.id)
            _note(by, group, leaving, joined=False)
    return leaving


def leave_all(*, by: Principal, member: Member) -> None:
    """Take a member who is being removed out of every group; inside that removal's transaction."""
    _add_rows(by, [(group_id, member.id) for group_id in member.groups], joined=False)
    Member.objects.filter(organization_id=by.organization_id, id=member.id).update(group_ids="")


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


def joined_at(*, by: Principal, group_id: str, members: Sequence[Member]) -> Mapping[str, str]:
    """Return when each of *members* joined the group last, by member id, as RFC 3339 text."""
    by.require(Right.SEE_MEMBERS)
    rows = GroupMembership.objects.filter(
        organization_id=by.organization_id, group_id=group_id, joined=True, member_id__in=[one.id for one in members]
    )
    latest = rows.values_list("member_id").annotate(at=Max("changed_at"))
    return {member_id: at.isoformat().replace("+00:00", "Z") for member_id, at in latest}


def history(*, by: Principal, group_id: str, limit: int = 20) -> list[GroupMembership]:
    """Return who joined and left a group last, newest first."""
    by.require(Right.SEE_MEMBERS)
    rows = GroupMembership.objects.filter(organization_id=by.organization_id, group_id=group_id)
    return list(rows.order_by("-changed_at", "-id")[:limit])


def among(group_id: str) -> Q:
    """Return the condition that finds the members of a group, or with "" those who are in none."""
    if not group_id:
        return Q(group_ids="")
    return Q(group_ids__contains=group_id) if ids.is_id("grp", group_id) else Q(id__in=[])


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


def _named(by: Principal, members: Sequence[str]) -> list[Member]:
    """Return the present members with these ids or e-mail addresses, by name."""
    wanted = {text.strip().lower() for text in members} - {""}
    if not 1 <= len(wanted) <= MOST_AT_ONCE:
        raise InvalidInput(
            f"members: name 1 to {MOST_AT_ONCE} members at once, by id or e-mail address.", field="members"
        )
    rows = _present_members(by).filter(Q(id__in=wanted) | Q(email__in=wanted))
    found = list(rows.order_by("name", "id"))
    missing = sorted(wanted - {one.id for one in found} - {one.email for one in found})
    if len(wanted) == 1 and missing:
        raise NotFound("There is no such member.", field="members")
    if missing:
        shown = ", ".join(missing[:MOST_TOLD]) + (" and more" if len(missing) > MOST_TOLD else "")
        raise NotFound(f"members: no members here: {shown}; nothing was changed.", field="members")
    return found


def _present_members(by: Principal) -> QuerySet[Member]:
    return Member.objects.filter(organization_id=by.organization_id, removed_at=None)


def _put_in(by: Principal, group_id: str, joining: Sequence[Member]) -> None:
    alike: dict[str, list[str]] = {}
    for member in joining:
        alike.setdefault(member.group_ids, []).append(member.id)
    for before, member_ids in alike.items():
        now = " ".join(sorted((*before.split(), group_id)))
        Member.objects.filter(organization_id=by.organization_id, id__in=member_ids).update(group_ids=now)


def _take_out(rows: QuerySet[Member], group_id: str) -> int:
    """Strike the group from the members of *rows* who are in it; return how many were."""
    framed = Concat(Value(" "), F("group_ids"), Value(" "), output_field=TextField())
    struck = Trim(Replace(framed, Value(f" {group_id} "), Value(" ")))
    return rows.filter(among(group_id)).update(group_ids=struck)


def _note(by: Principal, group: Group, moved: Sequence[Member], *, joined: bool) -> None:
    """Write the rows of the history, the audit event, and the version of the facts."""
    _add_rows(by, [(group.id, member.id) for member in moved], joined=joined)
    trail.bump(by.organization_id)
    action = Action.GROUP_MEMBERS_ADDED if joined else Action.GROUP_MEMBERS_REMOVED
    facts = {"name": group.name, "member_ids": [member.id for member in moved]}
    trail.note(by, action, ("group", group.id), **{"after" if joined else "before": facts})


def _add_rows(by: Principal, moves: Iterable[tuple[str, str]], *, joined: bool) -> None:
    now = clock.now()
    GroupMembership.objects.bulk_create(
        GroupMembership(
            organization_id=by.organization_id,
            id=ids.new("gmr"),
            group_id=group_id,
            member_id=member_id,
            joined=joined,
            changed_at=now,
            changed_by=by.name,
        )
        for group_id, member_id in moves
    )
