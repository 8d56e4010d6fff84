"""Credentials: minted for one product or purpose, shown once, kept as a hash, revocable at once."""

import hashlib
import re
import secrets

from django.db import transaction

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import InvalidInput, NotFound
from tokenpool.organizations import seats, trail
from tokenpool.organizations.founding import checked_name
from tokenpool.organizations.models import ApiKey, Gate, Member
from tokenpool.organizations.roles import Principal, Right

PRODUCTS = ("chat", "claude_code", "api")
KINDS = ("product", "admin", "meter", "compliance")
_SHAPE = re.compile(r"tp-(chat|claude_code|api|admin|meter|compliance)-[A-Za-z0-9_-]{43}", re.ASCII)


def looks_like_key(secret: str) -> bool:
    """Tell whether *secret* has the shape of a key; asked before anything is looked up."""
    return _SHAPE.fullmatch(secret) is not None


def hash_key(secret: str) -> str:
    """Return the SHA-256 (hex) under which a key is kept; 256 random bits need no stretching."""
    return hashlib.sha256(secret.encode()).hexdigest()


def mint(
    *, by: Principal, name: str, kind: str = "product", product: str = "", member_id: str = ""
) -> tuple[ApiKey, str]:
    """Create a credential and return it with its secret, which is never shown again.

    Raises:
        NotAllowed: a key for somebody else, or an admin, meter or compliance key, without the right.
        InvalidInput: an unknown kind or product, or a product the member's seat type does not open.
        NotFound: no such member.
    """
    if kind not in KINDS:
        raise InvalidInput(f"kind: must be one of {', '.join(KINDS)}.", field="kind")
    if kind != "product":
        by.require(Right.OWN)
    elif member_id != by.member_id:
        by.require(Right.MANAGE_MEMBERS)
    name = checked_name("name", name)[:80]
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        if kind == "product":
            _check_product(by, member_id, product)
        else:
            product = member_id = ""
        secret = f"tp-{product or kind}-{secrets.token_urlsafe(32)}"
        key = ApiKey.objects.create(
            organization_id=by.organization_id,
            id=ids.new("apikey"),
            kind=kind,
            product=product,
            member_id=member_id,
            name=name,
            key_hash=hash_key(secret),
            hint=f"{secret[:-39]}…{secret[-4:]}",
            created_at=clock.now(),
            created_by=by.name,
        )
        facts = {"name": name, "kind": kind, "product": product, "member_id": member_id, "hint": key.hint}
        trail.note(by, Action.API_KEY_CREATED, ("api_key", key.id), after=facts)
    return key, secret


def revoke(*, by: Principal, key_id: str) -> None:
    """Revoke a key; its next request is refused. Revoking twice changes nothing.

    Raises:
        NotAllowed: somebody else's key without the right.
        NotFound: no such key.
    """
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=by.organization_id)
        key = ApiKey.objects.filter(organization_id=by.organization_id, id=key_id).first()
        if key is None:
            raise NotFound("There is no such key.")
        if key.kind != "product":
            by.require(Right.OWN)
        elif key.member_id != by.member_id:
            by.require(Right.MANAGE_MEMBERS)
        if key.revoked_at is None:
            key.revoked_at = clock.now()
            key.save(update_fields=["revoked_at"])
            trail.bump(by.organization_id)
            trail.note(by, Action.API_KEY_REVOKED, ("api_key", key.id), before={"name": key.name, "hint": key.hint})


def of_member(*, by: Principal, member_id: str) -> list[ApiKey]:
    """Return a member's keys, newest first, revoked ones included."""
    if member_id != by.member_id:
        by.require(Right.MANAGE_MEMBERS)
    return list(ApiKey.objects.filter(organization_id=by.organization_id, member_id=member_id).order_by("-created_at"))


def every(*, by: Principal) -> list[ApiKey]:
    """Return all keys of the organization that *by* may manage, newest first."""
    by.require(Right.MANAGE_MEMBERS)
    rows = ApiKey.objects.filter(organization_id=by.organization_id)
    if not by.may(Right.OWN):
        rows = rows.filter(kind="product")
    return list(rows.order_by("-created_at"))


def _check_product(by: Principal, member_id: str, product: str) -> None:
    if product not in PRODUCTS:
        raise InvalidInput(f"product: must be one of {', '.join(PRODUCTS)}.", field="product")
    member = Member.objects.filter(organization_id=by.organization_id, id=member_id, removed_at=None).first()
    if member is None:
        raise NotFound("There is no such member.")
    seat_type = next((one for one in seats.types(by.organization_id) if one.key == member.seat_type), None)
    if seat_type is None or product not in seat_type.products:
        held = f"the seat type {seat_type.name}, which does not open {product}" if seat_type else "no seat"
        raise InvalidInput(
            f"product: {member.name} has {held}; assign a seat type that opens {product}.",
            field="product",
        )
