"""The tables of people and organizations. Seat assignments, memberships and own prices are history: only added."""

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class PersonManager(BaseUserManager["Person"]):
    """Looks people up by e-mail, whatever its case."""

    def get_by_natural_key(self, username: str | None) -> "Person":
        """Return the person with this e-mail address."""
        return self.get(email__iexact=username or "")


class Person(AbstractBaseUser):
    """Somebody who can sign in; the same person may be a member of several organizations."""

    id = models.CharField(max_length=40, primary_key=True)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120)
    language = models.CharField(max_length=5, blank=True)  # empty: the browser's
    theme = models.CharField(max_length=5, blank=True)  # light, dark; empty: the system's
    password_given_by = models.CharField(max_length=40, default="", blank=True)  # organization whose admin chose it
    is_active = models.BooleanField(default=True)
    is_operator = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    objects = PersonManager()

    def __str__(self) -> str:
        return self.name or self.email


class Plan(models.Model):
    """What an organization buys: a tier, how it is settled, in which currency."""

    id = models.CharField(max_length=40, primary_key=True)
    name = models.CharField(max_length=80)
    tier = models.CharField(max_length=20)  # enterprise: the only tier with usage-based billing
    settlement = models.CharField(max_length=10, default="arrears")
    currency = models.CharField(max_length=3, default="USD")
    note = models.CharField(max_length=200, blank=True)


class SeatType(models.Model):
    """A kind of seat of a plan: its monthly base fee and the products it opens."""

    pk = models.CompositePrimaryKey("plan_id", "key")
    plan_id = models.CharField(max_length=40)
    key = models.CharField(max_length=40)
    name = models.CharField(max_length=80)
    position = models.SmallIntegerField()
    fee_nano = models.BigIntegerField()
    products = models.JSONField()  # list of product names a credential may be minted for
    features = models.JSONField()
    hipaa_covered = models.BooleanField(default=False)
    hipaa_surcharge_nano = models.BigIntegerField(default=0)


class Organization(models.Model):
    """A customer: the unit of tenancy, of transactions and of sharding."""

    id = models.CharField(max_length=40, primary_key=True)
    name = models.CharField(max_length=120)
    plan_id = models.CharField(max_length=40)
    currency = models.CharField(max_length=3)  # fixed at creation
    created_at = models.DateTimeField()
    hipaa_ready_at = models.DateTimeField(null=True)  # one-way
    clamps_max_tokens = models.BooleanField(default=True)
    refusal_status = models.SmallIntegerField(default=429)  # or 402


class Gate(models.Model):
    """One row per organization: every admission locks it first and compares its version.

    Whatever a credential's facts are made of (seat, role, key, settings) raises the version, so a
    cached fact that has become untrue is noticed inside the transaction that would rely on it.
    """

    organization_id = models.CharField(max_length=40, primary_key=True)
    version = models.BigIntegerField(default=1)
    limits_version = models.BigIntegerField(default=1)  # raised with every change of a limit: see limits/kept
    windows = models.CharField(max_length=20, default="month")  # whose accounts are kept: “month day”
    open_from_us = models.BigIntegerField(default=0)  # the end of the last closed month: nothing is admitted before


class Member(models.Model):
    """A person's place in one organization; removed members keep their row and their spend."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    person_id = models.CharField(max_length=40, db_index=True)
    email = models.EmailField()
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=16)
    seat_type = models.CharField(max_length=40, null=True)  # noqa: DJ001 - null is “no seat”; the latest SeatAssignment
    cost_center = models.CharField(max_length=80, default="", blank=True)
    group_ids = models.TextField(default="", blank=True)  # ascending, space-separated; what the memberships come to
    added_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "email"],
                condition=models.Q(removed_at=None),
                name="member_email_once",
            )
        ]
        indexes = [models.Index(fields=["organization_id", "name", "id"], name="member_by_name")]

    @property
    def groups(self) -> tuple[str, ...]:
        """The ids of the member's groups, ascending."""
        return tuple(self.group_ids.split())


