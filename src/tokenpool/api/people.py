"""Members, seats and keys for machines: people without an e-mail round trip."""

from typing import Any

from ninja import Router, Status

from tokenpool.api.access import KeyRequest, Strict
from tokenpool.kernel import clock
from tokenpool.organizations import api_keys, members, seats
from tokenpool.organizations.models import ApiKey, Member, Organization, Plan
from tokenpool.organizations.roles import Right

router = Router()


class NewMember(Strict):
    """The body of `POST members`."""

    email: str
    name: str
    role: str = "member"
    seat_type: str | None = None
    cost_center: str = ""
    password: str | None = None


class Seat(Strict):
    """The body of `PUT members/{id}/seat`."""

    seat_type: str | None
    expect: str | None = None  # the seat type the caller saw, "none" for no seat


class NewKey(Strict):
    """The body of `POST members/{id}/keys`."""

    product: str
    name: str


@router.get("members")
def listed(
    request: KeyRequest,
    text: str = "",
    seat_type: str | None = None,
    group: str | None = None,
    offset: int = 0,
    limit: int = 100,
) -> dict[str, Any]:
    """List members by name."""
    rows, found = members.search(
        by=request.auth, text=text, seat_type=seat_type, group=group, offset=offset, limit=limit
    )
    return {"data": [as_member(row) for row in rows], "has_more": offset + len(rows) < found, "count": found}


@router.post("members", response={201: dict[str, Any]})
def add(request: KeyRequest, body: NewMember) -> Status[dict[str, Any]]:
    """Add a member."""
    return Status(201, as_member(members.add(by=request.auth, **body.dict())))


@router.get("members/{member_id}")
def one(request: KeyRequest, member_id: str) -> dict[str, Any]:
    """Return one member."""
    return as_member(members.find(by=request.auth, member_id=member_id))


@router.put("members/{member_id}/seat")
def assign(request: KeyRequest, member_id: str, body: Seat) -> dict[str, Any]:
    """Assign a seat type, or none."""
    return as_member(seats.assign(by=request.auth, member_id=member_id, **body.dict()))


@router.delete("members/{member_id}")
def remove(request: KeyRequest, member_id: str) -> dict[str, Any]:
    """Remove a member."""
    members.remove(by=request.auth, member_id=member_id)
    return {"id": member_id, "type": "member_deleted"}


@router.get("members/{member_id}/keys")
def keys(request: KeyRequest, member_id: str) -> dict[str, Any]:
    """List a member's keys, without their secrets."""
    members.find(by=request.auth, member_id=member_id)
    return {"data": [as_key(key) for key in api_keys.of_member(by=request.auth, member_id=member_id)]}


@router.post("members/{member_id}/keys", response={201: dict[str, Any]})
def mint(request: KeyRequest, member_id: str, body: NewKey) -> Status[dict[str, Any]]:
    """Mint a key; its secret is in this answer and nowhere else."""
    key, secret = api_keys.mint(by=request.auth, product=body.product, member_id=member_id, name=body.name)
    return Status(201, {**as_key(key), "key": secret})


@router.delete("keys/{key_id}")
def revoke(request: KeyRequest, key_id: str) -> dict[str, Any]:
    """Revoke a key."""
    api_keys.revoke(by=request.auth, key_id=key_id)
    return {"id": key_id, "type": "api_key_revoked"}


@router.get("seat_types")
def seat_types(request: KeyRequest) -> dict[str, Any]:
    """List the plan's seat types."""
    request.auth.require(Right.SEE_MEMBERS)
    return {
        "data": [
            {
                "key": one.key,
                "name": one.name,
                "fee_nano": one.fee_nano,
                "products": one.products,
                "features": one.features,
                "hipaa_covered": one.hipaa_covered,
                "hipaa_surcharge_nano": one.hipaa_surcharge_nano,
            }
            for one in seats.types(request.auth.organization_id)
        ]
    }


@router.get("plan")
def plan(request: KeyRequest) -> dict[str, Any]:
    """Return the organization's plan."""
    request.auth.require(Right.SEE_MEMBERS)
    organization = Organization.objects.get(id=request.auth.organization_id)
    found = Plan.objects.get(id=organization.plan_id)
    return {
        "id": found.id,
        "name": found.name,
        "tier": found.tier,
        "settlement": found.settlement,
        "currency": organization.currency,
        "hipaa_ready": organization.hipaa_ready_at is not None,
        "note": found.note,
    }


def as_member(member: Member) -> dict[str, Any]:
    """Return a member as the API shows it."""
    return {
        "type": "member",
        "id": member.id,
        "email": member.email,
        "name": member.name,
        "role": member.role,
        "seat_type": member.seat_type,
        "cost_center": member.cost_center,
        "groups": member.groups,
        "added_at": clock.text(member.added_at),
    }


def as_key(key: ApiKey) -> dict[str, Any]:
    """Return a key as the API shows it, without its secret."""
    return {
        "type": "api_key",
        "id": key.id,
        "name": key.name,
        "kind": key.kind,
        "product": key.product,
        "member_id": key.member_id,
        "hint": key.hint,
        "created_at": clock.text(key.created_at),
        "revoked_at": clock.text(key.revoked_at) if key.revoked_at else None,
    }
