"""Aurora Ltd: the organization that most tests are about, with everybody who matters."""

from dataclasses import dataclass

from tokenpool.limits import caps
from tokenpool.organizations import api_keys, founding, members, seats
from tokenpool.organizations.models import Member, Person
from tokenpool.organizations.principals import of_person
from tokenpool.organizations.roles import Principal, Role

PASSWORD = "quiet exact fast 26"
DOLLAR = 1_000_000_000


@dataclass(frozen=True)
class Aurora:
    """Ada owns it; Bruno is an owner, Chiara an admin, Dieter does the billing; Elena codes, Farid and Giulia chat."""

    organization_id: str
    ada: Principal
    bruno: Principal
    chiara: Principal
    dieter: Principal
    elena: Principal
    farid: Principal
    giulia: Principal

    def everybody(self) -> dict[str, Principal]:
        """Return one principal per role."""
        return {
            Role.PRIMARY_OWNER: self.ada,
            Role.OWNER: self.bruno,
            Role.ADMIN: self.chiara,
            Role.BILLING: self.dieter,
            Role.MEMBER: self.farid,
        }

    def key(self, member: Principal, product: str) -> str:
        """Mint a key for *member* and return its secret."""
        return api_keys.mint(by=self.ada, product=product, member_id=member.member_id, name="Test")[1]

    def limit(self, scope: str, dollars: int, basis: str = "pool") -> None:
        """Set a limit in whole dollars."""
        caps.set_limit(by=self.ada, scope=scope, basis=basis, amount_nano=dollars * DOLLAR)


def aurora(name: str = "Aurora Ltd", domain: str = "aurora.example") -> Aurora:
    """Found the organization with its seven people."""
    organization, owner = founding.found(
        name=name, owner_email=f"ada@{domain}", owner_name="Ada Rossi", owner_password=PASSWORD
    )
    ada = principal(owner)
    seats.assign(by=ada, member_id=owner.id, seat_type="chat_claude_code")

    def person(who: str, role: str, seat_type: str | None) -> Principal:
        email = f"{who.split(maxsplit=1)[0].lower()}@{domain}"
        return principal(members.add(by=ada, email=email, name=who, role=role, seat_type=seat_type, password=PASSWORD))

    return Aurora(
        organization.id,
        ada,
        person("Bruno Conti", "owner", "chat_claude_code"),
        person("Chiara Greco", "admin", "chat"),
        person("Dieter Lang", "billing", None),
        person("Elena Marino", "member", "chat_claude_code"),
        person("Farid Haddad", "member", "chat"),
        person("Giulia Ferrari", "member", "chat"),
    )


def principal(member: Member) -> Principal:
    """Return the principal of a member as they are now."""
    return of_person(Person.objects.get(id=member.person_id), member.organization_id)
