"""The one way a principal's change is written to the audit chain and told to cached facts."""

from typing import Any

from django.db.models import F

from tokenpool.audit import record
from tokenpool.audit.actions import Action
from tokenpool.organizations.models import Gate
from tokenpool.organizations.roles import Principal


def note(
    by: Principal,
    action: Action,
    subject: tuple[str, str],
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Append an audit event of *by* about *subject* (type, id); inside the change's transaction."""
    record.append(
        organization_id=by.organization_id,
        actor_type=by.actor_type,
        actor_id=by.actor_id,
        actor_name=by.name,
        action=action,
        subject_type=subject[0],
        subject_id=subject[1],
        before=before,
        after=after,
    )


def bump(organization_id: str) -> None:
    """Raise the gate's version: facts of credentials read before this transaction are stale after it."""
    Gate.objects.filter(organization_id=organization_id).update(version=F("version") + 1)
