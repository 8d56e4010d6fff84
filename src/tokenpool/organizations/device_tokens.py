"""The secrets of signed-in devices: given once for an approved code, renewed by rotation, ended for good.

A sign-in is a key (its row, its rights, its place on the Keys page); its secrets are rows here. Two
terminals share one sign-in and answers get lost, so a refresh token that was used may come again
for an hour while nobody has used what it gave. Anything later means that two hold the sign-in: it ends.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.organizations import trail
from tokenpool.organizations.devices import POLL_SECONDS, PRODUCT, Refused, admitted, hash_secret, state_of
from tokenpool.organizations.models import ApiKey, DeviceRequest, DeviceToken, Gate, Member
from tokenpool.organizations.roles import Principal, system

ACCESS_DAYS = 7
REFRESH_DAYS = 30
AGAIN = timedelta(hours=1)  # within which a used refresh token may come again
MOST_CHILDREN = 50  # of one refresh token: terminals that renew at once
MOST_RENEWABLE = 1_000  # refresh tokens of one sign-in that have not expired
ENDED = "This sign-in has ended or has expired; sign in again (in Claude Code: /login)."
_EARLY = timedelta(seconds=POLL_SECONDS - 1)  # a poll on its way may catch up a second
_SHAPE = re.compile(r"tp-device-[A-Za-z0-9_-]{43}", re.ASCII)
_UNKNOWN = Refused("invalid_grant", ENDED)
_ANSWERS = {
    "waiting": Refused("authorization_pending", "Nobody has decided yet."),
    "denied": Refused("access_denied", "The sign-in was denied."),
    "expired": Refused("expired_token", "The code has expired; start again."),
    "used": Refused("invalid_grant", "This device code was used already; the sign-in it gave has ended."),
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a device works with from now on."""

    access_token: str
    refresh_token: str
    email: str
    expires_in: int = ACCESS_DAYS * 86_400


@dataclass(frozen=True, slots=True)
class Standing:
    """Since when a sign-in has its present tokens, until when it can be renewed, and whether that is over."""

    renewed_at: datetime
    ends_at: datetime
    over: bool


def looks_like_token(secret: str) -> bool:
    """Tell whether *secret* has the shape of a device's access token."""
    return _SHAPE.fullmatch(secret) is not None


def redeem(device_code: str) -> Tokens | Refused:
    """Answer a device's poll. A code that comes again after it gave tokens ends the sign-in it became."""
    now = clock.now()
    found = DeviceRequest.objects.filter(device_code_hash=hash_secret(device_code)).first()
    if found is None:
        return Refused("invalid_grant", "This device code is not known; start again.")
    if found.polled_at is not None and abs(now - found.polled_at) < _EARLY:
        DeviceRequest.objects.filter(id=found.id).update(polled_at=now)
        return Refused("slow_down", f"Ask every {POLL_SECONDS} seconds at most.")
    state = state_of(found, now)
    if state == "approved":
        return _sign_in(found, now)
    if state == "used":
        _end(found.organization_id, found.key_id, "its device code came again")
    elif state == "waiting":
        DeviceRequest.objects.filter(id=found.id).update(polled_at=now)
    return _ANSWERS[state]


def renew(refresh_token: str) -> Tokens | Refused:
    """Give new tokens for *refresh_token*; a used one of which a successor was used ends the sign-in."""
    digest = hash_secret(refresh_token)
    token = DeviceToken.objects.filter(token_hash=digest, kind="refresh").first()
    if token is None:
        return _UNKNOWN
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=token.organization_id)
        rows = DeviceToken.objects.filter(organization_id=token.organization_id, key_id=token.key_id, kind="refresh")
        key = ApiKey.objects.get(organization_id=token.organization_id, id=token.key_id)
        if key.revoked_at is not None or clock.timestamp(clock.now()) >= token.expires_us:
            return _UNKNOWN
        used = rows.filter(used_at__isnull=False, generation__gte=token.generation).exclude(id=token.id)
        late = token.used_at is not None and clock.now() - token.used_at > AGAIN
        if late or used.exists():
            return _end(token.organization_id, key.id, "an old refresh token came again: two hold the sign-in")
        member = admitted(token.organization_id, key.member_id)
        if member is None:
            return _end(token.organization_id, key.id, "the seat does not include Claude Code")
        _forget_old(key)
        if rows.count() >= MOST_RENEWABLE or rows.filter(generation=token.generation + 1).count() >= MOST_CHILDREN:
            return _UNKNOWN
        rows.filter(id=token.id, used_at=None).update(used_at=clock.now())
        return _issue(key, member, token.generation + 1)


