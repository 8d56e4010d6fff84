"""Who belongs to an organization: adding, finding, changing the role of, and removing members."""

from django.db import transaction
from django.db.models import F, Q, QuerySet

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound
from tokenpool.organizations import groups, memberships, seats, trail
from tokenpool.organizations.founding import NAME_LENGTH, checked_name, person_for
from tokenpool.organizations.models import ApiKey, Gate, Member
from tokenpool.organizations.roles import Principal, Right, Role

SORTS = ("name", "email", "role", "seat_type", "added_at")
MOST = 1000
FARTHEST = 10**9
NO_SUCH_MEMBER = "There is no such member."


def add(
    *,
    by: Principal,
    email: str,
    name: str,
    role: str = Role.MEMBER,
    seat_type: str | None = None,
    cost_center: str = "",
    password: str | None = None,
) -> Member:
    """Add a member at once, under the name given here; without a password they sign in after setting one.

    Raises:
        NotAllowed: *by* may not manage members, or not give this role.
        InvalidInput: an e-mail, name, role, seat type or password that cannot be.
        Conflict: the e-mail is a member's already.
    """
    by.require(Right.MANAGE_MEMBERS)
    wanted = _role(role)
    if wanted is not Role.MEMBER:
        by.require(Right.CHANGE_ROLES)
    if len(cost_center) > 80 or not cost_center.isprintable():  # noqa: PLR2004 - the column's width
        raise InvalidInput("cost_center: at most 80 printable characters.", field="cost_center")
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        person = person_for(
            email=email, name=name, password=password, field="member", organization_id=by.organization_id
        )
        if _present(by).filter(email=person.email).exists():
            raise Conflict(f"email: {person.email} is a member already.", field="email")
        member = Member.objects.create(
            organization_id=by.organization_id,
            id=ids.new("user"),
            person_id=person.id,
            email=person.email,
            name=checked_name("member_name", name),
            role=wanted.value,
            cost_center=cost_center,
            added_at=clock.now(),
        )
        facts = {"email": member.email, "name": member.name, "role": member.role, "cost_center": cost_center}
        trail.note(by, Action.MEMBER_ADDED, ("member", member.id), after=facts)
        if seat_type is not None:
            seats.assign(by=by, member_id=member.id, seat_type=seat_type)
            member.refresh_from_db()
    return member


def find(*, by: Principal, member_id: str) -> Member:
    """Return a present member.

    Raises:
        NotAllowed: somebody else without the right to see members.
        NotFound: absent, removed, or another organization's.
    """
    if member_id != by.member_id:
        by.require(Right.SEE_MEMBERS)
    return _find(by, member_id)


def search(
    *,
    by: Principal,
    text: str = "",
    seat_type: str | None = None,
    role: str | None = None,
    group: str | None = None,
    sort: str = "name",
    descending: bool = False,
    offset: int = 0,
    limit: int = 50,
) -> tuple[list[Member], int]:
    """Return a page of present members and how many match.

    *seat_type* "" finds those without a seat, *group* (an id) "" those who are in no group.

    Raises:
        NotAllowed: without the right to see members.
        InvalidInput: an unknown sort, a page out of range, or a text longer than any name.
    """
    by.require(Right.SEE_MEMBERS)
    if sort not in SORTS:
        raise InvalidInput(f"sort: must be one of {', '.join(SORTS)}.", field="sort")
    if not 1 <= limit <= MOST or not 0 <= offset <= FARTHEST:
        raise InvalidInput(f"limit: must lie between 1 and {MOST}, offset between 0 and {FARTHEST}.", field="limit")
    if len(text) > NAME_LENGTH:
        raise InvalidInput(f"text: at most {NAME_LENGTH} characters.", field="text")
    rows = _present(by)
    if text:
        rows = rows.filter(Q(name__icontains=text) | Q(email__icontains=text))
    if seat_type is not None:
        rows = rows.filter(seat_type=seat_type) if seat_type else rows.filter(seat_type=None)
    if role:
        rows = rows.filter(role=role)
    if group is not None:
        rows = rows.filter(groups.among(group))
    column = F(sort)
    order = column.desc(nulls_last=True) if descending else column.asc(nulls_last=True)
    return list(rows.order_by(order, "id")[offset : offset + limit]), rows.count()


def change_role(*, by: Principal, member_id: str, role: str) -> Member:
    """Give a member another role; the primary owner's is never changed, nor anybody's own.

    Raises:
        NotAllowed: without the right, one's own role, or the primary owner's.
        InvalidInput: an unknown role. NotFound: no such member.
    """
    by.require(Right.CHANGE_ROLES)
    wanted = _role(role)
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        member = _find(by, member_id)
        if member.role == Role.PRIMARY_OWNER:
            raise NotAllowed("The primary owner's role changes only by transferring ownership.")
        if member.id == by.member_id:
            raise NotAllowed("Nobody can change their own role; ask another owner.")
        before = member.role
        if before != wanted:
            member.role = wanted.value
            member.save(update_fields=["role"])
            trail.bump(by.organization_id)
            subject = ("member", member.id)
            trail.note(by, Action.MEMBER_ROLE_CHANGED, subject, before={"role": before}, after={"role": member.role})
    return member


def remove(*, by: Principal, member_id: str) -> None:
    """Remove a member: the seat ends, the keys stop with their next request, the spend stays.

    Raises:
        NotAllowed: without the right, oneself, or the primary owner.
        NotFound: no such member.
    """
    by.require(Right.MANAGE_MEMBERS)
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        member = _find(by, member_id)
        if member.role == Role.PRIMARY_OWNER:
            raise NotAllowed("The primary owner cannot be removed; transfer ownership first.")
        if member.role != Role.MEMBER:
            by.require(Right.CHANGE_ROLES)
        if member.id == by.member_id:
            raise NotAllowed("Nobody can remove themselves; ask another owner.")
        if member.seat_type is not None:
            seats.assign(by=by, member_id=member.id, seat_type=None)
        memberships.leave_all(by=by, member=member)
        keys = ApiKey.objects.filter(organization_id=by.organization_id, member_id=member.id, revoked_at=None)
        revoked = keys.update(revoked_at=clock.now())
        Member.objects.filter(organization_id=by.organization_id, id=member.id).update(removed_at=clock.now())
        trail.bump(by.organization_id)
        before = {"email": member.email, "role": member.role, "group_ids": member.groups, "keys_revoked": revoked}
        trail.note(by, Action.MEMBER_REMOVED, ("member", member.id), before=before)


def _present(by: Principal) -> QuerySet[Member]:
    return Member.objects.filter(organization_id=by.organization_id, removed_at=None)


def _find(by: Principal, member_id: str) -> Member:
    member = _present(by).filter(id=member_id).first()
    if member is None:
        raise NotFound(NO_SUCH_MEMBER)
    return member


def _role(text: str) -> Role:
    known = [role.value for role in Role if role is not Role.PRIMARY_OWNER]
    if text not in known:
        raise InvalidInput(f"role: must be one of {', '.join(known)}, not “{text[:20]}”.", field="role")
    return Role(text)
