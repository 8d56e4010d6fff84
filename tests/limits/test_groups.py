"""Limits of groups: set, explained and shown like every other; joining and leaving race with requests."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from builders import DOLLAR, Aurora, aurora
from stores import store_of
from tokenpool.audit.models import AuditEvent
from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import NotAllowed, NotFound
from tokenpool.kernel.period import Month, Window
from tokenpool.limits import caps, explain, overview
from tokenpool.limits.models import Account, Hold
from tokenpool.limits.operations import Answer, Attribution, Authorize, Held, Refusal, Stale, Void
from tokenpool.organizations import groups, memberships
from tokenpool.organizations.directory import Directory
from tokenpool.pricing.bound import Bound
from tokenpool.proofs import scratch
from tokenpool.proofs.scratch import broken_sums

MONTH = str(Month.of(clock.now()))


@pytest.fixture
def org(database: Path | str) -> Aurora:
    """Return the usual organization, on each database."""
    return aurora()


def group(org: Aurora, name: str, *who: str) -> str:
    """Create a group with the members of these first names and return its id."""
    found = groups.create(by=org.ada, name=name)
    if who:
        memberships.add(by=org.ada, group_id=found.id, members=[f"{one}@aurora.example" for one in who])
    return found.id


def spend(org: Aurora, scope: str, spent: int, held: int = 0, window_key: str = MONTH) -> None:
    """Write an account in whole dollars."""
    Account.objects.create(
        organization_id=org.organization_id, scope=scope, window_key=window_key,
        spent_nano=spent * DOLLAR, held_nano=held * DOLLAR,
    )  # fmt: skip


def test_a_group_has_every_basis_and_window(org: Aurora) -> None:
    """Together and each, by month, week and day; what is no group here is not found, nor a deleted one."""
    research, gone = group(org, "Research"), group(org, "Gone")
    there = group(aurora("Borealis", "borealis.example"), "Research")
    caps.delete_group(by=org.ada, group_id=gone)

    for basis in ("pool", "each"):
        for window in Window:
            caps.set_limit(by=org.ada, scope=f"group:{research}", basis=basis, amount_nano=DOLLAR, window=window)
    for missing in (there, gone, "", "grp_00000000000000000000000000", "%"):
        with pytest.raises(NotFound, match="There is no such group"):
            caps.set_limit(by=org.ada, scope=f"group:{missing}", basis="pool", amount_nano=1)

    assert 6 == len(caps.standing(org.organization_id))


def test_limits_stand_in_the_order_of_their_levels(org: Aurora) -> None:
    """Organization, seat types, groups, members."""
    scopes = ["organization", "seat_type:chat", f"group:{group(org, 'A')}", f"member:{org.farid.member_id}"]
    for scope in reversed(scopes):
        org.limit(scope, 1, basis="each")

    assert scopes == [row.scope for row in caps.standing(org.organization_id)]


def test_a_members_groups_are_explained_by_name(org: Aurora) -> None:
    """The pool reads what the group spent, each reads what the member spent; the least room binds."""
    research, support = group(org, "Research", "farid", "elena"), group(org, "Support", "farid")
    spend(org, f"group:{research}", 7, 1)
    spend(org, f"member:{org.farid.member_id}", 3, 1)
    org.limit(f"group:{research}", 10)
    org.limit(f"group:{research}", 9, basis="each")
    org.limit(f"group:{support}", 5, basis="each")

    found = explain.limits_of(by=org.farid, member_id=org.farid.member_id)

    assert [("Research", "each", 5), ("Research", "pool", 2), ("Support", "each", 1)] == [
        (line.scope_name, line.row.basis, (line.left_nano or 0) // DOLLAR) for line in found.lines
    ]
    assert ("Support", "each") == (
        found.binding and found.binding.scope_name,
        found.binding and found.binding.row.basis,
    )
    assert [] == explain.limits_of(by=org.ada, member_id=org.giulia.member_id).lines


def test_an_exception_replaces_what_is_for_each_and_never_a_pool(org: Aurora) -> None:
    """Of seat type and of both groups; the pool of a group and what is for each of the organization stay."""
    first, second = group(org, "A", "farid"), group(org, "B", "farid")
    for scope in ("organization", "seat_type:chat", f"group:{first}", f"group:{second}"):
        org.limit(scope, 1, basis="each")
    org.limit(f"group:{first}", 2)
    caps.set_limit(
        by=org.ada, scope=f"member:{org.farid.member_id}", basis="each", amount_nano=9 * DOLLAR, exception=True
    )

    found = explain.limits_of(by=org.ada, member_id=org.farid.member_id)

    assert {("seat_type:chat", "each"), (f"group:{first}", "each"), (f"group:{second}", "each")} == {
        (line.row.scope, line.row.basis) for line in found.lines if line.replaced
    }
    assert ("organization", "each") == (found.binding.row.scope, found.binding.row.basis) if found.binding else None


def test_the_lowest_limit_on_a_member_alone_is_told_per_window(org: Aurora) -> None:
    """Pools are shared and so are not it; unlimited counts last; what binds may be a pool."""
    research = group(org, "Research", "farid")
    org.limit(f"group:{research}", 2)
    org.limit(f"group:{research}", 8, basis="each")
    org.limit("seat_type:chat", 9, basis="each")
    caps.set_limit(by=org.ada, scope="organization", basis="each", amount_nano=None, window="week")

    (found,), more = explain.page(by=org.ada, member_ids=[org.farid.member_id])
    month, week = found.lowest(Window.MONTH), found.lowest(Window.WEEK)

    assert (8 * DOLLAR, "Research") == (month and month.amount_nano, month and month.scope_name)
    assert (None, None, False) == (week and week.amount_nano, found.lowest(Window.DAY), more)
    binding = found.binding_in(Window.MONTH)
    assert "pool" == (binding and binding.row.basis)
    assert (3, True) == (len(explain.page(by=org.ada, limit=3)[0]), explain.page(by=org.ada, limit=3)[1])


def test_the_cards_show_groups_and_what_deleted_ones_have_spent(org: Aurora) -> None:
    """By name, with their size and month; a deleted one only in the months in which it spent."""
    research, old, idle = group(org, "research", "farid", "elena"), group(org, "Old", "farid"), group(org, "Idle")
    spend(org, f"group:{research}", 4, 1)
    spend(org, f"group:{old}", 2)
    spend(org, f"group:{old}", 1, window_key="2026-01")
    org.limit(f"group:{research}", 10)
    for gone in (old, idle):
        caps.delete_group(by=org.ada, group_id=gone)

    def told(month: Month | None) -> list[tuple[str, int, int, bool]]:
        found = overview.groups(by=org.dieter, month=month)
        return [
            (g.group.name, g.members, g.balance.spent_nano // DOLLAR, g.group.deleted_at is not None) for g in found
        ]

    assert [("Old", 0, 2, True), ("research", 2, 4, False)] == told(None)
    assert [("Old", 0, 1, True), ("research", 2, 0, False)] == told(Month(2026, 1))
    assert [("research", 2, 0, False)] == told(Month(2026, 2))
    card = overview.groups(by=org.ada)[1].balance
    assert (5 * DOLLAR, None) == (card.pool and card.pool.left_nano, card.each)


def test_the_table_narrows_to_a_group(org: Aurora) -> None:
    """As to a seat type; those in none are found too."""
    research = group(org, "Research", "farid", "elena")

    assert (2, 5, 0) == tuple(overview.members(by=org.ada, group=text)[1] for text in (research, "", "grp_"))


def test_the_limits_of_a_deleted_group_end_with_it(org: Aurora) -> None:
    """Their history says why; an admin, who may set no limits, does not delete them that way."""
    research = group(org, "Research", "farid")
    org.limit(f"group:{research}", 3)
    org.limit(f"group:{research}", 1, basis="each")
    org.limit("organization", 9)
    with pytest.raises(NotAllowed, match="set limits"):
        caps.delete_group(by=org.chiara, group_id=research)
    assert "Research" == groups.find(by=org.ada, group_id=research).name

    caps.delete_group(by=org.bruno, group_id=research)

    assert ["organization"] == [row.scope for row in caps.standing(org.organization_id)]
    newest = caps.history(by=org.ada, scope=f"group:{research}", basis="pool")[0]
    assert ("not_set", "bruno@aurora.example", "The group was deleted.") == (newest.state, newest.set_by, newest.reason)
    assert ["group_deleted", "spend_limit_removed", "spend_limit_removed"] == list(
        AuditEvent.objects.order_by("-sequence").values_list("action", flat=True)[:3]
    )


class Client:
    """Asks as the gateway does: facts from the directory, again when they have changed meanwhile."""

    def __init__(self, org: Aurora, database: Path | str) -> None:
        self.org, self.store = org, store_of(database)
        self.directory = Directory(self.store)
        self.commits = scratch.ledger_on(self.store)

    async def ask(self, secret: str, dollars: int = 1) -> tuple[Answer, Authorize]:
        """Return the answer and what was asked for."""
        while True:
            facts = await self.directory.find(secret)
            who = Attribution(facts.member_id, facts.seat_type or "", "chat", groups=facts.groups)
            ask = Authorize(
                ids.new("hold"), who, "a-model", "v", Bound(dollars * DOLLAR, 0, 1), clock.now(), facts.version
            )
            answer = await self.commits.submit(self.org.organization_id, ask)
            if not isinstance(answer, Stale):
                return answer, ask

    async def end(self, ask: Authorize) -> Answer:
        """End a hold that cost nothing."""
        return await self.commits.submit(self.org.organization_id, Void(ask.hold_id, "test", clock.now()))


@pytest.fixture
def client(org: Aurora, database: Path | str) -> Client:
    """Return a client over the test's database."""
    return Client(org, database)


