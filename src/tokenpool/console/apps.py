"""Registers the room's tables with Django."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console room."""

    name = "tokenpool.console"
    label = "console"
