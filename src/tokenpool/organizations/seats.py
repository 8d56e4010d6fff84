"""Seat types and who holds which: every assignment is an added row with the instant it took effect."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound
from tokenpool.kernel.period import Month
from tokenpool.organizations import trail
from tokenpool.organizations.models import Gate, Member, Organization, SeatAssignment, SeatType
from tokenpool.organizations.roles import Principal, Right

NO_SEAT = "none"  # `expect` of somebody who saw that the member had none


@dataclass(frozen=True, slots=True)
class SeatDays:
    """On how many days of a month a member held a seat type, and on how many of them while HIPAA-ready."""

    member_id: str
    seat_type: str
    days: int
    hipaa_days: int = 0


def types(organization_id: str) -> list[SeatType]:
    """Return the seat types of the organization's plan, in the plan's order."""
    plan_id = Organization.objects.values_list("plan_id", flat=True).get(id=organization_id)
    return list(SeatType.objects.filter(plan_id=plan_id).order_by("position"))


def opens(organization_id: str, seat_type: str | None, product: str) -> bool:
    """Tell whether *seat_type* opens *product* now."""
    found = next((one for one in types(organization_id) if one.key == seat_type), None)
    if found is None:
        return False
    is_hipaa_ready = Organization.objects.filter(id=organization_id, hipaa_ready_at__isnull=False).exists()
    return includes(found.products, product, is_covered=found.hipaa_covered, is_hipaa_ready=is_hipaa_ready)


def includes(products: Collection[str], product: str, *, is_covered: bool, is_hipaa_ready: bool) -> bool:
    """Tell whether a seat type with *products* opens *product*; while HIPAA-ready only one that is covered does."""
    return product in products and (is_covered or not is_hipaa_ready)


def assign(*, by: Principal, member_id: str, seat_type: str | None, expect: str | None = None) -> Member:
    """Give a member a seat type (None: no seat) from now on; the same one again changes nothing.

    *expect* is the seat type the caller saw (`"none"` for no seat); someone else's change in between
    is then a conflict instead of a loss.

    Raises:
        NotAllowed: without the right to manage members; oneself without the right to set limits.
        InvalidInput: no such seat type, or one that is not covered while HIPAA-ready.
        NotFound: no such member.
        Conflict: the member's seat type has changed since *expect*.
    """
    by.require(Right.MANAGE_MEMBERS)
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        found = Member.objects.filter(organization_id=by.organization_id, id=member_id, removed_at=None).first()
        if found is None:
            raise NotFound("There is no such member.")
        _check(by.organization_id, seat_type)
        before = found.seat_type
        if before == seat_type:
            return found
        if member_id == by.member_id and not by.may(Right.SET_LIMITS):
            raise NotAllowed("Another seat type has other limits, so nobody changes their own; ask an owner.")
        if expect is not None and expect != (before or NO_SEAT):
            raise Conflict(_conflict_sentence(found), field="seat_type")
        rows = SeatAssignment.objects.filter(organization_id=by.organization_id, member_id=member_id)
        last = rows.order_by("-assigned_at", "-id").first()
        SeatAssignment.objects.create(
            organization_id=by.organization_id, member_id=member_id, seat_type=seat_type, assigned_by=by.name,
            id=ids.new("seat", after=last.id if last else ""),
            assigned_at=max(clock.now(), last.assigned_at) if last else clock.now(),  # the clock may be set back
        )  # fmt: skip
        found.seat_type = seat_type
        found.save(update_fields=["seat_type"])
        trail.bump(by.organization_id)
        facts = {"before": {"seat_type": before}, "after": {"seat_type": seat_type, "email": found.email}}
        trail.note(by, Action.SEAT_TYPE_ASSIGNED, ("member", member_id), **facts)
    return found


def history(*, by: Principal, member_id: str) -> list[SeatAssignment]:
    """Return a member's assignments, newest first."""
    if member_id != by.member_id:
        by.require(Right.SEE_MEMBERS)
    rows = SeatAssignment.objects.filter(organization_id=by.organization_id, member_id=member_id)
    return list(rows.order_by("-assigned_at", "-id"))


def seat_days(organization_id: str, month: Month, *, until: datetime | None = None) -> list[SeatDays]:
    """Count the days of *month* on which each member held each seat type, up to and including *until*'s day.

    A day belongs to the seat type held at its end: a change counts from the day it is made, and a
    seat given and taken on the same day counts nothing.
    """
    last_day = min(month.end, until or month.end)
    hipaa_since = Organization.objects.values_list("hipaa_ready_at", flat=True).get(id=organization_id)
    rows = SeatAssignment.objects.filter(organization_id=organization_id, assigned_at__lt=month.end)
    per_member: dict[str, list[tuple[datetime, str | None]]] = {}
    for row in rows.order_by("assigned_at", "id"):
        per_member.setdefault(row.member_id, []).append((row.assigned_at, row.seat_type))
    return [
        found
        for member_id in sorted(per_member)
        for found in _days_of(member_id, per_member[member_id], month, last_day, hipaa_since)
    ]


def _conflict_sentence(member: Member) -> str:
    rows = SeatAssignment.objects.filter(organization_id=member.organization_id, member_id=member.id)
    latest = rows.order_by("-assigned_at", "-id").first()
    who = latest.assigned_by if latest else "Somebody"
    names = {one.key: one.name for one in types(member.organization_id)}
    seat = names.get(member.seat_type, member.seat_type) if member.seat_type else "no seat"
    return f"{who} gave {member.name} {seat} in the meantime. Look at it again, then decide."


def _days_of(
    member_id: str,
    changes: list[tuple[datetime, str | None]],
    month: Month,
    until: datetime,
    hipaa_since: datetime | None,
) -> list[SeatDays]:
    """Walk the days of one member; *changes* are in order."""
    days: dict[str, list[int]] = {}
    position, held = 0, None
    day_end = month.start + timedelta(days=1)
    while day_end <= month.end and day_end - timedelta(days=1) < until:
        while position < len(changes) and changes[position][0] < min(day_end, until + timedelta(microseconds=1)):
            held = changes[position][1]
            position += 1
        if held is not None:
            counted = days.setdefault(held, [0, 0])
            counted[0] += 1
            counted[1] += hipaa_since is not None and hipaa_since < day_end
        day_end += timedelta(days=1)
    return [SeatDays(member_id, seat_type, total, hipaa) for seat_type, (total, hipaa) in sorted(days.items())]


def _check(organization_id: str, seat_type: str | None) -> None:
    if seat_type is None:
        return
    known = {one.key: one for one in types(organization_id)}
    if seat_type not in known:
        allowed = ", ".join(known)
        raise InvalidInput(
            f"seat_type: there is no “{seat_type[:40]}”; it must be {allowed} or null.", field="seat_type"
        )
    hipaa_ready = Organization.objects.filter(id=organization_id, hipaa_ready_at__isnull=False).exists()
    if hipaa_ready and not known[seat_type].hipaa_covered:
        covered = ", ".join(one.name for one in known.values() if one.hipaa_covered)
        raise InvalidInput(
            f"seat_type: {known[seat_type].name} is not covered while HIPAA-ready; covered: {covered}.",
            field="seat_type",
        )
