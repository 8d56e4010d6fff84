"""What the operator set: `TOKENPOOL_*` variables over `DATA/tokenpool.toml`, each checked by name.

An unknown name or an unsafe value stops the start with the field and the remedy. Secrets may come
from a file: `TOKENPOOL_SECRET_KEY_FILE`, or `secret_key_file` in the settings file, and so on.
"""

import os
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tokenpool.config import upstreams
from tokenpool.config.addresses import check_origin
from tokenpool.config.upstreams import UpstreamSettings, secret_from
from tokenpool.kernel.errors import InvalidInput

PREFIX = "TOKENPOOL_"
DEFAULT_DATA = ".tokenpool"
SECRETS = ("secret_key", "upstream_api_key", "smtp_password", "database_url")


@dataclass(frozen=True, slots=True)
class Environment:
    """Every setting, with its default. The names in the environment are these in capitals."""

    data: str = DEFAULT_DATA  # the folder of everything a single machine needs
    config: str = ""  # the settings file; empty: DATA/tokenpool.toml
    database_url: str = ""  # postgresql://user:password@host/database; empty: SQLite in the data folder
    secret_key: str = ""  # empty: DATA/secret_key, made by `tokenpool init`
    port: str = "8787"  # what `tokenpool serve` listens on
    public_url: str = ""  # what people and clients open; empty: this machine at that port
    upstream_url: str = ""  # the provider's base address, e.g. https://api.anthropic.com
    upstream_api_key: str = ""
    upstream_format: str = "anthropic"  # or openai
    upstream_pass_through: str = ""  # further paths of it, e.g. /v1/files, /v1/skills
    member_requests: str = "1000"  # at once in one process; 0: any number
    batch_requests: str = "10000"  # in one message batch at most
    smtp_host: str = ""  # empty: mail is written to DATA/mail
    smtp_port: str = "587"
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_tls: str = "yes"  # yes or no
    mail_from: str = "tokenpool@localhost"
    operator_email: str = ""  # who hears of models without a price
    demo: str = ""  # yes: the simulated provider answers and mail goes to a folder
    upstreams: tuple[UpstreamSettings, ...] = ()  # the file's [upstreams] tables, or the one of upstream_url

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
    texts, table = _from_file(_file(given, folder))
    merged: dict[str, Any] = {**texts, **given}
    merged.setdefault("secret_key", _stored_secret(folder))
    settings = Environment(**merged)
    _check_numbers(settings)
    settings = replace(settings, public_url=_public_url(settings))
    settings = replace(settings, upstreams=_upstreams(settings, table))
    if settings.database_url and not settings.database_url.startswith(("postgresql://", "postgres://")):
        raise InvalidInput(
            "database_url: must be like postgresql://user@host/database; leave it unset for SQLite.",
            field="database_url",
        )
    return settings


def make_secret(folder: Path) -> None:
    """Write DATA/secret_key (mode 0600) unless it exists."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "secret_key"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))


def _check_numbers(settings: Environment) -> None:
    for name, example in (
        ("port", "8787"),
        ("smtp_port", "587"),
        ("member_requests", "1000"),
        ("batch_requests", "10000"),
    ):
        if not getattr(settings, name).isdecimal():
            raise InvalidInput(f"{name}: must be a number such as {example}.", field=name)


def _public_url(settings: Environment) -> str:
    """Return the address to which paths are added: a safe origin, without the slash that people write after it."""
    url = settings.public_url.removesuffix("/") or f"http://127.0.0.1:{settings.port}"
    check_origin("public_url", url)
    return url


def _upstreams(settings: Environment, table: object) -> tuple[UpstreamSettings, ...]:
    if settings.demo == "yes":
        simulated = f"{settings.public_url}/simulated-provider"
        return (
            UpstreamSettings("simulated", simulated, "simulated", models=("claude-*",)),
            UpstreamSettings("simulated-openai", f"{simulated}/v1", "simulated", speaks="openai", drains=True),
        )
    if table is not None and settings.upstream_url:
        raise InvalidInput(
            "upstream_url: the settings file has [upstreams] already; move this one into them.", field="upstream_url"
        )
    if table is not None:
        return upstreams.read(table)
    if not settings.upstream_url:
        return ()
    given = (settings.upstream_url, settings.upstream_api_key, settings.upstream_format)
    return (upstreams.single(*given, settings.upstream_pass_through),)


def _from_variables(environ: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name.endswith("_file") and name.removesuffix("_file") in SECRETS:
            found[name.removesuffix("_file")] = secret_from(variable, value)
        elif name in NAMES:
            found[name] = value
        else:
            raise InvalidInput(
                f"{variable}: there is no such setting; the settings are listed in docs/settings.md.",
                field=variable,
            )
    return found


def _file(given: Mapping[str, str], folder: Path) -> Path:
    """Return the settings file, which must exist when it was named."""
    if "config" not in given:
        return folder / "tokenpool.toml"
    path = Path(given["config"]).expanduser()
    if not path.is_file():
        raise InvalidInput(f"TOKENPOOL_CONFIG: there is no file {path}.", field="config")
    return path


def _from_file(path: Path) -> tuple[dict[str, str], object]:
    """Return the settings that are texts, and the table of upstreams or None."""
    if not path.exists():
        return {}, None
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: {error}", field=str(path)) from error
    found: dict[str, str] = {}
    upstream_table = table.pop("upstreams", None)
    for name, value in table.items():
        if name.endswith("_file") and name.removesuffix("_file") in SECRETS:
            found[name.removesuffix("_file")] = secret_from(name, str(value))
        elif name in NAMES - {"data", "config"}:
            found[name] = str(value)
        else:
            raise InvalidInput(
                f"{path}: {name}: there is no such setting; the settings are listed in docs/settings.md.",
                field=name,
            )
    return found, upstream_table


def _stored_secret(folder: Path) -> str:
    path = folder / "secret_key"
    return path.read_text().strip() if path.exists() else ""


NAMES = {field.name for field in fields(Environment)} - {"upstreams"}
