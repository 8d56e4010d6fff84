"""Registers the console with Django, and its ears for sign-ins."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The console room."""

    name = "tokenpool.console"
    label = "console"

    def ready(self) -> None:
        """Connect the signals."""
        from tokenpool.console import sign_in  # noqa: F401, PLC0415 - importing connects; models are ready only now
