"""The courier: gives each notice to the people it concerns, and sends what has to leave the house.

Notices were written in the transaction of their cause, so none is lost; deliveries are tried again
with growing pauses until they succeed or have failed twelve times, which the delivery log shows. Any
number of processes may have a courier: each delivery is claimed before it is sent.
"""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import close_old_connections, transaction
from django.utils import translation

from tokenpool.kernel import clock, ids
from tokenpool.notifications import sentences
from tokenpool.notifications.models import Delivery, Notice
from tokenpool.organizations.models import Member, Organization, Person
from tokenpool.organizations.roles import Role

OWNERS = (Role.PRIMARY_OWNER, Role.OWNER)
MOST_ATTEMPTS = 12
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
CLAIM = timedelta(minutes=5)  # longer than any mail server may take; then its process is taken for dead
MOST_AT_ONCE = 100


class Courier:
    """Delivers notices."""

    async def run_once(self) -> int:
        """Address new notices and send what is due; return how many deliveries were sent."""
        return await sync_to_async(self.deliver)()

    def deliver(self) -> int:
        """Do one round, synchronously."""
        close_old_connections()
        for notice in Notice.objects.filter(addressed_at_us=None).order_by("created_at_us")[:MOST_AT_ONCE]:
            address(notice)
        due = Delivery.objects.filter(state="waiting", next_attempt_at__lte=clock.now()).order_by("next_attempt_at")
        return sum(_send(delivery) for delivery in due[:MOST_AT_ONCE])


def raise_notice(*, organization_id: str, key: str, kind: str, facts: dict[str, Any], member_id: str = "") -> None:
    """Write a notice in the caller's transaction; the same key is told once."""
    Notice.objects.bulk_create(
        [
            Notice(
                organization_id=organization_id,
                id=ids.new("ntc"),
                key=key,
                kind=kind,
                member_id=member_id,
                facts=json.dumps(facts),
                created_at_us=clock.timestamp(clock.now()),
            )
        ],
        ignore_conflicts=True,
    )


def address(notice: Notice) -> None:
    """Write the deliveries of *notice*: bell and e-mail for the owners, and for the member it is about."""
    with transaction.atomic():
        if not notice.silent:
            Delivery.objects.bulk_create(_deliveries(notice), ignore_conflicts=True)
        rows = Notice.objects.filter(organization_id=notice.organization_id, id=notice.id)
        rows.update(addressed_at_us=clock.timestamp(clock.now()))


def _deliveries(notice: Notice) -> Iterable[Delivery]:
    members = Member.objects.filter(organization_id=notice.organization_id, removed_at=None)
    people = set(members.filter(role__in=OWNERS).values_list("person_id", flat=True))
    people |= set(members.filter(id=notice.member_id).values_list("person_id", flat=True))
    now = clock.now()
    for person_id in sorted(people):
        place = {"organization_id": notice.organization_id, "notice_id": notice.id, "person_id": person_id}
        yield Delivery(**place, channel="bell", state="sent", sent_at=now)
        yield Delivery(**place, channel="email", state="waiting", next_attempt_at=now)


def _send(delivery: Delivery) -> bool:
    """Try one delivery, if no other process has it; write down how it went."""
    attempts = delivery.attempts + 1
    place = {name: getattr(delivery, name) for name in ("organization_id", "notice_id", "person_id", "channel")}
    unclaimed = Delivery.objects.filter(**place, state="waiting", attempts=delivery.attempts)
    if not unclaimed.update(attempts=attempts, next_attempt_at=clock.now() + CLAIM):
        return False
    row = Delivery.objects.filter(**place, attempts=attempts)
    try:
        _mail(delivery).send()
    except Exception as error:  # noqa: BLE001 - one broken mailbox must not stop the others
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempts - 1))
        given_up = attempts >= MOST_ATTEMPTS
        row.update(
            state="failed" if given_up else "waiting",
            next_attempt_at=None if given_up else clock.now() + pause,
            error=f"{type(error).__name__}: {error}"[:200],
        )
        return False
    row.update(state="sent", sent_at=clock.now(), next_attempt_at=None, error="")
    return True


def _mail(delivery: Delivery) -> EmailMessage:
    """Compose the e-mail in the person's language; sent again after a crash it has the same Message-ID."""
    notice = Notice.objects.get(organization_id=delivery.organization_id, id=delivery.notice_id)
    person = Person.objects.get(id=delivery.person_id)
    organization = Organization.objects.get(id=delivery.organization_id)
    with translation.override(person.language or settings.LANGUAGE_CODE):
        subject = " ".join(f"[{organization.name}] {sentences.subject(notice)}".split())
        where = "invoices" if notice.kind == "invoice_ready" else "alerts"
        body = f"{sentences.sentence(notice)}\n\n{settings.PUBLIC_URL}/{where}\n"
    message_id = f"<{ids.derived('mail', notice.id, person.id)}@{urlsplit(settings.PUBLIC_URL).hostname}>"
    return EmailMessage(subject, body, to=[person.email], headers={"Message-ID": message_id})
