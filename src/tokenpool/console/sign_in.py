"""Signing in: nobody signs up by themselves, and every sign-in is told to the person's organizations."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.signals import password_reset
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from tokenpool.audit import record
from tokenpool.audit.actions import Action
from tokenpool.organizations.models import Member, Person


class Adapter(DefaultAccountAdapter):
    """Closes public sign-up: members are added by their organization."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 - allauth's signature
        """Never."""
        return False


@receiver(password_reset)
def note_own_password(user: Person, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
    """Remember that the owner of the mailbox has chosen the password; who merely knew the old one proves nothing."""
    Person.objects.filter(id=user.id).update(password_given_by="")


@receiver(user_logged_in)
def note_sign_in(user: Person, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
    """Write a sign-in to the audit of every organization the person belongs to."""
    _note(user, Action.SIGNED_IN)


@receiver(user_login_failed)
def note_failure(credentials: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - a signal's extras
    """Write a failed attempt on a known address to its organizations; unknown addresses leave no trace here."""
    email = str(credentials.get("email") or credentials.get("username") or "").strip().lower()
    person = Person.objects.filter(email=email).first()
    if person is not None:
        _note(person, Action.SIGN_IN_FAILED)


def _note(person: Person, action: Action) -> None:
    for member in Member.objects.filter(person_id=person.id, removed_at=None):
        with transaction.atomic():
            record.append(
                organization_id=member.organization_id,
                actor_type="user_actor",
                actor_id=member.id,
                actor_name=member.email,
                action=action,
                subject_type="member",
                subject_id=member.id,
            )