async def elsewhere(verb: Callable[[], object]) -> None:
    """Carry out a console's verb in a thread of its own, while requests go on."""

    def carried_out() -> None:
        verb()
        connection.close()

    connection.close()
    connection.inc_thread_sharing()
    try:
        await asyncio.to_thread(carried_out)
    finally:
        connection.dec_thread_sharing()


async def test_joining_and_leaving_race_with_requests(org: Aurora, client: Client) -> None:
    """Twenty times in and out while four clients ask: the next request counts where it belongs, no sum is broken."""
    research = group(org, "Research", "giulia")
    org.limit(f"group:{research}", 1_000_000)
    secrets = [org.key(org.farid, "chat"), org.key(org.giulia, "chat")]
    running = True
    pinned: list[tuple[str, ...]] = []

    async def busy(secret: str) -> None:
        while running:
            answer, ask = await client.ask(secret)
            assert isinstance(answer, Held)
            pinned.append(ask.who.groups)
            await client.end(ask)

    clients = [asyncio.create_task(busy(secret)) for secret in secrets * 2]
    for number in range(20):
        verb = memberships.add if number % 2 == 0 else memberships.remove
        await elsewhere(lambda verb=verb: verb(by=org.ada, group_id=research, members=[org.farid.member_id]))
        answer, ask = await client.ask(secrets[0])
        assert (Held, (research,) if number % 2 == 0 else ()) == (type(answer), ask.who.groups)
    running = False
    await asyncio.gather(*clients)

    assert {(), (research,)} == set(pinned)
    assert [] == await broken_sums(client.store, org.organization_id)
    row = Account.objects.get(scope=f"group:{research}")
    assert (0, 10 * DOLLAR) == (row.spent_nano, row.held_nano)
    await client.store.close()


