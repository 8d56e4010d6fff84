"""Registers the room's tables with Django."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The audit room."""

    name = "tokenpool.audit"
    label = "audit"
