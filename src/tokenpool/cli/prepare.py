"""What every command begins with: the options they share, the settings, Django, the present schema."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tokenpool.config import environment

Data = Annotated[Path, typer.Option("--data", help="The folder of everything this machine needs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
DATA = Path(environment.DEFAULT_DATA)


def prepare(data: Path, **settings: str) -> environment.Environment:
    """Set this process's settings, start Django, and bring the database to the present schema."""
    os.environ["TOKENPOOL_DATA"] = str(data.expanduser().resolve())
    for name, value in settings.items():
        os.environ[f"TOKENPOOL_{name.upper()}"] = value
    environment.make_secret(data.expanduser())
    found = environment.read()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tokenpool.config.settings"
    import django  # noqa: PLC0415 - only now are its settings known
    from django.core.management import call_command  # noqa: PLC0415

    django.setup(set_prefix=False)
    call_command("migrate", verbosity=0)
    return found
