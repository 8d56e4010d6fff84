"""The bell: what a person was told, what they have not read yet, and the log of deliveries."""

from dataclasses import dataclass
from datetime import datetime

from tokenpool.kernel import clock
from tokenpool.notifications import sentences
from tokenpool.notifications.models import Delivery, Notice
from tokenpool.organizations.models import Person
from tokenpool.organizations.roles import Principal, Right


@dataclass(frozen=True, slots=True)
class Told:
    """A notice as one person reads it, in the active language."""

    notice_id: str
    subject: str
    sentence: str
    told_at: datetime
    read: bool


def for_person(person_id: str, organization_id: str, *, limit: int = 50) -> list[Told]:
    """Return what the person was told in this organization, newest first."""
    rows = Delivery.objects.filter(person_id=person_id, organization_id=organization_id, channel="bell")
    deliveries = list(rows.order_by("-sent_at", "-notice_id")[:limit])
    found = Notice.objects.filter(organization_id=organization_id, id__in=[row.notice_id for row in deliveries])
    notices = {notice.id: notice for notice in found}
    return [
        Told(
            row.notice_id,
            sentences.subject(notices[row.notice_id]),
            sentences.sentence(notices[row.notice_id]),
            clock.from_timestamp(notices[row.notice_id].created_at_us),
            row.read_at is not None,
        )
        for row in deliveries
    ]


def unread_count(person_id: str, organization_id: str) -> int:
    """Return how many notices the person has not read."""
    rows = Delivery.objects.filter(person_id=person_id, organization_id=organization_id, channel="bell", read_at=None)
    return rows.count()


def mark_read(person_id: str, organization_id: str) -> None:
    """Mark everything the person was told in this organization as read."""
    rows = Delivery.objects.filter(person_id=person_id, organization_id=organization_id, channel="bell", read_at=None)
    rows.update(read_at=clock.now())


def deliveries(*, by: Principal, limit: int = 100) -> list[tuple[Delivery, Notice, str]]:
    """Return the latest e-mail deliveries with their notice and address: the delivery log, for owners."""
    by.require(Right.SET_LIMITS)
    rows = list(
        Delivery.objects.filter(organization_id=by.organization_id, channel="email").order_by("-notice_id")[:limit]
    )
    found = Notice.objects.filter(organization_id=by.organization_id, id__in=[row.notice_id for row in rows])
    notices = {notice.id: notice for notice in found}
    addresses = dict(Person.objects.filter(id__in=[row.person_id for row in rows]).values_list("id", "email"))
    return [(row, notices[row.notice_id], addresses[row.person_id]) for row in rows]
