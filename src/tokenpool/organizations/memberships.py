"""Who is in which group: joining and leaving are added rows with the instant they took effect.

What a member is in now stands beside the member (`group_ids`), so that facts are read in one row;
every change raises the gate's version, so the next request counts where it should.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Max, Q

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound
from tokenpool.organizations import groups, trail
from tokenpool.organizations.models import Group, GroupMembership, Member
from tokenpool.organizations.roles import Principal, Right

MOST_OF_MEMBER = 20
MOST_AT_ONCE = 1000
MOST_TOLD = 5


def add(*, by: Principal, group_id: str, members: Sequence[str]) -> list[Member]:
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
        group = groups.locked(by, group_id)
        joining = [member for member in _named(by, members) if group.id not in member.groups]
        for member in joining:
            if len(member.groups) >= MOST_OF_MEMBER:
                sentence = f"{member.name} is in {MOST_OF_MEMBER} groups, the most there can be; take them out of one."
                raise Conflict(f"members: {sentence}", field="members")
        if joining:
            _put_in(by, group.id, joining)
            _note(by, group, joining, joined=True)
    return joining


def remove(*, by: Principal, group_id: str, members: Sequence[str]) -> list[Member]:
    """Take *members* (ids or e-mail addresses) out of a group; return those who were in it.

    Raises:
        NotAllowed: without the right to manage members; oneself without the right to set limits.
        InvalidInput, NotFound: as `add`.
    """
    by.require(Right.MANAGE_MEMBERS)
    with transaction.atomic():
        group = groups.locked(by, group_id)
        leaving = [member for member in _named(by, members) if group.id in member.groups]
        if by.member_id in [member.id for member in leaving] and not by.may(Right.SET_LIMITS):
            raise NotAllowed("Leaving a group lifts its limits, so nobody takes themselves out; ask an owner.")
        if leaving:
            groups.strike_out(by, group.id, [member.id for member in leaving])
            _note(by, group, leaving, joined=False)
    return leaving


def leave_all(*, by: Principal, member: Member) -> None:
    """Take a member who is being removed out of every group; inside that removal's transaction."""
    _add_rows(by, [(group_id, member.id) for group_id in member.groups], joined=False)
    Member.objects.filter(organization_id=by.organization_id, id=member.id).update(group_ids="")


def since(*, by: Principal, group_id: str, members: Sequence[Member]) -> Mapping[str, datetime]:
    """Return when each of *members* joined the group last, by member id."""
    by.require(Right.SEE_MEMBERS)
    rows = GroupMembership.objects.filter(
        organization_id=by.organization_id, group_id=group_id, joined=True, member_id__in=[one.id for one in members]
    )
    return dict(rows.values_list("member_id").annotate(at=Max("changed_at")))


def page(*, by: Principal, group_id: str, after_id: str = "", limit: int = 20) -> tuple[list[Member], bool]:
    """Return a group's members by id, and tell whether more follow.

    Raises:
        NotAllowed: without the right to see members. NotFound: no such group.
    """
    group = groups.find(by=by, group_id=group_id)
    rows = Member.objects.filter(groups.among(group.id), organization_id=by.organization_id, removed_at=None)
    found = list(rows.filter(id__gt=after_id).order_by("id")[: limit + 1])
    return found[:limit], len(found) > limit


def history(*, by: Principal, group_id: str, limit: int = 20) -> list[GroupMembership]:
    """Return who joined and left a group last, newest first."""
    by.require(Right.SEE_MEMBERS)
    rows = GroupMembership.objects.filter(organization_id=by.organization_id, group_id=group_id)
    return list(rows.order_by("-changed_at", "-id")[:limit])


def _named(by: Principal, members: Sequence[str]) -> list[Member]:
    """Return the present members with these ids or e-mail addresses, by name."""
    wanted = {text.strip().lower() for text in members} - {""}
    if not 1 <= len(wanted) <= MOST_AT_ONCE:
        raise InvalidInput(
            f"members: name 1 to {MOST_AT_ONCE} members at once, by id or e-mail address.", field="members"
        )
    rows = Member.objects.filter(organization_id=by.organization_id, removed_at=None)
    rows = rows.filter(Q(id__in=wanted) | Q(email__in=wanted))
    found = list(rows.order_by("name", "id"))
    missing = sorted(wanted - {one.id for one in found} - {one.email for one in found})
    if len(wanted) == 1 and missing:
        raise NotFound("There is no such member.", field="members")
    if missing:
        shown = ", ".join(text[:80] for text in missing[:MOST_TOLD]) + (" and more" if len(missing) > MOST_TOLD else "")
        raise NotFound(f"members: no members here: {shown}; nothing was changed.", field="members")
    return found


def _put_in(by: Principal, group_id: str, joining: Sequence[Member]) -> None:
    alike: dict[str, list[str]] = {}
    for member in joining:
        alike.setdefault(member.group_ids, []).append(member.id)
    for before, member_ids in alike.items():
        now = " ".join(sorted((*before.split(), group_id)))
        Member.objects.filter(organization_id=by.organization_id, id__in=member_ids).update(group_ids=now)


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
