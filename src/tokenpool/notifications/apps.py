"""Registers the room's tables with Django."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """The notifications room."""

    name = "tokenpool.notifications"
    label = "notifications"
