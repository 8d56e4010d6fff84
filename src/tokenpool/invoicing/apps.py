"""Registers the room's tables with Django."""

from django.apps import AppConfig


class InvoicingConfig(AppConfig):
    """The invoicing room."""

    name = "tokenpool.invoicing"
    label = "invoicing"
