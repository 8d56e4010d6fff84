"""The ledger: every hold ends exactly once, accounts equal holds and events, refusals change nothing."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tokenpool.kernel import clock
from tokenpool.kernel.errors import Unavailable
from tokenpool.limits.models import Hold, LastRefusal
from tokenpool.limits.operations import (
    Alive,
    Done,
    Ended,
    Extend,
    Held,
    Lose,
    Refusal,
    Stale,
    Trim,
    Unknown,
    Void,
)
from tokenpool.metering.models import DailyUsage, UsageEvent
from tokenpool.organizations.models import Gate

from .conftest import DOLLAR, NOW, Bench, settle

SCOPES = ("organization", "seat_type:chat", "member:user_1")


async def test_a_hold_is_counted_at_every_level_and_stands_on_disk(bench: Bench) -> None:
    """Member, seat type and organization are raised together."""
    ask = bench.ask(3 * DOLLAR)

    answer = await bench.do(ask)

    assert Held(ask.hold_id, 3 * DOLLAR, 1, clamped=False, fullest=None) == answer
    assert [(0, 3 * DOLLAR)] * 3 == [bench.account(scope) for scope in SCOPES]
    assert "reserved" == bench.hold(ask.hold_id).state


async def test_a_settlement_moves_hold_event_rollup_and_accounts_together(bench: Bench) -> None:
    """1,000 output tokens of Claude Opus 5.5 cost two cents, everywhere."""
    ask = bench.ask(DOLLAR)
    await bench.do(ask)

    assert Done() == await bench.do(settle(ask.hold_id, 1_000))

    event = UsageEvent.objects.get()
    daily = DailyUsage.objects.get()
    assert [(20_000_000, 0)] * 3 == [bench.account(scope) for scope in SCOPES]
    assert (20_000_000, 20_000_000, 1_000, "2026-11") == (
        event.cost_nano,
        event.output_nano,
        event.output_tokens,
        event.month,
    )
    assert (20_000_000, 1, "2026-11-24") == (daily.cost_nano, daily.requests, daily.day)
    assert ("settled", 20_000_000) == (bench.hold(ask.hold_id).state, bench.hold(ask.hold_id).settled_nano)
    assert event.id.removeprefix("evt_") == ask.hold_id.removeprefix("hold_")


async def test_a_second_ending_is_told_the_first_and_changes_nothing(bench: Bench) -> None:
    """Settled is settled; voiding it later frees nothing."""
    ask = bench.ask(DOLLAR)
    await bench.do(ask)
    await bench.do(settle(ask.hold_id, 1_000))

    answers = [await bench.do(settle(ask.hold_id, 9)), await bench.do(Void(ask.hold_id, "late", NOW))]

    assert [Ended("settled", 20_000_000, "")] * 2 == answers
    assert (20_000_000, 0) == bench.account("organization")
    assert 1 == UsageEvent.objects.count()


async def test_nothing_is_admitted_into_a_closed_month(bench: Bench) -> None:
    """November is closed: a request of its last second asks again, one of December passes, a hold of it ends in it."""
    december = datetime(2026, 12, 1, tzinfo=UTC)
    before = bench.ask(DOLLAR)
    await bench.do(before)
    Gate.objects.filter(organization_id="org_a").update(open_from_us=clock.timestamp(december))
    asks = [
        bench.ask(DOLLAR, admitted_at=december - timedelta(microseconds=1)),
        bench.ask(DOLLAR, admitted_at=december),
    ]

    answers = [type(await bench.do(ask)) for ask in asks]

    assert [Stale, Held] == answers
    assert Done() == await bench.do(settle(before.hold_id, 1_000))
    assert ((20_000_000, 0), (0, DOLLAR)) == (bench.account("organization"), bench.account("organization", "2026-12"))


async def test_an_id_that_two_members_ask_with_at_once_counts_for_the_first_alone(bench: Bench) -> None:
    """In one batch, whichever of them is refused or held; the hold ends where it was counted."""
    bench.limit("member:user_1", "each", 0)
    asks = [bench.ask(DOLLAR, f"user_{number}", hold_id="hold_shared") for number in (1, 2, 3)]

    answers = [type(one) for one in await asyncio.gather(*(bench.do(ask) for ask in asks))]

    assert [Refusal, Held, Ended] == answers
    assert [(0, 0), (0, DOLLAR), (0, 0)] == [bench.account(f"member:user_{number}") for number in (1, 2, 3)]
    await bench.do(Void("hold_shared", "tried", NOW))
    assert (0, 0) == bench.account("member:user_2")


async def test_an_estimate_ends_only_a_hold_that_is_in_doubt(bench: Bench) -> None:
    """Answered for: nothing happens. In doubt: ended. Renewed after that: nothing happens either."""
    ask = bench.ask(DOLLAR)
    await bench.do(ask)
    guess = settle(ask.hold_id, 1_000)._replace(if_in_doubt=True)
    late = NOW + timedelta(seconds=31)

    answers = [
        await bench.do(guess),
        await bench.do(Lose(ask.hold_id, late)),
        await bench.do(Extend(ask.hold_id, late)),
        await bench.do(guess),
        await bench.do(Lose(ask.hold_id, late + timedelta(seconds=31))),
        await bench.do(guess),
        await bench.do(guess),
    ]

    assert [Alive(), Done(), Done(), Alive(), Done(), Done(), Ended("settled", 20_000_000, "")] == answers


async def test_giving_back_reaches_only_the_hold_that_was_admitted_then(bench: Bench) -> None:
    """A hold that bears the same id, but was admitted a microsecond later, stands."""
    ask = bench.ask(DOLLAR)
    await bench.do(ask)

    assert Unknown() == await bench.do(Void(ask.hold_id, "never sent", NOW, NOW - timedelta(microseconds=1)))
    assert "reserved" == bench.hold(ask.hold_id).state
    assert Done() == await bench.do(Void(ask.hold_id, "never sent", NOW, NOW))


async def test_a_void_frees_the_hold_and_bills_nothing(bench: Bench) -> None:
    """The provider refused before generating."""
    ask = bench.ask(DOLLAR)
    await bench.do(ask)

    assert Done() == await bench.do(Void(ask.hold_id, "upstream answered 529", NOW))

    assert [(0, 0)] * 3 == [bench.account(scope) for scope in SCOPES]
    assert ("void", "upstream answered 529", 0) == (
        bench.hold(ask.hold_id).state,
        bench.hold(ask.hold_id).end_reason,
        UsageEvent.objects.count(),
    )


async def test_a_refusal_names_the_binding_limit_with_its_numbers(bench: Bench) -> None:
    """Spent, held and left are told apart; nothing is held, and the refusal is remembered."""
    bench.limit("organization", "pool", 100 * DOLLAR)
    limit = bench.limit("member:user_1", "each", 2 * DOLLAR)
    first = bench.ask(DOLLAR)
    await bench.do(first)
    await bench.do(settle(first.hold_id, 25_000))
    await bench.do(bench.ask(DOLLAR))

    answer = await bench.do(bench.ask(DOLLAR))

    assert isinstance(answer, Refusal)
    assert (limit.id, DOLLAR // 2, DOLLAR, DOLLAR // 2, DOLLAR) == (
        answer.limit.limit_id,
        answer.limit.spent_nano,
        answer.limit.held_nano,
        answer.limit.left_nano,
        answer.asked_nano,
    )
    assert datetime(2026, 12, 1, tzinfo=UTC) == answer.limit.resets_at
    assert (DOLLAR // 2, DOLLAR) == bench.account("organization")
    assert limit.id == LastRefusal.objects.get(member_id="user_1").limit_id


async def test_what_an_account_cannot_count_is_refused_alone(bench: Bench) -> None:
    """Without any limit 9.2 billion dollars are the most of an account; what others do in the same batch stands."""
    huge = bench.ask(2**63 - 1 - DOLLAR)
    await bench.do(huge)

    fits, over, ends = bench.ask(DOLLAR), bench.ask(1), Void(huge.hold_id, "a mistake", NOW)
    held, refused, ended = await asyncio.gather(*map(bench.do, (fits, over, ends)))

    assert (True, Done()) == (isinstance(held, Held), ended)
    assert isinstance(refused, Refusal)
    assert ("organization", 2**63 - 1, 0, 2**63 - 1) == (
        refused.limit.scope,
        refused.limit.limit_nano,
        refused.limit.spent_nano,
        refused.limit.held_nano,
    )
    assert [(0, DOLLAR)] * 3 == [bench.account(scope) for scope in SCOPES]


async def test_a_changed_limit_acts_on_the_next_request(bench: Bench) -> None:
    """The newest row stands, up and down, and a removed limit is no limit."""
    bench.limit("organization", "pool", DOLLAR)
    outcomes = [type(await bench.do(bench.ask(2 * DOLLAR)))]
    bench.limit("organization", "pool", 3 * DOLLAR)
    outcomes.append(type(await bench.do(bench.ask(2 * DOLLAR))))
    bench.limit("organization", "pool", 1)
    outcomes.append(type(await bench.do(bench.ask(2 * DOLLAR))))
    bench.limit("organization", "pool", None, state="not_set")
    outcomes.append(type(await bench.do(bench.ask(2 * DOLLAR))))

    assert [Refusal, Held, Refusal, Held] == outcomes


async def test_facts_that_have_moved_are_noticed_inside_the_transaction(bench: Bench) -> None:
    """The caller read its facts at version 6; the gate stands at 7; nothing is held."""
    assert Stale(7) == await bench.do(bench.ask(DOLLAR, facts_version=6))
    assert isinstance(await bench.do(bench.ask(DOLLAR, facts_version=7)), Held)
    assert (0, DOLLAR) == bench.account("organization")


async def test_a_trim_lowers_a_hold_and_never_raises_it(bench: Bench) -> None:
    """At message_start the input side is known; the rest becomes free at once."""
    ask = bench.ask(5 * DOLLAR)
    await bench.do(ask)

    await bench.do(Trim(ask.hold_id, '{"a": 1}', 2 * DOLLAR))
    await bench.do(Trim(ask.hold_id, '{"a": 2}', 4 * DOLLAR))

    assert (0, 2 * DOLLAR) == bench.account("member:user_1")
    assert ('{"a": 2}', 2 * DOLLAR, 5 * DOLLAR) == (
        bench.hold(ask.hold_id).evidence,
        bench.hold(ask.hold_id).amount_nano,
        bench.hold(ask.hold_id).reserved_nano,
    )


async def test_a_lost_hold_is_in_doubt_and_still_held_until_it_ends(bench: Bench) -> None:
    """A passed lease frees nothing; evidence settles the hold later."""
    ask = bench.ask(DOLLAR)
    await bench.do(ask)
    await bench.do(Lose(ask.hold_id, NOW + timedelta(seconds=29)))
    states = [bench.hold(ask.hold_id).state]
    await bench.do(Lose(ask.hold_id, NOW + timedelta(seconds=31)))
    states.append(bench.hold(ask.hold_id).state)

    assert ["reserved", "in_doubt"] == states
    assert (0, DOLLAR) == bench.account("organization")
    assert Done() == await bench.do(settle(ask.hold_id, 10))
    assert (200_000, 0) == bench.account("organization")


async def test_a_renewed_lease_is_not_lost(bench: Bench) -> None:
    """The heartbeat of a running attempt keeps its hold out of doubt."""
    ask = bench.ask(DOLLAR)
    await bench.do(ask)

    await bench.do(Extend(ask.hold_id, NOW + timedelta(minutes=5)))
    await bench.do(Lose(ask.hold_id, NOW + timedelta(minutes=4)))

    assert "reserved" == bench.hold(ask.hold_id).state


async def test_usage_above_its_hold_is_billed_in_truth_and_told(bench: Bench) -> None:
    """The bill is what was used; the overrun is an alarm, not a discount."""
    ask = bench.ask(100_000)
    await bench.do(ask)

    assert Done(overrun_nano=100_000) == await bench.do(settle(ask.hold_id, 10))
    assert (200_000, 0) == bench.account("organization")


async def test_another_organizations_hold_is_unknown(bench: Bench) -> None:
    """The key begins with the organization."""
    ask = bench.ask(DOLLAR)
    await bench.do(ask)

    assert Unknown() == await bench.commits.submit("org_b", settle(ask.hold_id, 10))
    assert "reserved" == bench.hold(ask.hold_id).state


async def test_the_same_hold_id_never_holds_twice(bench: Bench) -> None:
    """A repeated authorization hears what became of the first."""
    ask = bench.ask(DOLLAR)
    await bench.do(ask)

    assert Ended("reserved", None, "") == await bench.do(ask)
    assert (0, DOLLAR) == bench.account("organization")


async def test_hold_and_settlement_in_one_batch_agree(bench: Bench) -> None:
    """Operations of one batch are decided in order on one state: 10 requests of $1 under a $4 limit."""
    import asyncio  # noqa: PLC0415 - this test alone submits together

    bench.limit("organization", "pool", 4 * DOLLAR)

    answers = await asyncio.gather(*(bench.do(bench.ask(DOLLAR)) for _ in range(10)))

    assert [4, 6] == [sum(isinstance(a, kind) for a in answers) for kind in (Held, Refusal)]
    assert (0, 4 * DOLLAR) == bench.account("organization")


async def test_a_month_is_pinned_at_admission(bench: Bench) -> None:
    """Admitted a second before midnight, settled after it: all of it belongs to November."""
    last_second = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    ask = bench.ask(DOLLAR, admitted_at=last_second)
    await bench.do(ask)

    await bench.do(settle(ask.hold_id, 10)._replace(settled_at=last_second + timedelta(seconds=90)))

    assert [(200_000, 0), (0, 0)] == [bench.account("organization", key) for key in ("2026-11", "2026-12")]
    assert ("2026-11", "2026-11-30") == (UsageEvent.objects.get().month, DailyUsage.objects.get().day)


async def test_a_write_that_fails_leaves_no_trace_of_the_batch(bench: Bench) -> None:
    """An event id that exists fails the whole transaction; the hold stays open."""
    first, second = bench.ask(DOLLAR), bench.ask(DOLLAR)
    await bench.do(first)
    await bench.do(second)
    await bench.do(settle(first.hold_id, 10))
    Hold.objects.filter(id=first.hold_id).update(state="reserved", ended_at_us=None)

    with pytest.raises(Unavailable, match="nothing was written"):
        await bench.do(settle(first.hold_id, 10))

    assert (200_000, DOLLAR) == bench.account("organization")
    assert "reserved" == bench.hold(second.hold_id).state


async def test_a_group_counts_what_its_members_hold_and_spend_together(bench: Bench) -> None:
    """Two members of a group with $3 have room for three requests of $1; whoever is not in it has room still."""
    limit = bench.limit("group:grp_a", "pool", 3 * DOLLAR)
    asks = [bench.ask(DOLLAR, f"user_{number % 2}", groups="grp_a") for number in range(4)]

    answers = [await bench.do(ask) for ask in asks]
    await bench.do(settle(asks[0].hold_id, 50_000))

    assert [Held, Held, Held, Refusal] == [type(answer) for answer in answers]
    assert (limit.id, 3 * DOLLAR) == (answers[3].limit.limit_id, answers[3].limit.held_nano)
    assert (DOLLAR, 2 * DOLLAR) == bench.account("group:grp_a")
    assert isinstance(await bench.do(bench.ask(DOLLAR)), Held)


async def test_each_member_of_a_group_has_its_limit_alone(bench: Bench) -> None:
    """Of two groups the lower limit for each member binds; an own exception replaces both, a pool stays."""
    bench.limit("group:grp_a", "each", 2 * DOLLAR)
    lower = bench.limit("group:grp_b", "each", DOLLAR)
    facts = {"groups": "grp_a grp_b"}
    assert isinstance(await bench.do(bench.ask(DOLLAR, **facts)), Held)

    refused = await bench.do(bench.ask(DOLLAR, **facts))
    bench.limit("member:user_1", "each", 9 * DOLLAR, exception=True)
    excepted = await bench.do(bench.ask(DOLLAR, **facts))
    pool = bench.limit("group:grp_a", "pool", 2 * DOLLAR)
    pooled = await bench.do(bench.ask(DOLLAR, **facts))

    assert (lower.id, pool.id) == (refused.limit.limit_id, pooled.limit.limit_id)
    assert isinstance(excepted, Held)
    assert isinstance(await bench.do(bench.ask(DOLLAR, "user_2", **facts)), Refusal)


async def test_a_group_is_pinned_at_admission(bench: Bench) -> None:
    """Who has left the group since is settled where the hold was counted, and its event says so."""
    ask = bench.ask(DOLLAR, groups="grp_a")
    await bench.do(ask)
    assert isinstance(await bench.do(bench.ask(DOLLAR)), Held)

    await bench.do(settle(ask.hold_id, 10))

    assert (200_000, 0) == bench.account("group:grp_a")
    assert ("grp_a", "grp_a") == (bench.hold(ask.hold_id).group_ids, UsageEvent.objects.get().group_ids)
