"""The providers that the operator named: `[upstreams.NAME]` in `tokenpool.toml`, or the one of the environment.

Destinations come from here alone. A key belongs to the origin it was first sent to: a destination
that changes its origin loses its key, so whoever can change an address cannot have the key sent there.
"""

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tokenpool.config import addresses
from tokenpool.gateway.provider_paths import check_listed
from tokenpool.kernel.errors import InvalidInput

FORMATS = ("anthropic", "openai")
WHEN_LEFT = ("cancel", "drain")
KEYS_FILE = "upstream_keys.json"
KEYS = {"url", "format", "api_key", "api_key_file", "models", "client_leaves", "prices", "internal", "pass_through"}


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """One provider: where it is, what it speaks, which models it serves, what happens when a client leaves."""

    name: str
    url: str
    api_key: str
    speaks: str = "anthropic"
    models: tuple[str, ...] = ("*",)
    drains: bool = False
    prices: str = ""  # the provider whose price rows its models must have; empty: any
    internal: bool = False
    passes: tuple[str, ...] = ()  # first words of further paths that pass


def single(url: str, api_key: str, speaks: str, pass_through: str) -> UpstreamSettings:
    """Return the one provider of the environment, for every model.

    Raises:
        InvalidInput: an unsafe address, a format that does not exist, or a path that may not pass.
    """
    if speaks not in FORMATS:
        raise InvalidInput(f"upstream_format: must be {' or '.join(FORMATS)}.", field="upstream_format")
    addresses.check_upstream("upstream_url", url, internal=False)
    listed = [path.strip() for path in pass_through.split(",") if path.strip()]
    passes = check_listed("upstream_pass_through", speaks, listed)
    return UpstreamSettings("default", url, api_key, speaks, drains=speaks == "openai", passes=passes)


def read(table: object) -> tuple[UpstreamSettings, ...]:
    """Return the providers of the `upstreams` table, in the order of the file; the first that fits a model serves it.

    Raises:
        InvalidInput: an unknown name, a wrong value or an unsafe address, by its path.
    """
    if not isinstance(table, dict) or not table:
        raise InvalidInput("upstreams: must be tables like [upstreams.anthropic].", field="upstreams")
    return tuple(_one(name, entry) for name, entry in table.items())


def bind_keys(upstreams: tuple[UpstreamSettings, ...], *, folder: Path, secret: str) -> None:
    """Remember to which origin each key goes (as a keyed hash); loopback is no destination.

    Raises:
        InvalidInput: a key that went to another origin before.
    """
    path = folder / KEYS_FILE
    before: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    known = dict(before)
    for one in upstreams:
        if not one.api_key or addresses.is_loopback(one.url):
            continue
        mark = hmac.new(secret.encode(), one.api_key.encode(), hashlib.sha256).hexdigest()[:32]
        to = addresses.origin(one.url)
        if known.setdefault(mark, to) != to:
            raise InvalidInput(
                f"upstreams.{one.name}: its key was used for {known[mark]} and would now go to {to}. A changed "
                f"destination needs a key of its own; if this one is right, remove “{mark}” from {path}.",
                field=f"upstreams.{one.name}.url",
            )
    if known == before:
        return
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{KEYS_FILE}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(known, file, indent=1)
    (folder / f"{KEYS_FILE}.part").rename(path)


def _one(name: str, entry: object) -> UpstreamSettings:
    place = f"upstreams.{name}"
    if not isinstance(entry, dict):
        _refuse(place, "must be a table")
    for key in entry:
        if key not in KEYS:
            _refuse(f"{place}.{key}", f"there is no such setting; there are {', '.join(sorted(KEYS))}")
    speaks = _choice(entry, f"{place}.format", FORMATS, "anthropic")
    internal = entry.get("internal", False)
    if type(internal) is not bool:
        _refuse(f"{place}.internal", "must be true or false")
    url = _text(entry, f"{place}.url")
    addresses.check_upstream(f"{place}.url", url, internal=internal)
    left = _choice(entry, f"{place}.client_leaves", WHEN_LEFT, "drain" if speaks == "openai" else "cancel")
    return UpstreamSettings(
        name=name,
        url=url,
        api_key=_key(entry, place, internal=internal),
        speaks=speaks,
        models=_patterns(entry, f"{place}.models"),
        drains=left == "drain",
        prices=_text(entry, f"{place}.prices") if "prices" in entry else "",
        internal=internal,
        passes=check_listed(f"{place}.pass_through", speaks, entry.get("pass_through", [])),
    )


def _key(entry: dict[str, Any], place: str, *, internal: bool) -> str:
    if "api_key" in entry and "api_key_file" in entry:
        _refuse(f"{place}.api_key", "stands beside api_key_file; keep one")
    if "api_key_file" in entry:
        return secret_from(f"{place}.api_key_file", _text(entry, f"{place}.api_key_file"))
    if "api_key" in entry:
        return _text(entry, f"{place}.api_key")
    if not internal:
        _refuse(f"{place}.api_key", "is missing; give api_key or api_key_file")
    return ""


def _patterns(entry: dict[str, Any], place: str) -> tuple[str, ...]:
    models = entry.get("models", ["*"])
    if not isinstance(models, list) or not models or not all(isinstance(one, str) and one for one in models):
        _refuse(place, 'must be a list of names, “*” for any text, like ["gpt-*", "o*"]')
    return tuple(models)


def _choice(entry: dict[str, Any], place: str, choices: tuple[str, ...], usual: str) -> str:
    value = entry.get(place.rpartition(".")[2], usual)
    if value not in choices:
        _refuse(place, f"must be {' or '.join(choices)}")
    return str(value)


def _text(entry: dict[str, Any], place: str) -> str:
    value = entry.get(place.rpartition(".")[2])
    if not isinstance(value, str) or not value.strip():
        _refuse(place, "must be a text")
    return value


def secret_from(name: str, path: str) -> str:
    """Return the secret in the file at *path*.

    Raises:
        InvalidInput: it cannot be read or is empty; names *name*.
    """
    try:
        secret = Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInput(f"{name}: {path} cannot be read ({reason}).", field=name) from error
    if not secret:
        raise InvalidInput(f"{name}: {path} is empty.", field=name)
    return secret


def _refuse(place: str, reason: str) -> NoReturn:
    raise InvalidInput(f"{place}: {reason}.", field=place)
