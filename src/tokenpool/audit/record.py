"""Writing an audit event: in the transaction of the change it tells of, or not at all."""

from typing import Any

from django.db import connection

from tokenpool.audit import chain
from tokenpool.audit.actions import Action
from tokenpool.audit.models import AuditEvent, AuditHead
from tokenpool.kernel import clock, ids

Facts = dict[str, Any]


def append(
    *,
    organization_id: str,
    actor_type: str,
    actor_id: str,
    actor_name: str,
    action: Action,
    subject_type: str,
    subject_id: str,
    before: Facts | None = None,
    after: Facts | None = None,
) -> AuditEvent:
    """Add one event to the organization's chain and return it.

    *before* and *after* are JSON facts without secrets. Must run inside the caller's transaction.

    Raises:
        RuntimeError: no transaction is open, so the change and its record could part.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("An audit event must be written in the transaction of its change.")
    head, _ = AuditHead.objects.select_for_update().get_or_create(organization_id=organization_id)
    event = AuditEvent(
        organization_id=organization_id,
        sequence=head.sequence + 1,
        id=ids.new("activity"),
        created_at=clock.now(),
        actor_type=actor_type,
        actor_id=actor_id,
        actor_name=actor_name,
        action=action.value,
        subject_type=subject_type,
        subject_id=subject_id,
        before=before,
        after=after,
        previous_hash=head.hash,
    )
    event.hash = chain.hash_of(event)
    event.save(force_insert=True)
    AuditHead.objects.filter(organization_id=organization_id).update(sequence=event.sequence, hash=event.hash)
    return event
