"""What the operator set: `TOKENPOOL_*` variables over `DATA/tokenpool.toml`, each checked by name.

An unknown name or an unsafe value stops the start with the field and the remedy. Secrets may come
from a file: `TOKENPOOL_SECRET_KEY_FILE` and so on.
"""

import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from tokenpool.kernel.errors import InvalidInput

PREFIX = "TOKENPOOL_"
DEFAULT_DATA = ".tokenpool"
SECRETS = ("secret_key", "upstream_api_key", "smtp_password", "database_url")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Environment:
    """Every setting, with its default. The names in the environment are these in capitals."""

    data: str = DEFAULT_DATA  # the folder of everything a single machine needs
    database_url: str = ""  # postgresql://user:password@host/database; empty: SQLite in the data folder
    secret_key: str = ""  # empty: DATA/secret_key, made by `tokenpool init`
    public_url: str = "http://127.0.0.1:8787"  # what people and clients open
    upstream_url: str = ""  # the provider's base address, e.g. https://api.anthropic.com
    upstream_api_key: str = ""
    smtp_host: str = ""  # empty: mail is written to DATA/mail
    smtp_port: str = "587"
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_tls: str = "yes"  # yes or no
    mail_from: str = "tokenpool@localhost"
    operator_email: str = ""  # who hears of models without a price
    demo: str = ""  # yes: the simulated provider answers and mail goes to a folder

    @property
    def folder(self) -> Path:
        """The data folder as an absolute path."""
        return Path(self.data).expanduser().resolve()

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.folder / "tokenpool.sqlite3"


def read(environ: Mapping[str, str] | None = None) -> Environment:
    """Read the settings of this process.

    Raises:
        InvalidInput: an unknown name, an unreadable secret file, or an unsafe value.
    """
    given = _from_variables(os.environ if environ is None else environ)
    folder = Path(given.get("data", DEFAULT_DATA)).expanduser()
    merged = {**_from_file(folder / "tokenpool.toml"), **given}
    merged.setdefault("secret_key", _stored_secret(folder))
    settings = Environment(**merged)
    for name in ("upstream_url", "public_url"):
        check_url(name, getattr(settings, name))
    if settings.database_url and not settings.database_url.startswith(("postgresql://", "postgres://")):
        raise InvalidInput(
            "database_url: must be like postgresql://user@host/database; leave it unset for SQLite.",
            field="database_url",
        )
    if not settings.smtp_port.isdecimal():
        raise InvalidInput("smtp_port: must be a number such as 587.", field="smtp_port")
    return settings


def check_url(name: str, url: str) -> None:
    """Refuse an address that is not https, except http on loopback.

    Raises:
        InvalidInput: naming *name* and the remedy.
    """
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname and not parts.username:
        return
    if parts.scheme == "http" and parts.hostname in LOOPBACK and not parts.username:
        return
    raise InvalidInput(
        f"{name}: “{url}” is not safe; use https:// (plain http only on 127.0.0.1, localhost or ::1).",
        field=name,
    )


def make_secret(folder: Path) -> None:
    """Write DATA/secret_key (mode 0600) unless it exists."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "secret_key"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))


def _from_variables(environ: Mapping[str, str]) -> dict[str, str]:
    known = {field.name for field in fields(Environment)}
    found: dict[str, str] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name.endswith("_file") and name.removesuffix("_file") in SECRETS:
            found[name.removesuffix("_file")] = _secret_from(variable, value)
        elif name in known:
            found[name] = value
        else:
            raise InvalidInput(
                f"{variable}: there is no such setting; the settings are listed in docs/settings.md.",
                field=variable,
            )
    return found


def _from_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path}: {error}", field=str(path)) from error
    known = {field.name for field in fields(Environment)} - {"data"}
    for name in table:
        if name not in known:
            raise InvalidInput(
                f"{path}: {name}: there is no such setting; the settings are listed in docs/settings.md.",
                field=name,
            )
    return {name: str(value) for name, value in table.items()}


def _secret_from(variable: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise InvalidInput(f"{variable}: {path} cannot be read ({error.strerror}).", field=variable) from error


def _stored_secret(folder: Path) -> str:
    path = folder / "secret_key"
    return path.read_text().strip() if path.exists() else ""