async def test_what_was_spent_before_joining_does_not_count(org: Aurora, client: Client) -> None:
    """Three dollars held before, a group of three: three more fit; who leaves takes nothing along."""
    research, secret = group(org, "Research"), org.key(org.farid, "chat")
    org.limit(f"group:{research}", 3)
    before = [await client.ask(secret) for _ in range(3)]
    memberships.add(by=org.ada, group_id=research, members=[org.farid.member_id])
    during = [await client.ask(secret) for _ in range(4)]
    memberships.remove(by=org.ada, group_id=research, members=[org.farid.member_id])
    after, _ = await client.ask(secret)
    await client.store.close()

    assert [Held] * 3 == [type(answer) for answer, _ in before]
    assert [Held, Held, Held, Refusal] == [type(answer) for answer, _ in during]
    assert isinstance(after, Held)
    assert 3 * DOLLAR == Account.objects.get(scope=f"group:{research}").held_nano


async def test_a_hold_outlives_its_group(org: Aurora, client: Client) -> None:
    """Deleted while one runs: it ends where it was counted, the next request is free of the group."""
    research, secret = group(org, "Research", "farid"), org.key(org.farid, "chat")
    org.limit(f"group:{research}", 1)
    _, ask = await client.ask(secret)
    assert isinstance((await client.ask(secret))[0], Refusal)

    caps.delete_group(by=org.ada, group_id=research)
    _, free = await client.ask(secret)
    held = Account.objects.get(scope=f"group:{research}").held_nano
    await client.end(ask)
    broken = await broken_sums(client.store, org.organization_id)
    await client.store.close()

    assert (DOLLAR, 0) == (held, Account.objects.get(scope=f"group:{research}").held_nano)
    assert (research, "") == (Hold.objects.get(id=ask.hold_id).group_ids, Hold.objects.get(id=free.hold_id).group_ids)
    assert [] == broken


async def test_the_next_request_after_joining_is_limited(org: Aurora, client: Client) -> None:
    """Facts cached before the change do not carry a request past the group's limit: zero dollars, at once."""
    research, secret = group(org, "Blocked"), org.key(org.farid, "chat")
    org.limit(f"group:{research}", 0, basis="each")
    assert isinstance((await client.ask(secret))[0], Held)

    memberships.add(by=org.ada, group_id=research, members=[org.farid.member_id])
    answer, _ = await client.ask(secret)
    await client.store.close()

    assert isinstance(answer, Refusal)
    assert (f"group:{research}", "each", 0) == (answer.limit.scope, answer.limit.basis, answer.limit.limit_nano)
