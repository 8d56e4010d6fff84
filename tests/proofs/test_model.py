"""The ledger against the plain model: every answer of a random history, one at a time and in batches."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import NotFound
from tokenpool.kernel.group_commit import Statement, Store, Transaction
from tokenpool.kernel.period import Month
from tokenpool.kernel.sqlite import SqliteStore
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits import holds
from tokenpool.limits.operations import Attribution, Authorize, Extend, Lose, Settle, Stale, Trim, Void
from tokenpool.metering.extract import Reported
from tokenpool.metering.rate import rate_reported
from tokenpool.organizations.directory import Directory, KeyFacts
from tokenpool.organizations.models import Member, Organization, SeatType
from tokenpool.pricing import load
from tokenpool.pricing.book import PriceBook
from tokenpool.pricing.bound import Shape, largest_cost
from tokenpool.proofs import history, scratch
from tokenpool.proofs.model import Model

pytestmark = pytest.mark.proof

UNKNOWN = "hold_00000000000000000000000000"
GROUPS = ("grp_a", "grp_b")
SCOPES = [("organization", "pool"), ("organization", "each"), ("seat_type:chat", "pool"), ("seat_type:chat", "each"),
          ("seat_type:code", "pool"), ("group:grp_a", "pool"), ("group:grp_a", "each"), ("group:grp_b", "pool"),
          ("member:user_0", "each"), ("member:user_1", "each")]  # fmt: skip
SOLD = load.standard().price("claude-opus-5-5", scratch.NOON.date())
tokens = st.integers(0, 12)  # a token costs whole dollars, so the numbers can be read
slots = st.integers(0, 3)
which = st.integers(0, 10**6)


class History(RuleBasedStateMachine):
    """One organization's random history, on the real ledger and on the model at once."""

    loop: asyncio.AbstractEventLoop
    store: Store
    steps = 0

    @initialize()
    def begin(self) -> None:
        """Found an organization of four members on the database of the test."""
        self.commits = scratch.ledger_on(self.store)
        self.directory = Directory(self.store)
        self.organization_id, self.model, self.now = ids.new("org"), Model(), scratch.NOON
        self.known: list[str] = []
        self.seen: dict[str, KeyFacts] = {}
        self.book = PriceBook([], {})
        self.wait(scratch.found(self.store, self.organization_id))
        facts = {"id": self.organization_id, "plan_id": "plan", "currency": "USD", "created_at": scratch.NOON}
        Organization.objects.create(name="Scratch", **facts)
        self.names = [f"user_{slot}" for slot in range(4)]
        self.join({name: "chat" if slot % 2 else "code" for slot, name in enumerate(self.names)})
        self.reprice(1)

    @rule(slot=slots, count=tokens)
    def hold(self, slot: int, count: int) -> None:
        """Ask for a hold, on facts that may be stale; the answer and the room of a refusal are the model's."""
        self.asked([(slot, count)])

    @rule(asks=st.lists(st.tuples(slots, tokens), min_size=2, max_size=5))
    def together(self, asks: list[tuple[int, int]]) -> None:
        """Ask for several holds at once, on fresh facts: one batch, decided in order; an id may come twice in it."""
        self.seen.clear()
        for slot, _ in asks:
            self.wait(self.look(self.names[slot]))
        self.asked(asks)

    def asked(self, asks: list[tuple[int, int]]) -> None:
        """Ask the ledger and the model."""
        fresh = [ids.new("hold") for _ in asks]
        twice = [fresh[0] if len(asks) > 3 and number == 2 else hold_id for number, hold_id in enumerate(fresh)]
        named = [(hold_id, self.names[slot], count) for hold_id, (slot, count) in zip(twice, asks, strict=True)]
        self.known += fresh
        expected = [self.model.hold(hold_id, count, name, self.now) for hold_id, name, count in named]

        async def all_asked() -> list[str]:
            return await asyncio.gather(*(self.ask(*one) for one in named))

        assert expected == self.wait(all_asked())

    @rule(slot=slots, counts=st.lists(tokens, min_size=2, max_size=4))
    def batch(self, slot: int, counts: list[int]) -> None:
        """Ask for a message batch: all of it is held or none, and its holds go on like others."""
        named = [(ids.new("hold"), count) for count in counts]
        self.known += [hold_id for hold_id, _ in named]
        (first, count), *more = named
        expected = self.model.together(named, self.names[slot], self.now)
        assert expected == self.wait(self.ask(first, self.names[slot], count, *more))

    @rule(one=which, slot=slots, count=tokens)
    def hold_again(self, one: int, slot: int, count: int) -> None:
        """A retry with an id that is known changes nothing and tells how it stands."""
        self.seen.pop(self.names[slot], None)
        if self.known:
            asked = (self.known[one % len(self.known)], self.names[slot], count)
            expected = self.model.hold(asked[0], count, asked[1], self.now)
            assert expected == self.wait(self.ask(*asked))

    @rule(one=which, nano=tokens.map(lambda n: n * scratch.DOLLAR))
    def trim(self, one: int, nano: int) -> None:
        """Lower a hold."""
        assert self.model.trim(self.pick(one), nano) == self.do(Trim(self.pick(one), "{}", nano))

    @rule(one=which, count=tokens)
    def settle(self, one: int, count: int) -> None:
        """Settle a hold below, at or above its amount, at the price it was admitted at; also in a later month."""
        assert self.model.end(self.pick(one), "settled", count) == self.do(self.settlement(self.pick(one), count))

    @rule(one=which, count=tokens)
    def estimate(self, one: int, count: int) -> None:
        """End a hold by an estimate, if it is in doubt."""
        expected = self.model.end(self.pick(one), "settled", count, if_in_doubt=True)
        assert expected == self.do(self.settlement(self.pick(one), count)._replace(if_in_doubt=True))

    @rule(one=which)
    def void(self, one: int) -> None:
        """End a hold that cost nothing."""
        assert self.model.end(self.pick(one), "void") == self.do(Void(self.pick(one), "tried", self.now))

    @rule(one=which)
    def lose(self, one: int) -> None:
        """Put a hold in doubt; it goes on counting."""
        assert self.model.lose(self.pick(one), self.now) == self.do(Lose(self.pick(one), self.now))

    @rule(one=which)
    def extend(self, one: int) -> None:
        """Renew a lease."""
        until = self.now + timedelta(seconds=30)
        assert self.model.extend(self.pick(one), until) == self.do(Extend(self.pick(one), until))

    @rule(place=st.sampled_from(SCOPES), window=st.sampled_from(["month", "week", "day"]), count=tokens,
          state=st.sampled_from(["amount", "amount", "unlimited", "not_set"]), exception=st.booleans())  # fmt: skip
    def limit(self, place: tuple[str, str], window: str, count: int, state: str, *, exception: bool) -> None:
        """Set a limit up or down, to unlimited, or remove it; it acts on the next request."""
        scope, basis = place
        amount = count * 3 * scratch.DOLLAR if state == "amount" else None
        excepts = exception and scope.startswith("member")
        setting = scratch.limit(
            self.store, self.organization_id, scope, basis, amount, window=window, state=state, exception=excepts
        )
        self.wait(setting)
        self.model.limits.pop((scope, basis, window), None)
        if state != "not_set":
            self.model.limits[scope, basis, window] = (amount, excepts)

    @rule(slot=slots, seat=st.sampled_from(["chat", "code", ""]), groups=st.sets(st.sampled_from(GROUPS)))
    def move(self, slot: int, seat: str, groups: set[str]) -> None:
        """Another seat type and other groups: the next request counts there; open holds stay where they were."""
        name = self.names[slot]
        if name in self.model.members:
            self.model.members[name] = (seat, tuple(sorted(groups)))
            self.write(
                "update organizations_member set seat_type = ?, group_ids = ? where organization_id = ? and id = ?",
                seat or None, " ".join(sorted(groups)), self.organization_id, name,
            )  # fmt: skip

    @rule(slot=slots)
    def remove(self, slot: int) -> None:
        """The member goes; what they hold and have spent stays."""
        if self.model.members.pop(self.names[slot], None):
            sql = "update organizations_member set removed_at = ? where organization_id = ? and id = ?"
            self.write(sql, str(self.now), self.organization_id, self.names[slot])

    @rule(slot=slots)
    def rejoin(self, slot: int) -> None:
        """Somebody who was removed comes back as a new member, with nothing spent."""
        if self.names[slot] not in self.model.members:
            self.names[slot] = f"user_{slot}_{self.steps}"
            self.join({self.names[slot]: "chat"})

    @rule(price=st.integers(1, 3))
    def reprice(self, price: int) -> None:
        """From today on a token has another price; what was admitted keeps the one it has."""
        band = replace(SOLD.bands[0], rates=replace(SOLD.bands[0].rates, output=price * scratch.DOLLAR * 10**6))
        day, versions = self.now.date(), list(self.book.history(SOLD.model)) if self.model.prices else []
        fresh = replace(SOLD, version=f"v{len(versions)}", effective_from=day, bands=(band,), us_factor=None)
        first = [replace(fresh, version="v", effective_from=date(2000, 1, 1))] if not versions else []
        self.book = PriceBook([*first, *versions, fresh], {})
        self.model.prices |= {one.effective_from: price * scratch.DOLLAR for one in (*first, fresh)}

    @rule(hours=st.sampled_from([-24, -1, 1, 12, 24, 24 * 7]))
    def step_clock(self, hours: int) -> None:
        """The clock steps forward or back, over days, weeks and months."""
        self.now += timedelta(hours=hours)

    @rule()
    def close(self) -> None:
        """Close the months before this one, unless a hold of them is open; nothing is admitted there any more."""
        start = Month.of(self.now).start
        sql = "select 1 from limits_hold where organization_id = ? and ended_at_us is null and admitted_at_us < ?"
        opened = self.wait(self.store.read(sql, (self.organization_id, clock.timestamp(start))))
        assert self.model.close(start) == ("open" if opened else "final")
        if not opened:
            sql = "update organizations_gate set open_from_us = ? where organization_id = ? and open_from_us < ?"
            self.write(sql, clock.timestamp(start), self.organization_id, clock.timestamp(start))

    @invariant()
    def count(self) -> None:
        """Count the steps that were really made."""
        type(self).steps += 1

    def teardown(self) -> None:
        """At the end every account is the model's, to the nano-dollar."""
        if not hasattr(self, "model"):
            return
        sql = "select scope, window_key, spent_nano, held_nano from limits_account where organization_id = ?"
        rows = self.wait(self.store.read(sql, (self.organization_id,)))
        stored = {(scope, key): (spent, held) for scope, key, spent, held in rows if spent or held}
        accounts = self.model.spent.keys() | self.model.held.keys()
        expected = {key: (self.model.spent.get(key, 0), self.model.held.get(key, 0)) for key in accounts}
        assert {key: sums for key, sums in expected.items() if any(sums)} == stored

    def pick(self, one: int) -> str:
        """Return a hold that was asked for, or one that never was."""
        return self.known[one % len(self.known)] if self.known and one % 20 else UNKNOWN

    def join(self, seats: dict[str, str]) -> None:
        """Add members by name."""
        facts = {"organization_id": self.organization_id, "role": "member", "added_at": scratch.NOON}
        Member.objects.bulk_create(
            Member(id=name, person_id=name, email=f"{name}@x", name=name, seat_type=seat, **facts)
            for name, seat in seats.items()
        )
        self.model.members |= {name: (seat, ()) for name, seat in seats.items()}

    async def look(self, name: str) -> KeyFacts | None:
        """Read a member's facts; those that let nobody through are not kept, as the gateway keeps none."""
        try:
            facts = await self.directory.member(self.organization_id, name, "chat")
        except NotFound:
            return None
        if facts.entitled:
            self.seen[name] = facts
        return facts

    async def ask(self, hold_id: str, name: str, count: int, *more: tuple[str, int]) -> str:
        """Ask as the gateway does: on facts that may be stale, then on fresh ones; return the model's word.

        With *more* requests it is a message batch.
        """
        for _ in range(3):
            facts = self.seen.get(name) or await self.look(name)
            if facts is None or not facts.entitled:
                return "no seat" if facts else "nobody"
            price = self.book.price(SOLD.model, self.now.date())
            who = Attribution(name, facts.seat_type or "", "chat", groups=facts.groups)
            at = (price.model, price.version)
            asks = [
                Authorize(name, who, *at, largest_cost(Shape(0, n), price), self.now, facts.version, evidence="{}")
                for name, n in [(hold_id, count), *more]
            ]
            answer = await self.commits.submit(self.organization_id, scratch.together(asks) if more else asks[0])
            if not isinstance(answer, Stale):
                return history.said(answer)
            self.seen.pop(name, None)
        return "closed"

    def settlement(self, hold_id: str, count: int) -> Settle:
        """Rate usage at the price that the stored hold is pinned to."""
        row = self.wait(holds.find(self.store, self.organization_id, hold_id))
        pinned = self.book.by_version(row.price_version if row else "v")
        used = Reported(((None, TokenCounts(output=count)),))
        usage, _ = rate_reported(used, pinned=pinned, book=self.book, day=self.now.date())
        return Settle(hold_id, usage, self.now)

    def do(self, operation: object) -> str:
        """Perform on the real ledger; return the answer in the model's words."""
        return history.said(self.wait(self.commits.submit(self.organization_id, operation)))

    def write(self, sql: str, *row: object) -> None:
        """Change facts under the organization's lock, as every verb does: the gate's version rises with them."""
        gate = (self.organization_id,)

        def changed() -> Transaction[None]:
            lock = Statement("select version from organizations_gate where organization_id = ?", [gate], locks=True)
            raised = "update organizations_gate set version = version + 1 where organization_id = ?"
            yield [lock, Statement(sql, [row]), Statement(raised, [gate])]

        self.wait(self.store.run(changed))

    def wait(self, work: object) -> object:
        """Run *work* to its end."""
        return self.loop.run_until_complete(work)


@pytest.fixture
def hasty(address: str) -> Iterator[tuple[asyncio.AbstractEventLoop, Store]]:
    """Return a loop and a store that waits for no disk: this is about answers, not about power."""
    store = scratch.open_store(address + "&options=-csynchronous_commit%3Doff" if "://" in address else address)
    if isinstance(store, SqliteStore):
        store._connection.execute("pragma synchronous=off")
    loop = asyncio.new_event_loop()
    yield loop, store
    loop.run_until_complete(store.close())
    loop.close()


def test_every_answer_is_the_models(hasty: tuple[asyncio.AbstractEventLoop, Store], times: int) -> None:
    """Twenty thousand steps on SQLite, five thousand on PostgreSQL."""
    SeatType.objects.bulk_create(
        SeatType(plan_id="plan", key=key, name=key, position=1, fee_nano=0, products=["chat"], features=[])
        for key in ("chat", "code")
    )
    loop, store = hasty
    machine = type("History", (History,), {"loop": loop, "store": store, "steps": 0})
    runs = (200 if isinstance(store, SqliteStore) else 50) * times
    checks = settings(
        max_examples=runs, stateful_step_count=100, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip

    run_state_machine_as_test(machine, settings=checks)

    assert machine.steps >= runs * 75
