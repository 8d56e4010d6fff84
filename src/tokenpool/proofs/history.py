"""What many processes asked of one organization, recorded as it was committed, and told to the plain model again.

Each batch writes what it was asked and what it will answer in its own transaction, under the
organization's lock: so the order of these rows is the order of the commits, and what was rolled
back is not among them. If the model gives every answer, whatever was asked at once can be explained
as if it had been asked one by one.
"""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import psycopg

from tokenpool.kernel import ids
from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import GroupCommit, Statement, Store, Transaction
from tokenpool.limits import ledger
from tokenpool.limits.kept import Kept
from tokenpool.limits.operations import (
    Alive,
    Authorize,
    Done,
    Ended,
    Extend,
    Held,
    Lose,
    Operation,
    Refusal,
    Settle,
    Stale,
    Together,
    Trim,
    Unknown,
    Void,
)
from tokenpool.proofs import crew, scratch
from tokenpool.proofs.model import Model

Fact = list[Any]  # [what was done, with which words, what was said]
OPERATIONS = 40  # of each caller
REFUSED = (Unavailable, sqlite3.IntegrityError, psycopg.IntegrityError)
_TABLE = "create table proof_history (number {} primary key, organization_id varchar(40), facts text)"
_WRITE = "insert into proof_history (organization_id, facts) values (?, ?)"
_LEVELS = (("organization", "pool"), ("organization", "each"), ("seat_type:chat", "pool"), ("seat_type:code", "each"),
           ("group:grp_a", "pool"), ("group:grp_b", "each"), ("member:user_1", "each"))  # fmt: skip
_MEMBERS = {"user_1": ("chat", ("grp_a",)), "user_2": ("chat", ("grp_a", "grp_b")), "user_3": ("code", ())}


@dataclass
class Replayed:
    """What the model made of the recorded histories. *unexplained* are answers that it would not have given."""

    rounds: int = 0
    operations: int = 0
    said: Counter[str] = field(default_factory=Counter)  # the kinds of answers, by their first word
    unexplained: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """True when every answer is the model's."""
        return not self.unexplained


async def prepare(store: Store, address: str) -> None:
    """Make the table of the record."""
    key = "bigserial" if address.startswith("postgres") else "integer"
    await store.run(lambda: scratch.written([Statement(_TABLE.format(key), [()])]))


async def run(store: Store, pipes: list[Connection], seeds: range, *, until_broken: bool = False) -> Replayed:
    """Let everybody do as they like once per seed, and replay each record; stop at the first breach if told so."""
    replayed = Replayed()
    for seed in seeds:
        await go_on(store, pipes, seed, replayed)
        if until_broken and not replayed.holds:
            break
    return replayed


async def go_on(store: Store, pipes: list[Connection], seed: int, replayed: Replayed) -> None:
    """Do one round and add what came of it to *replayed*."""
    organization_id = ids.new("org")
    await scratch.found(store, organization_id)
    crew.tell(pipes, organization_id, seed)
    while not crew.done(pipes):  # noqa: ASYNC110 - what is awaited are other processes
        await asyncio.sleep(0.005)
    heard = Counter(answer for pipe in pipes for answer in pipe.recv())
    await _replay(store, organization_id, heard, replayed)


async def do_as_they_like(store: Store, organization_id: str, seed: int, number: int) -> list[str]:
    """Ask for everything there is, from many callers at once, on the same holds; return what was heard, as recorded."""
    commits = GroupCommit(store, partial(_recorded, kept=Kept()))
    chances = [random.Random(seed * 1000 + number * 100 + caller) for caller in range(crew.CALLERS)]  # noqa: S311 - seeded
    heard = await asyncio.gather(*(_caller(store, commits, organization_id, chance) for chance in chances))
    return [answer for one in heard for answer in one]


async def _caller(store: Store, commits: GroupCommit, organization_id: str, chance: random.Random) -> list[str]:
    heard = []
    for _ in range(OPERATIONS):
        await asyncio.sleep(chance.random() * 0.002)
        try:
            if chance.random() < 0.1:  # noqa: PLR2004 - one in ten
                heard.append(json.dumps(await _limit(store, organization_id, chance)))
            else:
                operation = _drawn(organization_id, chance)
                answer = await commits.submit(organization_id, operation)
                heard.append(json.dumps([*_words(operation), said(answer)]))
        except REFUSED:  # a mutant's write may be refused by a constraint
            continue
    return heard


