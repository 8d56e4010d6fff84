"""Registers the room's tables with Django."""

from django.apps import AppConfig


class MeteringConfig(AppConfig):
    """The metering room."""

    name = "tokenpool.metering"
    label = "metering"
