"""The ledger against the plain model: every answer of a random history, one at a time and in batches."""

import asyncio
from datetime import timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tokenpool.kernel import ids
from tokenpool.limits.operations import Done, Ended, Extend, Held, Lose, Refusal, Settle, Trim, Unknown, Void
from tokenpool.proofs import scratch
from tokenpool.proofs.model import Model

pytestmark = pytest.mark.proof

SCOPES = [("organization", "pool"), ("organization", "each"), ("seat_type:chat", "pool"), ("seat_type:chat", "each"),
          ("seat_type:code", "pool"), ("member:user_0", "each"), ("member:user_1", "each")]  # fmt: skip
dollars = st.integers(0, 12).map(lambda n: n * scratch.DOLLAR)
which = st.integers(0, 10**6)


def said(answer: object) -> str:
    """Return an answer in the model's words."""
    match answer:
        case Held():
            return "held"
        case Refusal():
            return f"refused {answer.limit.left_nano}"
        case Done():
            return f"done {answer.overrun_nano}"
        case Ended():
            return answer.state
        case Unknown():
            return "unknown"
    raise AssertionError(answer)


class History(RuleBasedStateMachine):
    """One organization's random history, on the real ledger and on the model at once."""

    address = ""
    steps = 0

    @initialize()
    def begin(self) -> None:
        """Found an organization on the database of the test."""
        self.loop = asyncio.new_event_loop()
        self.store = scratch.open_store(self.address)
        self.commits = scratch.ledger_on(self.store)
        self.organization_id, self.model, self.now = ids.new("org"), Model(), scratch.NOON
        self.seats = {f"user_{n}": "chat" if n % 2 else "code" for n in range(4)}
        self.known: list[str] = []
        self.loop.run_until_complete(scratch.found(self.store, self.organization_id))

    @rule(member=st.integers(0, 3), nano=dollars)
    def hold(self, member: int, nano: int) -> None:
        """Ask for a hold; the answer and the room of a refusal are the model's."""
        hold_id, name = ids.new("hold"), f"user_{member}"
        self.known.append(hold_id)
        ask = scratch.ask(hold_id, nano, name, self.seats[name], self.now)
        assert self.model.hold(hold_id, nano, name, self.seats[name], self.now) == self.do(ask)

    @rule(one=which)
    def hold_again(self, one: int) -> None:
        """A retry with an id that is known changes nothing and tells how it stands."""
        if self.known:
            hold_id = self.known[one % len(self.known)]
            expected = self.model.hold(hold_id, 0, "user_0", self.seats["user_0"], self.now)
            assert expected == self.do(scratch.ask(hold_id, 0, "user_0", self.seats["user_0"], self.now))

    @rule(one=which, nano=dollars)
    def trim(self, one: int, nano: int) -> None:
        """Lower a hold."""
        assert self.model.trim(self.pick(one), nano) == self.do(Trim(self.pick(one), "{}", nano))

    @rule(one=which, nano=dollars)
    def settle(self, one: int, nano: int) -> None:
        """Settle a hold below, at or above its amount."""
        settlement: Settle = scratch.settle(self.pick(one), nano, self.now)
        assert self.model.end(self.pick(one), "settled", nano) == self.do(settlement)

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

    @rule(place=st.sampled_from(SCOPES), window=st.sampled_from(["month", "week", "day"]), nano=dollars,
          state=st.sampled_from(["amount", "amount", "unlimited", "not_set"]), exception=st.booleans())  # fmt: skip
    def limit(self, place: tuple[str, str], window: str, nano: int, state: str, *, exception: bool) -> None:
        """Set a limit up or down, to unlimited, or remove it; it acts on the next request."""
        scope, basis = place
        amount = nano * 3 if state == "amount" else None
        excepts = exception and scope.startswith("member")
        setting = scratch.limit(
            self.store, self.organization_id, scope, basis, amount, window=window, state=state, exception=excepts
        )
        self.loop.run_until_complete(setting)
        self.model.limits.pop((scope, basis, window), None)
        if state != "not_set":
            self.model.limits[scope, basis, window] = (amount, excepts)

    @rule(member=st.integers(0, 3), seat=st.sampled_from(["chat", "code", "none"]))
    def change_seat(self, member: int, seat: str) -> None:
        """The next request counts for the new seat type; open holds stay where they were admitted."""
        self.seats[f"user_{member}"] = seat

    @rule(hours=st.sampled_from([-24, -1, 1, 12, 24, 24 * 7]))
    def step_clock(self, hours: int) -> None:
        """The clock steps forward or back, over days, weeks and months."""
        self.now += timedelta(hours=hours)

    @invariant()
    def count(self) -> None:
        """Count the steps that were really made."""
        type(self).steps += 1

    def teardown(self) -> None:
        """At the end every account is the model's, to the nano-dollar."""
        if not hasattr(self, "loop"):
            return
        sql = "select scope, window_key, spent_nano, held_nano from limits_account where organization_id = ?"
        rows = self.loop.run_until_complete(self.store.read(sql, (self.organization_id,)))
        stored = {(scope, key): (spent, held) for scope, key, spent, held in rows if spent or held}
        accounts = self.model.spent.keys() | self.model.held.keys()
        expected = {key: (self.model.spent.get(key, 0), self.model.held.get(key, 0)) for key in accounts}
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        assert {key: sums for key, sums in expected.items() if any(sums)} == stored

    def pick(self, one: int) -> str:
        """Return a hold that was asked for, or one that never was."""
        return self.known[one % len(self.known)] if self.known and one % 20 else "hold_00000000000000000000000000"

    def do(self, operation: object) -> str:
        """Perform on the real ledger; return the answer in the model's words."""
        return said(self.loop.run_until_complete(self.commits.submit(self.organization_id, operation)))


def test_every_answer_is_the_models(address: str) -> None:
    """Twenty thousand steps on SQLite, two thousand on PostgreSQL."""
    machine = type("History", (History,), {"address": address, "steps": 0})
    runs = 20 if address.startswith("postgres") else 200
    checks = settings(
        max_examples=runs, stateful_step_count=100, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip

    run_state_machine_as_test(machine, settings=checks)

    assert machine.steps >= runs * 50