def _drawn(organization_id: str, chance: random.Random) -> Operation:
    """Draw an operation on one of thirty holds that everybody knows, or on one that was made with it in a batch."""
    number, nano = chance.randrange(30), chance.randrange(8) * scratch.DOLLAR
    hold_ids = [ids.derived("hold", organization_id, str(number), *more) for more in ((), ("b",), ("c",))]
    hold_id = chance.choice(hold_ids)
    at = scratch.NOON + timedelta(hours=chance.randrange(24 * 14))
    drawn = chance.randrange(11)
    member = chance.choice(sorted(_MEMBERS))

    def asked(hold_id: str, nano: int) -> Authorize:
        return scratch.ask(hold_id, nano, member, _MEMBERS[member][0], at, _MEMBERS[member][1])

    choices: dict[int, Callable[[], Operation]] = {
        0: lambda: scratch.settle(hold_id, nano, at),
        1: lambda: scratch.settle(hold_id, nano, at)._replace(if_in_doubt=True),
        2: lambda: Void(hold_id, "tried", at),
        3: lambda: Trim(hold_id, "{}", nano),
        4: lambda: Extend(hold_id, at),
        5: lambda: Lose(hold_id, at + timedelta(days=7)),
        6: lambda: scratch.together([asked(one, nano // 3) for one in hold_ids[: chance.randrange(1, 4)]]),
    }
    return choices.get(drawn, lambda: asked(hold_ids[0], nano))()


async def _limit(store: Store, organization_id: str, chance: random.Random) -> Fact:
    """Set or remove a limit, recorded under the same lock."""
    (scope, basis), window = chance.choice(_LEVELS), chance.choice(scratch.WINDOWS.split())
    nano = chance.choice([None, *range(5, 40, 5)])
    amount, state = (None, "unlimited") if nano is None else (nano * scratch.DOLLAR, "amount")
    fact = ["limit", [scope, basis, window, amount], "done"]
    record = Statement(_WRITE, [(organization_id, json.dumps([fact]))])
    await scratch.limit(store, organization_id, scope, basis, amount, window=window, state=state, also=[record])
    return fact


def _recorded(organization_id: str, operations: list[Operation], *, kept: Kept) -> Transaction[list[object]]:
    """Decide as the ledger does, and write down in the same transaction what was asked and what will be said."""
    answers = yield from ledger.transaction(organization_id, operations, kept=kept)
    facts = [[*_words(operation), said(answer)] for operation, answer in zip(operations, answers, strict=True)]
    yield [Statement(_WRITE, [(organization_id, json.dumps(facts))])]
    return list(answers)


async def _replay(store: Store, organization_id: str, heard: Counter[str], replayed: Replayed) -> None:
    rows = await store.read(
        "select facts from proof_history where organization_id = ? order by number", (organization_id,)
    )
    facts: list[Fact] = [fact for (text,) in rows for fact in json.loads(text)]
    model = Model(members=dict(_MEMBERS), prices={date.min: 1})
    for done, words, answered in facts:
        expected = _of_model(model, done, words)
        replayed.said[answered.partition(" ")[0]] += 1
        if expected != answered:
            replayed.unexplained.append(f"{done} {words}: the ledger said “{answered}”, the model “{expected}”")
    recorded = Counter(json.dumps(fact) for fact in facts)
    if heard != recorded:
        replayed.unexplained.append(f"heard and recorded differ: {(heard - recorded) + (recorded - heard)}")
    if wrong := await scratch.broken_sums(store, organization_id):
        replayed.unexplained += wrong
    replayed.rounds += 1
    replayed.operations += len(facts)


def _words(operation: Operation) -> tuple[str, list[Any]]:  # noqa: PLR0911 - one a kind
    """Return the model's verb and words of an operation."""
    match operation:
        case Authorize():
            nano, member = operation.bound.amount(), operation.who.member_id
            return "hold", [operation.hold_id, nano, member, str(operation.admitted_at)]
        case Together():
            asks = [[one.hold_id, one.bound.amount()] for one in operation.requests]
            return "together", [asks, operation.who.member_id, str(operation.admitted_at)]
        case Trim():
            return "trim", [operation.hold_id, operation.amount_nano]
        case Settle():
            cost = sum(part.cost.total for part in operation.usage)
            return "estimate" if operation.if_in_doubt else "settle", [operation.hold_id, cost]
        case Void():
            return "void", [operation.hold_id]
        case Extend():
            return "extend", [operation.hold_id, str(operation.lease_until)]
        case Lose():
            return "lose", [operation.hold_id, str(operation.at)]


def _of_model(model: Model, done: str, words: list[Any]) -> str:  # noqa: PLR0911 - one a verb
    """Return what the model says to a recorded fact."""
    match done:
        case "hold":
            return model.hold(words[0], words[1], words[2], datetime.fromisoformat(words[3]))
        case "together":
            return model.together(words[0], words[1], datetime.fromisoformat(words[2]))
        case "trim":
            return model.trim(*words)
        case "settle" | "estimate":
            return model.end(words[0], "settled", words[1], if_in_doubt=done == "estimate")
        case "void":
            return model.end(words[0], "void")
        case "limit":
            model.limits[words[0], words[1], words[2]] = (words[3], False)
            return "done"
    at = datetime.fromisoformat(words[1])
    return model.extend(words[0], at) if done == "extend" else model.lose(words[0], at)


def said(answer: object) -> str:
    """Return an answer of the ledger in the model's words."""
    match answer:
        case Held():
            return "held"
        case Refusal():
            return f"refused {answer.limit.left_nano}"
        case Done():
            return f"done {answer.overrun_nano}"
        case Ended():
            return answer.state
        case Alive() | Unknown() | Stale():
            return type(answer).__name__.lower()
    raise TypeError(answer)