def sign_out(token: str) -> None:
    """End the sign-in that *token* (access or refresh) belongs to; an unknown one changes nothing (RFC 7009)."""
    found = DeviceToken.objects.filter(token_hash=hash_secret(token)).first()
    if found is not None:
        _end(found.organization_id, found.key_id, "signed out on the device")


def standing(*, by: Principal, keys: Sequence[ApiKey]) -> dict[str, Standing]:
    """Return how the sign-ins among *keys* stand, by key."""
    rows = DeviceToken.objects.filter(organization_id=by.organization_id, key_id__in=[key.id for key in keys])
    told = rows.values_list("key_id").annotate(Max("issued_at"), Max("expires_us"))
    now_us = clock.timestamp(clock.now())
    return {key: Standing(renewed, clock.from_timestamp(ends), ends <= now_us) for key, renewed, ends in told}


def _sign_in(found: DeviceRequest, now: datetime) -> Tokens | Refused:
    """Make the sign-in of an approved request, if its member may still be let in; once."""
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=found.organization_id)
        approved = DeviceRequest.objects.filter(id=found.id, state="approved")
        member = admitted(found.organization_id, found.member_id)
        if member is None:
            approved.update(state="denied")
            return Refused("access_denied", "Whoever approved this has no seat with Claude Code any more.")
        key_id = ids.new("apikey")
        if not approved.update(state="used", polled_at=now, key_id=key_id):
            return Refused("invalid_grant", "This device code was used already.")
        key = ApiKey.objects.create(
            organization_id=found.organization_id,
            id=key_id,
            kind="product",
            product=PRODUCT,
            member_id=member.id,
            name=found.client or "A device",
            hint=found.address,
            created_at=now,
            created_by=member.email,
        )
        by = Principal(member.organization_id, "user_actor", member.id, member.email, frozenset(), member.id)
        facts = {"name": key.name, "kind": key.kind, "product": PRODUCT, "member_id": member.id, "device": key.hint}
        trail.note(by, Action.API_KEY_CREATED, ("api_key", key.id), after=facts)
        return _issue(key, member, 0)


def _forget_old(key: ApiKey) -> None:
    """Delete the tokens of a sign-in that are worth nothing any more, whoever has them."""
    before = clock.now() - timedelta(days=REFRESH_DAYS)
    DeviceToken.objects.filter(organization_id=key.organization_id, key_id=key.id, issued_at__lt=before).delete()


def _issue(key: ApiKey, member: Member, generation: int) -> Tokens:
    now = clock.now()
    access, refresh = (f"tp-{kind}-{secrets.token_urlsafe(32)}" for kind in ("device", "refresh"))
    tokens = Tokens(access, refresh, member.email)
    lives = (("access", tokens.access_token, ACCESS_DAYS), ("refresh", tokens.refresh_token, REFRESH_DAYS))
    DeviceToken.objects.bulk_create(
        DeviceToken(
            organization_id=key.organization_id,
            id=ids.new("token"),
            key_id=key.id,
            kind=kind,
            generation=generation,
            token_hash=hash_secret(secret),
            issued_at=now,
            expires_us=clock.timestamp(now + timedelta(days=days)),
        )
        for kind, secret, days in lives
    )
    return tokens


def _end(organization_id: str, key_id: str, reason: str) -> Refused:
    """End a sign-in with all its tokens; its next request is refused. Ending it twice changes nothing."""
    with transaction.atomic():
        Gate.objects.select_for_update().get(organization_id=organization_id)
        keys = ApiKey.objects.filter(organization_id=organization_id, id=key_id, revoked_at=None)
        key = keys.first()
        if key is not None:
            keys.update(revoked_at=clock.now())
            trail.bump(organization_id)
            before, after = {"name": key.name, "hint": key.hint}, {"reason": reason}
            trail.note(system(organization_id), Action.API_KEY_REVOKED, ("api_key", key_id), before=before, after=after)
    return _UNKNOWN
