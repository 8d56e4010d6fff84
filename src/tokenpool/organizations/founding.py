"""How an organization begins: the example plan, the organization, its gate and its primary owner."""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, validate_email
from django.db import IntegrityError, transaction

from tokenpool.audit.actions import Action
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import InvalidInput
from tokenpool.organizations import trail
from tokenpool.organizations.models import Gate, Member, Organization, Person, Plan, SeatType
from tokenpool.organizations.roles import Role, system

EXAMPLE_PLAN = "enterprise_example"
DOLLAR = 1_000_000_000
NAME_LENGTH = 120
EMAIL_LENGTH = 254


def ensure_example_plan() -> Plan:
    """Return the shipped example plan, creating it when absent.

    Its fees are examples: no official figure exists, so they are configuration.
    """
    plan, created = Plan.objects.get_or_create(
        id=EXAMPLE_PLAN,
        defaults={
            "name": "Enterprise (example)",
            "tier": "enterprise",
            "note": "The seat fees are examples; set your own contract's.",
        },
    )
    if created:
        chat = ["chat", "file_creation", "code_execution", "member_limits", "dashboards", "compliance_api"]
        SeatType.objects.create(
            plan_id=plan.id, key="chat", name="Chat", position=1, fee_nano=20 * DOLLAR,
            products=["chat", "api"], features=chat, hipaa_covered=True, hipaa_surcharge_nano=5 * DOLLAR,
        )  # fmt: skip
        SeatType.objects.create(
            plan_id=plan.id, key="chat_claude_code", name="Chat + Claude Code", position=2, fee_nano=40 * DOLLAR,
            products=["chat", "claude_code", "api"], features=[*chat, "claude_code"],
        )  # fmt: skip
    return plan


def found(
    *, name: str, owner_email: str, owner_name: str, owner_password: str | None, currency: str = "USD"
) -> tuple[Organization, Member]:
    """Create an organization on the example plan with its primary owner; return both.

    Raises:
        InvalidInput: an empty name, an e-mail that is none, a password that is too weak.
    """
    name = checked_name("organization", name)
    with transaction.atomic():
        plan = ensure_example_plan()
        organization = Organization.objects.create(
            id=ids.new("org"), name=name, plan_id=plan.id, currency=currency, created_at=clock.now()
        )
        Gate.objects.create(organization_id=organization.id)
        person = person_for(
            email=owner_email, name=owner_name, password=owner_password, field="owner", organization_id=organization.id
        )
        owner = Member.objects.create(
            organization_id=organization.id, id=ids.new("user"), person_id=person.id, email=person.email,
            name=person.name, role=Role.PRIMARY_OWNER, added_at=clock.now(),
        )  # fmt: skip
        by = system(organization.id)
        facts = {"name": name, "plan": plan.id, "currency": currency}
        trail.note(by, Action.ORGANIZATION_CREATED, ("organization", organization.id), after=facts)
        trail.note(by, Action.MEMBER_ADDED, ("member", owner.id), after={"email": owner.email, "role": owner.role})
    return organization, owner


def person_for(*, email: str, name: str, password: str | None, field: str, organization_id: str) -> Person:
    """Return the person with this e-mail, creating it when new; a known person keeps name and password.

    A password that another organization's admin has chosen, and that has not been reset through the
    person's mailbox since, stops working here: it would let that admin into this organization.

    Raises:
        InvalidInput: *field*_email or *field*_password, with the remedy.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
        MaxLengthValidator(EMAIL_LENGTH)(email)
    except ValidationError as error:
        raise InvalidInput(
            f"{field}_email: “{email[:80]}” is not an e-mail address.", field=f"{field}_email"
        ) from error
    person = Person.objects.filter(email=email).first() or _new_person(
        email=email, name=name, password=password, field=field, organization_id=organization_id
    )
    if person.password_given_by not in ("", organization_id):
        person.set_unusable_password()
        person.password_given_by = ""
        person.save(update_fields=["password", "password_given_by"])
    return person


def _new_person(*, email: str, name: str, password: str | None, field: str, organization_id: str) -> Person:
    """Create a person; return the one that another organization has created meanwhile."""
    # Letters and digits alone: the links of a password reset carry this id.
    person = Person(
        id=ids.new("person").replace("_", ""),
        email=email,
        name=checked_name(f"{field}_name", name),
        created_at=clock.now(),
    )
    if password is None:
        person.set_unusable_password()
    else:
        check_password_strength(password, person, field=f"{field}_password")
        person.set_password(password)
        person.password_given_by = organization_id
    try:
        with transaction.atomic():
            person.save(force_insert=True)
    except IntegrityError:
        return Person.objects.get(email=email)
    return person


def check_password_strength(password: str, person: Person, *, field: str) -> None:
    """Do nothing if *password* is strong enough.

    Raises:
        InvalidInput: naming *field* and what is missing.
    """
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise InvalidInput(f"{field}: {' '.join(error.messages)}", field=field) from error


def checked_name(field: str, text: str) -> str:
    """Return *text* without surrounding or doubled white space.

    Raises:
        InvalidInput: empty, too long, or with control characters.
    """
    cleaned = " ".join(text.split())
    if not cleaned or len(cleaned) > NAME_LENGTH or not cleaned.isprintable():
        raise InvalidInput(f"{field}: must be 1 to {NAME_LENGTH} printable characters.", field=field)
    return cleaned
