"""Editing history behind the product's back: the audit chain must name every edit."""

import random
from dataclasses import dataclass

from django.db import transaction

from tokenpool.audit import chain
from tokenpool.audit.models import AuditEvent
from tokenpool.organizations import founding, members
from tokenpool.organizations.models import Person
from tokenpool.organizations.principals import of_person


@dataclass
class Edits:
    """How many edits were made, and how many the chain found."""

    made: int = 0
    found: int = 0

    @property
    def holds(self) -> bool:
        """True when every edit was found."""
        return self.made == self.found


def run(edits: int, seed: int = 1) -> Edits:
    """Change, remove or cut off one row of a scratch organization's audit, *edits* times; each is undone."""
    facts = {"owner_email": "scratch@tokenpool.example", "owner_password": "never used again 7"}
    organization, owner = founding.found(name="Scratch", owner_name="Scratch", **facts)
    by = of_person(Person.objects.get(id=owner.person_id))
    for number in range(20):
        members.add(by=by, email=f"m{number}@tokenpool.example", name=f"M {number}", role="member", seat_type="chat")
    chance, tally = random.Random(seed), Edits()  # noqa: S311 - seeded
    rows = list(AuditEvent.objects.filter(organization_id=organization.id).order_by("sequence"))
    for _ in range(edits):
        with transaction.atomic():
            _edit(organization.id, chance.choice(rows), chance)
            tally.made += 1
            tally.found += chain.verify(organization.id) is not None
            transaction.set_rollback(True)
    return tally


def _edit(organization_id: str, row: AuditEvent, chance: random.Random) -> None:
    """Make one change that nobody announced."""
    one = AuditEvent.objects.filter(organization_id=organization_id, sequence=row.sequence)
    kind = chance.randrange(4)
    if kind == 0:
        one.delete()
    elif kind == 1:
        AuditEvent.objects.filter(organization_id=organization_id, sequence__gte=row.sequence).delete()
    elif kind == 2:  # noqa: PLR2004 - the third of four kinds
        one.update(actor_name=row.actor_name + "!")
    else:
        one.update(after={"amount_nano": 1})
