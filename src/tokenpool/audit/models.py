"""The audit tables: one chain per organization, rows only ever added."""

from django.db import models


class AuditEvent(models.Model):
    """One change by a person, a key or the system, linked to the one before it by its hash."""

    pk = models.CompositePrimaryKey("organization_id", "sequence")
    organization_id = models.CharField(max_length=40)
    sequence = models.BigIntegerField()
    id = models.CharField(max_length=40)
    created_at = models.DateTimeField()
    actor_type = models.CharField(
        max_length=24
    )  # user_actor, api_actor, admin_api_key_actor, system_actor, operator_actor
    actor_id = models.CharField(max_length=40)
    actor_name = models.CharField(max_length=254)
    action = models.CharField(max_length=64)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=120)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization_id", "id"], name="audit_id_once")]


class AuditHead(models.Model):
    """Where an organization's chain ends; locked while a link is added."""

    organization_id = models.CharField(max_length=40, primary_key=True)
    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="0" * 64)
