"""Registers the room's tables with Django."""

from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    """The organizations room."""

    name = "tokenpool.organizations"
    label = "organizations"
