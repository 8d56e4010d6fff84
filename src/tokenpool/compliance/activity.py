"""The activity feed in Anthropic's shape, newest first, over the audit chain."""

from datetime import UTC, datetime
from typing import Any

from tokenpool.audit.models import AuditEvent
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.organizations.roles import Principal, Right

MOST = 5000
_COMPARISONS = ("gte", "gt", "lte", "lt")


def list_activities(
    *,
    by: Principal,
    activity_types: tuple[str, ...] = (),
    exclude_activity_types: tuple[str, ...] = (),
    actor_ids: tuple[str, ...] = (),
    created_at: dict[str, datetime] | None = None,
    after_id: str = "",
    before_id: str = "",
    limit: int = 100,
) -> dict[str, Any]:
    """Return a page of activities; *after_id* goes on towards the past, *before_id* towards the present.

    Raises:
        NotAllowed: without the right to see the audit.
        InvalidInput: a limit outside 1 to 5,000, an unknown cursor or comparison.
    """
    by.require(Right.SEE_AUDIT)
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"limit: must lie between 1 and {MOST}.", field="limit")
    if after_id and before_id:
        raise InvalidInput("after_id: give after_id or before_id, not both.", field="after_id")
    rows = AuditEvent.objects.filter(organization_id=by.organization_id)
    if activity_types:
        rows = rows.filter(action__in=activity_types)
    if exclude_activity_types:
        rows = rows.exclude(action__in=exclude_activity_types)
    if actor_ids:
        rows = rows.filter(actor_id__in=actor_ids)
    for comparison, instant in (created_at or {}).items():
        if comparison not in _COMPARISONS:
            raise InvalidInput("created_at: compare with gte, gt, lte or lt.", field="created_at")
        rows = rows.filter(**{f"created_at__{comparison}": instant})
    if before_id:
        rows = rows.filter(sequence__gt=_sequence(by, before_id, "before_id")).order_by("sequence")
    else:
        rows = rows.filter(sequence__lt=_sequence(by, after_id, "after_id")) if after_id else rows
        rows = rows.order_by("-sequence")
    found = list(rows[: limit + 1])
    page = found[:limit]
    if before_id:
        page.reverse()
    return {
        "data": [as_activity(event) for event in page],
        "has_more": len(found) > limit,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def as_activity(event: AuditEvent) -> dict[str, Any]:
    """Return one audit event in the feed's shape."""
    actor: dict[str, Any] = {"type": event.actor_type, "name": event.actor_name}
    if event.actor_type == "user_actor":
        actor = {"type": "user_actor", "user_id": event.actor_id, "email_address": event.actor_name}
    elif event.actor_type.endswith("key_actor") or event.actor_type == "api_actor":
        actor["api_key_id"] = event.actor_id
    return {
        "id": event.id,
        "type": event.action,
        "created_at": clock.text(event.created_at.astimezone(UTC), "microseconds"),
        "organization_id": event.organization_id,
        "organization_uuid": event.organization_id,
        "actor": actor,
        "subject": {"type": event.subject_type, "id": event.subject_id},
        "before": event.before,
        "after": event.after,
        "sequence": event.sequence,
        "hash": event.hash,
    }


def _sequence(by: Principal, event_id: str, field: str) -> int:
    row = AuditEvent.objects.filter(organization_id=by.organization_id, id=event_id).first()
    if row is None:
        raise InvalidInput(f"{field}: there is no such activity.", field=field)
    return row.sequence
