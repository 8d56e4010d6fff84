"""What every command begins with: the options they share, the settings, Django, the present schema."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from tokenpool.config import environment
from tokenpool.kernel.errors import InvalidInput

Data = Annotated[Path, typer.Option("--data", help="The folder of everything this machine needs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
DATA = Path(environment.DEFAULT_DATA)


_LOCK_OF_SCHEMA = 0x746F6B656E  # PostgreSQL's name of the lock: "token"


def prepare(data: Path, **settings: str) -> environment.Environment:
    """Set this process's settings, start Django, and bring the database to the present schema, one at a time."""
    os.environ["TOKENPOOL_DATA"] = str(data.expanduser().resolve())
    for name, value in settings.items():
        os.environ[f"TOKENPOOL_{name.upper()}"] = value
    with _alone_on(data.expanduser()):
        environment.make_secret(data.expanduser())
        found = environment.read()
        os.environ["DJANGO_SETTINGS_MODULE"] = "tokenpool.config.settings"
        import django  # noqa: PLC0415 - only now are its settings known

        django.setup(set_prefix=False)
        _migrate()
    return found


@contextmanager
def _alone_on(folder: Path) -> Iterator[None]:
    """Wait until no other process prepares this data folder."""
    with lock_file(folder, "preparing.lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lock_file(folder: Path, name: str) -> TextIO:
    """Open a file to lock in the data folder, which is made for this account alone if it is missing.

    Raises:
        InvalidInput: the folder cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return (folder / name).open("w")
    except OSError as error:
        raise InvalidInput(
            f"--data: {folder} cannot be written ({error.strerror}); name a folder that this account may write.",
            field="data",
        ) from error


def _migrate() -> None:
    """Migrate; on PostgreSQL under a lock that other machines wait for."""
    from django.core.management import call_command  # noqa: PLC0415 - only now are its settings known
    from django.db import connection  # noqa: PLC0415

    if connection.vendor != "postgresql":
        call_command("migrate", verbosity=0)
        return
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s)", [_LOCK_OF_SCHEMA])
        try:
            call_command("migrate", verbosity=0)
        finally:
            cursor.execute("select pg_advisory_unlock(%s)", [_LOCK_OF_SCHEMA])
