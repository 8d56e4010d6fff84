"""Which addresses are safe to open or to send a key to, and what of an address a key is bound to."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from tokenpool.kernel.errors import InvalidInput

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HOST = re.compile(r"[A-Za-z0-9.:-]+", re.ASCII)  # what every parser of addresses reads the same way


def check_origin(name: str, url: str) -> None:
    """Refuse an address that is not https, except http on loopback, or that has more than scheme, host and port.

    Raises:
        InvalidInput: naming *name* and the remedy.
    """
    parts = _split(name, url)
    if parts.path or parts.query or parts.fragment:
        raise InvalidInput(
            f"{name}: “{url}” must end after host and port; Tokenpool serves no part of a site.", field=name
        )
    if not _is_safe(parts, plain=False):
        raise InvalidInput(
            f"{name}: “{url}” is not safe; use https:// (plain http only on 127.0.0.1, localhost or ::1).",
            field=name,
        )


def check_upstream(name: str, url: str, *, internal: bool) -> None:
    """Refuse a provider's address that is not https in public, http on loopback, or said to be internal.

    Raises:
        InvalidInput: naming *name* and the remedy.
    """
    parts = _split(name, url)
    if parts.query or parts.fragment:
        raise InvalidInput(f"{name}: “{url}” is no base address; leave out what follows ? or #.", field=name)
    if not _is_safe(parts, plain=internal):
        raise InvalidInput(
            f"{name}: “{url}” is not safe; use https:// (plain http only on 127.0.0.1, localhost or ::1, "
            "or with internal = true on a network of your own).",
            field=name,
        )
    if not internal and parts.hostname not in LOOPBACK and _is_private(parts.hostname or ""):
        raise InvalidInput(f"{name}: “{url}” is a private address; say internal = true if it is meant.", field=name)


def origin(url: str) -> str:
    """Return what a key is bound to: scheme, host and port."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def owns_its_host(url: str) -> bool:
    """Tell whether *url* is https on the port that a name has by default, so that its host is ours to speak for."""
    parts = urlsplit(url)
    return parts.scheme == "https" and parts.port in (None, 443) and parts.hostname not in LOOPBACK


def is_loopback(url: str) -> bool:
    """Tell whether what is sent to *url* stays on this machine."""
    return urlsplit(url).hostname in LOOPBACK


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a port that is none raises here
    except ValueError as error:
        raise InvalidInput(f"{name}: “{url}” is no address: {error}.", field=name) from error
    return parts


def _is_safe(parts: SplitResult, *, plain: bool) -> bool:
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and (plain or parts.hostname in LOOPBACK))


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return False  # a name; what it resolves to is looked at when it is connected to
