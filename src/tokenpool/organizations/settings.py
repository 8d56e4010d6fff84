"""What an organization can change about itself; the HIPAA-ready switch goes one way."""

from django.db import transaction

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Conflict, InvalidInput
from tokenpool.organizations import seats, trail
from tokenpool.organizations.founding import checked_name
from tokenpool.organizations.models import Gate, Member, Organization
from tokenpool.organizations.roles import Principal, Right

REFUSAL_STATUSES = (429, 402)


def change(
    *, by: Principal, name: str | None = None, clamps_max_tokens: bool | None = None, refusal_status: int | None = None
) -> Organization:
    """Change what is given; act on the next request.

    Raises:
        NotAllowed: without the right.
        InvalidInput: an empty name, or a status other than 429 and 402.
    """
    by.require(Right.CHANGE_SETTINGS)
    wanted: dict[str, str | bool | int] = {}
    if name is not None:
        wanted["name"] = checked_name("name", name)
    if clamps_max_tokens is not None:
        wanted["clamps_max_tokens"] = clamps_max_tokens
    if refusal_status is not None:
        if refusal_status not in REFUSAL_STATUSES:
            raise InvalidInput("refusal_status: must be 429 or 402.", field="refusal_status")
        wanted["refusal_status"] = refusal_status
    with transaction.atomic():
        organization = _locked(by)
        before = {field: getattr(organization, field) for field in wanted}
        if before != wanted:
            for field, value in wanted.items():
                setattr(organization, field, value)
            organization.save(update_fields=list(wanted))
            trail.bump(by.organization_id)
            subject = ("organization", organization.id)
            trail.note(by, Action.ORGANIZATION_SETTING_CHANGED, subject, before=before, after=wanted)
    return organization


def enable_hipaa(*, by: Principal, confirmation: str) -> Organization:
    """Make the organization HIPAA-ready, for ever; *confirmation* must be its name.

    From the next request on only covered seat types work, and each covered seat pays the plan's surcharge.

    Raises:
        NotAllowed: anybody but the primary owner.
        InvalidInput: the confirmation is not the organization's name.
        Conflict: it is on already, or members hold seat types that are not covered.
    """
    by.require(Right.OWN)
    with transaction.atomic():
        organization = _locked(by)
        if confirmation.strip() != organization.name:
            raise InvalidInput(
                f"confirmation: type the organization's name, {organization.name}.", field="confirmation"
            )
        if organization.hipaa_ready_at is not None:
            raise Conflict("The organization is HIPAA-ready already; this cannot be undone.")
        uncovered = [one.key for one in seats.types(organization.id) if not one.hipaa_covered]
        holders = Member.objects.filter(organization_id=organization.id, removed_at=None, seat_type__in=uncovered)
        if count := holders.count():
            names = ", ".join(holders.order_by("name").values_list("name", flat=True)[:3])
            raise Conflict(
                f"{count} members hold a seat type that is not covered ({names}…); assign covered ones first."
            )
        organization.hipaa_ready_at = clock.now()
        organization.save(update_fields=["hipaa_ready_at"])
        trail.bump(organization.id)
        after = {"hipaa_ready_at": organization.hipaa_ready_at.isoformat()}
        trail.note(by, Action.HIPAA_READY_ENABLED, ("organization", organization.id), after=after)
    return organization


def _locked(by: Principal) -> Organization:
    Gate.objects.select_for_update().get(organization_id=by.organization_id)
    return Organization.objects.get(id=by.organization_id)
