"""The demo's organization: forty members, limits at every level, two closed months and the running one."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path

from tokenpool.demo import traces
from tokenpool.demo.people import GROUPS, MEMBERS, OWNER, address
from tokenpool.demo.replay import Replayed, replay
from tokenpool.demo.traces import Recorded
from tokenpool.demo.traffic import Traffic, drawn
from tokenpool.invoicing import close
from tokenpool.kernel import clock
from tokenpool.kernel.group_commit import GroupCommit
from tokenpool.kernel.period import Month
from tokenpool.limits import caps
from tokenpool.limits.hierarchy import ORGANIZATION, group_scope, member_scope, seat_type_scope
from tokenpool.limits.models import Account
from tokenpool.limits.operations import Attribution
from tokenpool.organizations import founding, groups, members, memberships, seats
from tokenpool.organizations.models import Member, Person
from tokenpool.organizations.principals import of_person
from tokenpool.organizations.roles import Principal
from tokenpool.pricing.book import PriceBook

NAME = "Aurora Ltd"
SEED = 20_260_901
REQUESTS = 30_000
DOLLAR = 1_000_000_000
NEAR, AT_LIMIT = "giulia.ferrari@aurora.example", "luca.moretti@aurora.example"
MODELS = {
    "chat": (["claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5-5"], [6, 3, 1]),
    "claude_code": (["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1"], [6, 3, 1]),
    "api": (["claude-haiku-5-5", "claude-sonnet-5-5"], [7, 3]),
}
BEFORE_RELEASE = {
    "claude-sonnet-5-5": "claude-sonnet-5",
    "claude-opus-5-5": "claude-opus-5",
    "claude-haiku-5-5": "claude-haiku-4-5",
}
PRODUCTS = {"chat": (["chat", "api"], [9, 1]), "chat_claude_code": (["claude_code", "chat", "api"], [7, 2, 1])}


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was made: the organization, its owner, and how many requests its past has."""

    organization_id: str
    owner: Principal
    requests: int


def seed(
    *,
    open_ledger: Callable[[], AbstractAsyncContextManager[GroupCommit]],
    book: PriceBook,
    owner_password: str,
    recorded: Path | None = None,
    requests: int = REQUESTS,
    progress: Callable[[int], None] = lambda _: None,
) -> Seeded:
    """Make the organization and let its past happen through the real metering path.

    *recorded* is a folder of recorded traces; without it the shipped traffic model is drawn from.
    """
    now = clock.now()
    first = Month.of(now).previous().previous()
    with clock.standing_at(first.start):
        organization, owner = founding.found(
            name=NAME, owner_email=OWNER[1], owner_name=OWNER[0], owner_password=owner_password
        )
        by = _principal(owner)
        seats.assign(by=by, member_id=owner.id, seat_type="chat_claude_code")
        for name, role, seat_type in MEMBERS:
            members.add(by=by, email=address(name), name=name, role=role, seat_type=seat_type, password=owner_password)
        for name, description, people in GROUPS:
            group = groups.create(by=by, name=name, description=description)
            memberships.add(by=by, group_id=group.id, members=[address(person) for person in people])
    planned = _plan(organization.id, first.start, now - timedelta(minutes=2), requests, recorded, book)

    async def happen() -> int:
        async with open_ledger() as commits:
            return await replay(commits, organization.id, book, planned, progress=progress)

    passed = asyncio.run(happen())
    with clock.standing_at(first.start + timedelta(days=20)):
        seats.assign(by=by, member_id=_member(organization.id, "Zoe Martin").id, seat_type="chat_claude_code")
    for month in (first, first.next()):
        with clock.standing_at(month.end + timedelta(hours=73)):
            close.close_month(by=by, month=month)
    _set_limits(by, Month.of(now))
    return Seeded(organization.id, by, passed)