class SeatAssignment(models.Model):
    """From this instant on the member had this seat type (null: no seat). Never edited."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    member_id = models.CharField(max_length=40)
    seat_type = models.CharField(max_length=40, null=True)  # noqa: DJ001 - null is “no seat”
    assigned_at = models.DateTimeField()
    assigned_by = models.CharField(max_length=254)

    class Meta:
        indexes = [models.Index(fields=["organization_id", "member_id", "assigned_at"], name="seat_history")]


class Group(models.Model):
    """Members who share limits; a deleted one keeps its row, for the months in which it spent something."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=200, default="", blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "name"],
                condition=models.Q(deleted_at=None),
                name="group_name_once",
            )
        ]


class GroupMembership(models.Model):
    """From this instant on the member was in the group, or was not any more. Never edited; a deletion ends all."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    group_id = models.CharField(max_length=40)
    member_id = models.CharField(max_length=40)
    joined = models.BooleanField()  # or left
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=254)

    class Meta:
        indexes = [models.Index(fields=["organization_id", "group_id", "changed_at"], name="group_history")]


class ApiKey(models.Model):
    """A credential: minted for one product, or an admin, meter or compliance key. Only its hash is kept."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    kind = models.CharField(max_length=12)  # product, admin, meter, compliance
    product = models.CharField(max_length=20, blank=True)  # chat, claude_code, api; empty unless kind is product
    member_id = models.CharField(max_length=40, blank=True)  # the member it spends for; empty unless kind is product
    name = models.CharField(max_length=80)
    key_hash = models.CharField(max_length=64, unique=True, null=True)  # noqa: DJ001 - null: its secrets are DeviceTokens
    hint = models.CharField(max_length=40)  # prefix and last four characters, or the device's address
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=254)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["organization_id", "member_id"], name="keys_of_member")]

    @property
    def is_device(self) -> bool:
        """True for the sign-in of a device, whose secrets rotate."""
        return self.key_hash is None


class DeviceRequest(models.Model):
    """A device asks to be signed in: nobody's until a member decides. Kept for a while after it expired."""

    id = models.CharField(max_length=40, primary_key=True)
    device_code_hash = models.CharField(max_length=64, unique=True)
    user_code_hash = models.CharField(max_length=64, unique=True)
    client = models.CharField(max_length=40, blank=True)  # “Claude Code 2.1.330”, as it called itself
    address = models.CharField(max_length=40)
    asked_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    polled_at = models.DateTimeField(null=True)
    looked_up = models.SmallIntegerField(default=0)  # how often somebody typed its code
    state = models.CharField(max_length=10, default="waiting")  # approved, denied, used
    organization_id = models.CharField(max_length=40, blank=True)  # once approved: whose
    member_id = models.CharField(max_length=40, blank=True)
    key_id = models.CharField(max_length=40, blank=True)  # once used: the sign-in it became


class DeviceToken(models.Model):
    """A secret of a device's sign-in: an access token, or the refresh token that came with it. Only hashes are kept."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    key_id = models.CharField(max_length=40)
    kind = models.CharField(max_length=8)  # access, refresh
    generation = models.IntegerField()  # how many renewals lie between it and the approval
    token_hash = models.CharField(max_length=64, unique=True)
    issued_at = models.DateTimeField()
    expires_us = models.BigIntegerField()
    used_at = models.DateTimeField(null=True)  # of a refresh token: when it was first used

    class Meta:
        indexes = [models.Index(fields=["organization_id", "key_id"], name="tokens_of_sign_in")]


class OwnPrice(models.Model):
    """From this UTC day on the organization pays this for a scope. Of one scope the latest day stands. Never edited."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    organization_id = models.CharField(max_length=40)
    id = models.CharField(max_length=40)
    scope = models.CharField(max_length=100)  # all, provider:anthropic, model:claude-opus-5-5
    effective_from = models.CharField(max_length=10)
    ppm = models.IntegerField(default=0)  # markup (+) or discount (-) on the list price
    amounts = models.JSONField(default=dict)  # nano-dollars per million tokens, by component; see pricing/own
    ended = models.BooleanField(default=False)  # from this day on the scope has no own price
    set_at = models.DateTimeField()
    set_by = models.CharField(max_length=254)
    reason = models.CharField(max_length=200)
