"""An organization that callers are at, and the examination: what they were promised against what is stored."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Q

from tokenpool.compliance import verify
from tokenpool.invoicing.models import MonthClose
from tokenpool.kernel import clock, ids
from tokenpool.kernel.period import Month
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits import caps, message_batches
from tokenpool.limits.models import BatchRequest, Hold, MessageBatch
from tokenpool.metering import correct
from tokenpool.metering.models import UsageEvent
from tokenpool.notifications.models import Delivery
from tokenpool.notifications.outbox import raise_notice
from tokenpool.organizations import api_keys, founding, seats
from tokenpool.organizations.models import Organization, Person
from tokenpool.organizations.principals import of_person
from tokenpool.organizations.roles import Principal
from tokenpool.pricing import load
from tokenpool.pricing.cost import rate
from tokenpool.proofs import callers
from tokenpool.proofs.callers import Promises
from tokenpool.proofs.provider import IN_BATCH, MODEL, Drawn, Provider

LOST = "estimated process_lost"


@dataclass
class Site:
    """One organization, with the keys of its callers and what they were promised."""

    by: Principal
    key: str
    meter_key: str
    member_id: str
    promises: Promises = field(default_factory=Promises)

    @classmethod
    def found(cls, months: int = 0) -> "Site":
        """Found an organization, *months* ago, with a limit far away."""
        number = ids.new("n")
        with clock.standing_at(clock.now() - timedelta(days=31 * months)):
            _, owner = founding.found(
                name=f"Scratch {number}", owner_email=f"{number}@tokenpool.example", owner_name="Scratch",
                owner_password="never used again 7",  # noqa: S106 - of a scratch organization
            )  # fmt: skip
            by = of_person(Person.objects.get(id=owner.person_id))
            seats.assign(by=by, member_id=owner.id, seat_type="chat_claude_code")
        caps.set_limit(by=by, scope="organization", basis="pool", amount_nano=10**15)
        _, key = api_keys.mint(by=by, product="claude_code", member_id=owner.id, name="Callers")
        _, meter_key = api_keys.mint(by=by, kind="meter", name="Meter")
        connection.close()
        return cls(by, key, meter_key, owner.id)

    async def call(self, port: int, kind: str = "") -> None:
        """Send a request of a new name; *kind* is `long-`, `short-`, or drawn."""
        name = f"{kind}{self.member_id}-{ids.new('c')}"
        await callers.call(port, self.key, name, self.promises)

    async def hold(self, port: int, chance: random.Random) -> None:
        """Use the hold API."""
        await callers.hold(port, self.meter_key, self.member_id, chance, self.promises)

    async def batch(self, port: int) -> None:
        """Send a batch of a new name."""
        name = f"{IN_BATCH}{self.member_id}-{ids.new('c')}"
        await callers.batch(port, self.key, name, self.promises)

    def notify(self) -> None:
        """Write a notice, so that a mail has to leave."""
        facts = {"month": "2026-10", "number": 1, "total_nano": 0}
        with transaction.atomic():
            raise_notice(organization_id=self.by.organization_id, key=ids.new("n"), kind="invoice_ready", facts=facts)
        connection.close()

    def open_holds(self) -> set[str]:
        """Return the requests whose holds are open, by name, or by id where they have none."""
        rows = Hold.objects.filter(organization_id=self.by.organization_id, ended_at_us=None)
        found = {hold.project or hold.id for hold in rows}
        connection.close()
        return found


@dataclass
class Findings:
    """What an examination came to; the lists should be empty."""

    promises: int = 0
    exact: int = 0
    estimated: int = 0
    batched: int = 0  # requests of batches, each exact
    late: int = 0  # of these, ended as estimates before
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    freed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """True when nothing promised was lost, nothing doubled, nothing freed, and the data verify."""
        return not (self.lost or self.doubled or self.freed or self.broken)


def examine(sites: Iterable[Site], provider: Provider, folders: Iterable[Path], *, mails_twice: int = 0) -> Findings:
    """Look for every promise once nothing is open; at most *mails_twice* mails may have left twice."""
    found, sites = Findings(), list(sites)
    for site in sites:
        _examine_requests(site, provider, found)
        _examine_months(site, found)
        found.broken += [
            f"{one.invariant}: {one.broken}"
            for one in verify.check(book=load.standard(), organization_id=site.by.organization_id)
            if not one.holds
        ]
    _examine_mail(sites, folders, mails_twice, found)
    connection.close()
    return found


def _examine_requests(site: Site, provider: Provider, found: Findings) -> None:
    mine = Q(organization_id=site.by.organization_id)
    holds = {hold.id: hold for hold in Hold.objects.filter(mine)}
    in_batches = dict(BatchRequest.objects.filter(mine).values_list("hold_id", "custom_id"))
    named = {name: hold for hold in holds.values() if (name := in_batches.get(hold.id, hold.project))}
    billed = _billed(mine)
    found.promises += len(site.promises)
    answered = {name for name in provider.answered if site.member_id in name}
    for name in site.promises.begun | answered | set(in_batches.values()):
        if name not in named:
            found.lost.append(f"{name} has no hold")
            continue
        exact = name in site.promises.ended or name.startswith(IN_BATCH)
        _examine_request(name, named[name], billed[named[name].id], provider.answered[name], found, exact=exact)
    for hold_id, state in site.promises.holds.items():
        stands = holds[hold_id].state if hold_id in holds else "gone"
        if state not in ("held", stands):
            found.lost.append(f"{hold_id} was {state}, is {stands}")
    reasons = Counter(hold.end_reason for hold in holds.values())
    found.estimated, found.late = found.estimated + reasons[LOST], found.late + reasons[message_batches.LOST]
    batched = set(in_batches.values())
    right = {name for name, one in named.items() if billed[one.id].nano == exact_nano(name)}
    found.batched += len(right & batched)
    found.exact += sum("estimated" not in named[name].end_reason for name in right - batched)


@dataclass
class _Billed:
    """What a request was billed in the end, and in how many events that stand for themselves."""

    nano: int = 0
    events: int = 0


def _billed(mine: Q) -> defaultdict[str, _Billed]:
    """Return what was billed, by hold."""
    found = defaultdict[str, _Billed](_Billed)
    for event in UsageEvent.objects.filter(mine):
        billed = found[ids.twin("hold", event.request_id)]
        billed.nano += event.cost_nano
        billed.events += event.corrects is None and not correct.is_late(event)
    return found


def _examine_request(name: str, hold: Hold, billed: _Billed, answers: int, found: Findings, *, exact: bool) -> None:
    """Compare how often a request was answered with how it was billed; *exact* when no estimate will do."""
    if name.startswith(IN_BATCH) and not answers:
        if billed.nano:
            found.doubled.append(f"{name} is billed {billed.nano}, and nobody has answered it")
    elif hold.state == "void":
        found.freed.append(f"{name} was answered and is void: {hold.end_reason}")
    elif hold.state != "settled" or billed.events != 1 or answers > 1:
        found.doubled.append(f"{name} is {hold.state} with {billed.events} events, {answers} answers")
    elif exact and billed.nano != exact_nano(name):
        found.lost.append(f"{name} cost {exact_nano(name)}, billed {billed.nano} ({hold.end_reason})")


def _examine_months(site: Site, found: Findings) -> None:
    """Every month that is due has been closed."""
    month = Month.of(Organization.objects.get(id=site.by.organization_id).created_at)
    rows = MonthClose.objects.filter(organization_id=site.by.organization_id, state="final")
    final = set(rows.values_list("month", flat=True))
    while month <= Month.of(clock.now() - timedelta(hours=72)).previous():
        if str(month) not in final:
            found.lost.append(f"{site.by.organization_id}: {month} is not closed")
        month = month.next()


def _examine_mail(sites: list[Site], folders: Iterable[Path], mails_twice: int, found: Findings) -> None:
    """Every mail left once, and again only where a kill fell between sending it and writing it down."""
    rows = Delivery.objects.filter(organization_id__in=[site.by.organization_id for site in sites], channel="email")
    wanted = {ids.derived("mail", one.notice_id, one.person_id) for one in rows}
    mails = "".join(path.read_text() for folder in folders for path in (folder / "mail").glob("*.log"))
    sent = Counter(one for one in re.findall(r"<(mail_\w+)@", mails) if one in wanted)
    found.lost += [f"{one} did not leave" for one in wanted - sent.keys()]
    twice = sum(sent.values()) - len(sent)
    if twice > mails_twice:
        found.doubled.append(f"{twice} mails left twice")


def at_rest(sites: Iterable[Site], folders: Iterable[Path]) -> list[str]:
    """Return what a server has still to do: open holds, batches that are not over, mails, settlements on the disk."""
    sites = list(sites)
    mine = MessageBatch.objects.filter(organization_id__in=[site.by.organization_id for site in sites])
    found = [f"hold of {name}" for site in sites for name in site.open_holds()]
    found += [f"look at {one}" for one in mine.exclude(look_at_us=None).values_list("id", flat=True)]
    found += [f"mail of {one}" for one in Delivery.objects.filter(state="waiting").values_list("notice_id", flat=True)]
    connection.close()
    return found + [path.name for folder in folders for path in (folder / "settlements").glob("end_*.json")]


def exact_nano(name: str) -> int:
    """Return what the request *name* costs, to the nano-dollar."""
    drawn, price = Drawn.of(name), load.standard().price(MODEL, clock.now().date())
    counts = TokenCounts(input=drawn.input_tokens, output=drawn.output_tokens)
    return rate(counts, price, batch=name.startswith(IN_BATCH)).total
