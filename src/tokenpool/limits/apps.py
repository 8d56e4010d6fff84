"""Registers the room's tables with Django."""

from django.apps import AppConfig


class LimitsConfig(AppConfig):
    """The limits room."""

    name = "tokenpool.limits"
    label = "limits"
