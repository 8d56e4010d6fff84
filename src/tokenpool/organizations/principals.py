"""Who is acting: from a key or a signed-in person to the principal that verbs and pages ask."""

from tokenpool.kernel.errors import NotAllowed, NotAuthenticated
from tokenpool.organizations.api_keys import hash_key, looks_like_key
from tokenpool.organizations.directory import UNKNOWN_KEY
from tokenpool.organizations.models import ApiKey, Member, Organization, Person
from tokenpool.organizations.roles import RIGHTS_OF_KEY, RIGHTS_OF_ROLE, Principal, Role

_ACTOR_TYPE_OF_KEY = {"admin": "admin_api_key_actor"}


def of_key(secret: str) -> Principal:
    """Return the principal of an admin, meter, compliance or product key.

    Raises:
        NotAuthenticated: unknown or revoked.
    """
    key = None
    if looks_like_key(secret):
        key = ApiKey.objects.filter(key_hash=hash_key(secret), revoked_at=None).first()
    if key is None:
        raise NotAuthenticated(UNKNOWN_KEY)
    actor_type = _ACTOR_TYPE_OF_KEY.get(key.kind, "api_actor")
    rights = RIGHTS_OF_KEY[key.kind]
    return Principal(key.organization_id, actor_type, key.id, key.name, rights)


def of_person(person: Person, organization_id: str = "") -> Principal:
    """Return a signed-in person's principal in *organization_id*, or in their first organization.

    Raises:
        NotAllowed: the person is a member of none (any more).
    """
    places = Member.objects.filter(person_id=person.id, removed_at=None).order_by("added_at", "id")
    member = places.filter(organization_id=organization_id).first() if organization_id else None
    member = member or places.first()
    if member is None or not person.is_active:
        raise NotAllowed("You are not a member of any organization here; ask an owner to add you.")
    role = Role(member.role)
    return Principal(
        member.organization_id, "user_actor", member.id, member.email, RIGHTS_OF_ROLE[role], member.id, role
    )


def organizations_of(person: Person) -> list[Organization]:
    """Return the organizations in which *person* is a present member, in the order of joining."""
    places = Member.objects.filter(person_id=person.id, removed_at=None).order_by("added_at", "id")
    found = Organization.objects.in_bulk([place.organization_id for place in places])
    return [found[place.organization_id] for place in places]
