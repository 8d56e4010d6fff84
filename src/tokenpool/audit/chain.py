"""The chain of hashes: each event's hash covers its own fields and the hash before it."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC

from tokenpool.audit.models import AuditEvent, AuditHead

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Break:
    """The first row at which a chain does not hold, and why."""

    sequence: int
    reason: str


def hash_of(event: AuditEvent) -> str:
    """Return the SHA-256 (hex) of the event's canonical JSON, the previous hash included."""
    facts = [
        event.organization_id,
        event.sequence,
        event.id,
        event.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        event.actor_type,
        event.actor_id,
        event.actor_name,
        event.action,
        event.subject_type,
        event.subject_id,
        event.before,
        event.after,
        event.previous_hash,
    ]
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def verify(organization_id: str) -> Break | None:
    """Walk an organization's chain; return the first break, or None when every link holds.

    Finds an edited, removed, inserted or reordered row, and a cut-off end.
    """
    sequence, previous = 0, GENESIS
    rows = AuditEvent.objects.filter(organization_id=organization_id).order_by("sequence")
    for event in rows.iterator(chunk_size=1000):
        sequence += 1
        if event.sequence != sequence:
            return Break(sequence, f"row {sequence} is missing; row {event.sequence} follows")
        if event.previous_hash != previous:
            return Break(sequence, f"row {sequence} does not follow the row before it")
        if event.hash != hash_of(event):
            return Break(sequence, f"row {sequence} ({event.action}, {event.id}) was changed after it was written")
        previous = event.hash
    head = AuditHead.objects.filter(organization_id=organization_id).first()
    ends_at = (head.sequence, head.hash) if head else (0, GENESIS)
    if ends_at != (sequence, previous):
        return Break(sequence + 1, f"the chain ends at row {sequence}, its head says row {ends_at[0]}")
    return None
