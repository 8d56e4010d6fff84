"""Holds made together: all or none, exact on both databases; and the rows of their batch."""

import asyncio
from datetime import timedelta

from tokenpool.kernel import clock, ids
from tokenpool.limits import message_batches
from tokenpool.limits.models import BatchRequest, Hold, LastRefusal, MessageBatch
from tokenpool.limits.operations import Done, Ended, Held, Refusal, Stale, Together, Void

from .conftest import DOLLAR, NOW, Bench, settle


def together(bench: Bench, count: int, nano: int, **more: object) -> Together:
    """Return a batch of *count* requests of *nano* each."""
    asked = tuple(bench.ask(nano, **more) for _ in range(count))  # type: ignore[arg-type]
    names = tuple(f"r{n}" for n in range(count))
    return Together(ids.new("msgbatch"), asked[0].who, "provider", asked, names, NOW + timedelta(minutes=20))


async def test_what_fits_to_the_nano_is_held(bench: Bench) -> None:
    """Ten of a tenth below a limit of a dollar: every account holds the dollar, every request has its hold."""
    bench.limit("organization", "pool", DOLLAR)
    ask = together(bench, 10, DOLLAR // 10)

    answer = await bench.do(ask)

    assert isinstance(answer, Held)
    assert (ask.requests[0].hold_id, DOLLAR, 10) == (answer.hold_id, answer.amount_nano, Hold.objects.count())
    assert {(0, DOLLAR)} == {bench.account(scope) for scope in ("organization", "seat_type:chat", "member:user_1")}
    assert {f"r{n}" for n in range(10)} == set(BatchRequest.objects.values_list("custom_id", flat=True))
    assert ("sending", 10, "") == MessageBatch.objects.values_list("state", "requests", "upstream_id").get()


async def test_one_nano_too_much_refuses_all(bench: Bench) -> None:
    """Nothing is held and no row is left, but the member's last refusal, with the sum that was asked."""
    bench.limit("member:user_1", "pool", DOLLAR - 1)

    answer = await bench.do(together(bench, 10, DOLLAR // 10))

    assert isinstance(answer, Refusal)
    assert (DOLLAR, DOLLAR - 1, 0) == (answer.asked_nano, answer.limit.limit_nano, answer.limit.held_nano)
    assert (0, 0, 0) == (Hold.objects.count(), MessageBatch.objects.count(), BatchRequest.objects.count())
    assert ((0, 0), DOLLAR) == (bench.account("organization"), LastRefusal.objects.get().asked_nano)


async def test_batches_and_requests_at_once_never_pass_a_limit(bench: Bench) -> None:
    """Twenty batches of half a dollar and twenty requests of a tenth ask for a limit of five: exactly five is held."""
    bench.limit("organization", "pool", 5 * DOLLAR)
    asked = [together(bench, 5, DOLLAR // 10) for _ in range(20)] + [bench.ask(DOLLAR // 10) for _ in range(20)]

    answers = await asyncio.gather(*(bench.do(one) for one in asked))

    held = sum(answer.amount_nano for answer in answers if isinstance(answer, Held))
    assert (5 * DOLLAR, (0, 5 * DOLLAR)) == (held, bench.account("organization"))
    assert Hold.objects.count() == held // (DOLLAR // 10)


async def test_a_batch_is_made_once(bench: Bench) -> None:
    """The same first hold again, in the same commit and later: told so, nothing held twice."""
    ask = together(bench, 2, DOLLAR)
    others = together(bench, 1, DOLLAR).requests
    again = ask._replace(batch_id=ids.new("msgbatch"), requests=(ask.requests[0], *others))

    answers = [*await asyncio.gather(bench.do(ask), bench.do(again)), await bench.do(again)]

    assert [Held, Ended, Ended] == [type(answer) for answer in answers]
    assert ((0, 2 * DOLLAR), 1) == (bench.account("organization"), MessageBatch.objects.count())


async def test_each_hold_ends_by_itself(bench: Bench) -> None:
    """One settles, one is void, one stays: the account follows each."""
    ask = together(bench, 3, DOLLAR)
    await bench.do(ask)
    first, second, third = (one.hold_id for one in ask.requests)

    answers = [await bench.do(settle(first, 10)), await bench.do(Void(second, "expired", NOW))]

    assert [Done(), Done()] == answers
    assert (200_000, DOLLAR) == bench.account("organization")
    row = MessageBatch.objects.get()
    assert [third] == await message_batches.open_holds(bench.store, _row(row))


async def test_stale_facts_hold_nothing(bench: Bench) -> None:
    """The gate has moved on: read again."""
    assert Stale(7) == await bench.do(together(bench, 2, DOLLAR, facts_version=6))
    assert (0, 0) == (Hold.objects.count(), MessageBatch.objects.count())


async def test_a_look_is_claimed_once(bench: Bench) -> None:
    """Of eight claims of one look one wins; a batch that is over is due no more; an id is adopted once."""
    await bench.do(together(bench, 1, DOLLAR))
    at = clock.timestamp(NOW) + 3_600_000_000
    (row,) = await message_batches.due(bench.store, at)

    claims = await asyncio.gather(*(message_batches.claim(bench.store, row, at + 1) for _ in range(8)))
    await message_batches.adopt(bench.store, row, "theirs", "{}", at)
    await message_batches.adopt(bench.store, row, "another", "{}", at)
    (open_row,) = await message_batches.due(bench.store, at)
    await message_batches.finish(bench.store, row, "settled")

    assert (1, "theirs", "open") == (sum(claims), open_row.upstream_id, open_row.state)
    assert {"theirs"} == await message_batches.known(bench.store, "provider", ["theirs", "another"])
    assert [] == await message_batches.due(bench.store, at + 10)


async def test_a_member_sees_their_own_until_they_are_deleted(bench: Bench) -> None:
    """Pages newest first, forwards and backwards; what was refused or deleted is in none."""
    asked = [together(bench, 1, DOLLAR)._replace(batch_id=f"msgbatch_{n}") for n in range(5)]
    for ask in [*asked, together(bench, 1, DOLLAR, member_id="user_2")]:
        await bench.do(ask)
    store, whose = bench.store, (bench.organization_id, "user_1")

    async def shown(**cursor: str) -> list[str]:
        return [row.id[-1] for row in await message_batches.page(store, *whose, most=2, **cursor)]

    pages = [await shown(), await shown(after="msgbatch_3"), await shown(before="msgbatch_1")]
    first, second = [await message_batches.find(store, *whose, f"msgbatch_{n}") for n in (4, 3)]
    assert first is not None
    assert second is not None
    await message_batches.describe(store, first, '{"id": "theirs"}')
    await message_batches.hurry(store, first)
    await message_batches.doubt(store, first, 17)
    changed = await message_batches.find(store, *whose, first.id)
    await message_batches.delete(store, first)
    await message_batches.finish(store, second, "refused")

    assert changed is not None
    assert ('{"id": "theirs"}', 17, "unconfirmed") == (changed.document, changed.look_at_us, changed.state)
    assert [["4", "3"], ["2", "1"], ["3", "2"]] == pages
    assert (["2", "1"], None) == (await shown(), await message_batches.find(store, *whose, first.id))
    assert {asked[0].hold_id: "r0"} == await message_batches.requests_of(
        store, _row(MessageBatch.objects.get(id="msgbatch_0"))
    )


def _row(row: MessageBatch) -> message_batches.BatchRow:
    return message_batches.BatchRow(*(getattr(row, name) for name in message_batches.BatchRow._fields))
