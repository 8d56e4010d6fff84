"""The audit chain: every kind of tampering is found at its row."""

from pathlib import Path

import pytest
from django.db import connection, transaction

from builders import aurora
from tokenpool.audit import chain, record
from tokenpool.audit.actions import Action
from tokenpool.audit.models import AuditEvent, AuditHead


def test_an_untouched_chain_verifies(database: Path) -> None:
    """Founding an organization of seven writes nineteen linked rows or more."""
    found = aurora()

    assert chain.verify(found.organization_id) is None
    assert AuditHead.objects.get().sequence == AuditEvent.objects.count() > 12


@pytest.mark.parametrize(
    ("sql", "row", "said"),
    [
        ("update audit_auditevent set actor_name = 'nobody' where sequence = 3", 3, "was changed"),
        ('update audit_auditevent set after = \'{"role": "owner"}\' where sequence = 2', 2, "was changed"),
        ("update audit_auditevent set created_at = '2020-01-01 00:00:00' where sequence = 5", 5, "was changed"),
        ("delete from audit_auditevent where sequence = 4", 4, "is missing"),
        (
            "delete from audit_auditevent where sequence = (select max(sequence) from audit_auditevent)",
            None,
            "its head",
        ),
        ("update audit_auditevent set sequence = 99 where sequence = 1", 1, "is missing"),
        ("update audit_auditevent set previous_hash = '0' where sequence = 6", 6, "does not follow"),
    ],
)
def test_tampering_is_found_at_its_row(database: Path, sql: str, row: int | None, said: str) -> None:
    """Edited, removed, reordered or cut off."""
    found = aurora()
    with connection.cursor() as cursor:
        cursor.execute(sql)

    broken = chain.verify(found.organization_id)

    assert broken is not None
    assert said in broken.reason
    assert row in (None, broken.sequence)


def test_an_event_without_a_transaction_is_refused(database: Path) -> None:
    """A change and its record cannot part."""
    with pytest.raises(RuntimeError, match="in the transaction of its change"):
        record.append(
            organization_id="org_a", actor_type="system_actor", actor_id="system", actor_name="Test",
            action=Action.MEMBER_ADDED, subject_type="member", subject_id="user_x",
        )  # fmt: skip


def test_a_change_that_fails_leaves_no_record(database: Path) -> None:
    """They roll back together."""
    found = aurora()
    before = AuditEvent.objects.count()

    def change() -> None:
        with transaction.atomic():
            record.append(
                organization_id=found.organization_id, actor_type="system_actor", actor_id="system",
                actor_name="Test", action=Action.MEMBER_ADDED, subject_type="member", subject_id="user_x",
            )  # fmt: skip
            raise ValueError("second thoughts")

    with pytest.raises(ValueError, match="second thoughts"):
        change()

    assert before == AuditEvent.objects.count()
    assert chain.verify(found.organization_id) is None
