"""Devices that ask to be signed in (RFC 8628): a device shows a code, a member types it on the page and decides.

Codes are short because people type them: 20^8 of them, for ten minutes, each looked up ten times at
most. What a device calls itself is its own word; only a client that is known is named.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Network, ip_address

from django.db import transaction
from django.db.models import F
from django.utils.crypto import salted_hmac

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Conflict, NotAllowed
from tokenpool.organizations import seats, trail
from tokenpool.organizations.models import DeviceRequest, Gate, Member, Person
from tokenpool.organizations.roles import Principal

PRODUCT = "claude_code"
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words; no digits to mistake (RFC 8628 6.1)
CODE_LENGTH = 8
CODE_SECONDS = 600
POLL_SECONDS = 5
MOST_LOOKED_UP = 10
MOST_WAITING = 10_000
MOST_WAITING_AT_ADDRESS = 100
KEPT = timedelta(hours=1)
_KNOWN_CLIENT = re.compile(r"claude-code/(\d{1,4}(?:\.\d{1,6}){1,3})(?![\w.-])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a device is given: the secret it polls with and the code it shows."""

    device_code: str
    user_code: str
    expires_in: int = CODE_SECONDS
    interval: int = POLL_SECONDS


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer of RFC 6749 or 8628 that is not a token: its code and a sentence for the person."""

    error: str
    description: str


def ask(*, user_agent: str, address: str) -> Asked | Refused:
    """Open a request of a device at *address*; `slow_down` when too many wait already."""
    now, place = clock.now(), _place(address)
    DeviceRequest.objects.filter(expires_at__lt=now - KEPT).delete()
    waiting = DeviceRequest.objects.filter(state="waiting", expires_at__gt=now)
    if waiting.filter(address=place).count() >= MOST_WAITING_AT_ADDRESS or waiting.count() >= MOST_WAITING:
        return Refused("slow_down", "Too many devices wait to be signed in; try again in a few minutes.")
    asked = Asked(secrets.token_urlsafe(32), "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH)))
    DeviceRequest.objects.create(
        id=ids.new("device"),
        device_code_hash=hash_secret(asked.device_code),
        user_code_hash=_hash_code(asked.user_code),
        client=_client(user_agent),
        address=place,
        asked_at=now,
        expires_at=now + timedelta(seconds=CODE_SECONDS),
    )
    return asked


def look_up(code: str) -> DeviceRequest | None:
    """Return the request behind a typed *code*, None when there is none; the tenth time is the last."""
    found = DeviceRequest.objects.filter(user_code_hash=_hash_code(normalized(code))).first()
    if found is not None:
        found.looked_up += 1
        DeviceRequest.objects.filter(id=found.id).update(looked_up=F("looked_up") + 1)
    return found


def state_of(request: DeviceRequest, now: datetime) -> str:
    """Return waiting, approved, denied, used or expired."""
    worn = request.looked_up > MOST_LOOKED_UP or request.expires_at <= now
    return "expired" if worn and request.state in ("waiting", "approved") else request.state


def decide(*, by: Principal, request: DeviceRequest, approved: bool) -> None:
    """Let the device in as the member *by*, or turn it away; once.

    Raises:
        NotAllowed: the member was removed, or their seat does not open Claude Code.
        Conflict: it was decided meanwhile, or the code has expired.
    """
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        if approved and admitted(by.organization_id, by.member_id) is None:
            raise NotAllowed("Your seat type does not include Claude Code; ask an admin for one that does.")
        waiting = DeviceRequest.objects.filter(id=request.id, state="waiting")
        told = {"state": "approved" if approved else "denied", "organization_id": by.organization_id}
        if state_of(request, clock.now()) != "waiting" or not waiting.update(**told, member_id=by.member_id):
            raise Conflict("This code has expired or was decided already; start again on the device.")
        action = Action.DEVICE_APPROVED if approved else Action.DEVICE_DENIED
        trail.note(by, action, ("device", request.id), after={"client": request.client, "address": request.address})


def admitted(organization_id: str, member_id: str) -> Member | None:
    """Return the present member whose person may sign in and whose seat opens Claude Code, else None."""
    member = Member.objects.filter(organization_id=organization_id, id=member_id, removed_at=None).first()
    if member is None or not seats.opens(organization_id, member.seat_type, PRODUCT):
        return None
    return member if Person.objects.filter(id=member.person_id, is_active=True).exists() else None


def normalized(code: str) -> str:
    """Return a code as it was made, however it was typed: letters alone, in capitals."""
    return re.sub(r"[^A-Z]", "", code.upper()[:40])


def written(code: str) -> str:
    """Return a code as people read it: `WDJB-MJHT`."""
    return f"{code[: CODE_LENGTH // 2]}-{code[CODE_LENGTH // 2 :]}"


def hash_secret(secret: str) -> str:
    """Return the SHA-256 (hex) under which a device's secrets are kept; all have 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _hash_code(code: str) -> str:
    """A short code needs a key: nobody who reads the table can try them all."""
    return salted_hmac("tokenpool.organizations.devices", code, algorithm="sha256").hexdigest()


def _place(address: str) -> str:
    """Return what one customer of a network has: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:40]
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((int(found), 64), strict=False))


def _client(user_agent: str) -> str:
    known = _KNOWN_CLIENT.match(user_agent)
    return f"Claude Code {known[1]}"[:40] if known else ""