def _plan(
    organization_id: str, start: datetime, end: datetime, count: int, recorded: Path | None, book: PriceBook
) -> list[Replayed]:
    """Return the requests of the past in the order of their instants."""
    traffic = Traffic(SEED)
    sources = {product: _source(product, recorded) for product in traces.FILES}
    people = list(Member.objects.filter(organization_id=organization_id).exclude(seat_type=None).order_by("id"))
    eagerness = [1 + (position * 7) % 5 for position in range(len(people))]
    planned = []
    for at in traffic.instants(start, end, count):
        member = traffic.choice(people, eagerness)
        product = traffic.choice(*PRODUCTS[member.seat_type])
        who = Attribution(member.id, member.seat_type, product, member.cost_center, groups=member.groups)
        model = traffic.choice(*MODELS[product])
        if book.history(model)[0].effective_from > at.date():
            model = BEFORE_RELEASE[model]
        planned.append(Replayed(at, who, model, next(sources[product])))
    return planned


def _source(product: str, recorded: Path | None) -> Iterator[Recorded]:
    return cycle(traces.read(recorded, product)) if recorded else drawn(SEED, product)


def _set_limits(by: Principal, month: Month) -> None:
    """Set limits at every level so that the running month has room, one member near and one at the limit."""
    pool = _spent(by, ORGANIZATION, month)
    chat = _spent(by, seat_type_scope("chat"), month)
    caps.set_limit(by=by, scope=ORGANIZATION, basis="pool", amount_nano=_round_up(pool * 14 // 10), reason="Budget")
    caps.set_limit(
        by=by, scope=seat_type_scope("chat"), basis="pool", amount_nano=_round_up(chat * 16 // 10), reason="Budget"
    )
    caps.set_limit(by=by, scope=seat_type_scope("chat_claude_code"), basis="each", amount_nano=_round_up(pool // 4))
    _set_group_limits(by, month)
    near, full = _by_address(by, NEAR), _by_address(by, AT_LIMIT)
    near_limit = _cents(_spent(by, member_scope(near.id), month) * 100 // 92) or DOLLAR
    caps.set_limit(by=by, scope=member_scope(near.id), basis="each", amount_nano=near_limit)
    full_limit = _cents(_spent(by, member_scope(full.id), month))
    caps.set_limit(by=by, scope=member_scope(full.id), basis="each", amount_nano=full_limit, reason="Trial month")


def _set_group_limits(by: Principal, month: Month) -> None:
    """Give the two teams a budget each, and everybody on trial a ceiling of their own."""
    teams = {group.name: group_scope(group.id) for group in groups.present(by.organization_id)}
    for name, percent in (("Platform", 140), ("Research", 120)):
        budget = _round_up(_spent(by, teams[name], month) * percent // 100)
        caps.set_limit(by=by, scope=teams[name], basis="pool", amount_nano=budget, reason="Team budget")
    people = [_member(by.organization_id, name) for name in next(row[2] for row in GROUPS if row[0] == "Trial")]
    most = max(_spent(by, member_scope(member.id), month) for member in people)
    ceiling = _round_up(most * 2)
    caps.set_limit(by=by, scope=teams["Trial"], basis="each", amount_nano=ceiling, reason="Until they know it")


def _round_up(nano: int) -> int:
    return -(-max(nano, DOLLAR) // (10 * DOLLAR)) * 10 * DOLLAR


def _cents(nano: int) -> int:
    """Return whole cents, as people write a limit, and never more than *nano*."""
    return nano // (DOLLAR // 100) * (DOLLAR // 100)


def _spent(by: Principal, scope: str, month: Month) -> int:
    row = Account.objects.filter(organization_id=by.organization_id, scope=scope, window_key=str(month)).first()
    return row.spent_nano if row else 0


def _by_address(by: Principal, email: str) -> Member:
    return Member.objects.get(organization_id=by.organization_id, email=email)


def _member(organization_id: str, name: str) -> Member:
    return Member.objects.get(organization_id=organization_id, name=name)


def _principal(owner: Member) -> Principal:
    return of_person(Person.objects.get(id=owner.person_id))
