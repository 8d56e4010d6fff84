"""Own prices: set by the operator alone, added and never edited, audited, known to the next request."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from builders import Aurora, aurora
from stores import store_of
from tokenpool.audit.models import AuditEvent
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound
from tokenpool.organizations import own_prices
from tokenpool.organizations.directory import Directory
from tokenpool.organizations.models import Gate, OwnPrice
from tokenpool.organizations.roles import operator
from tokenpool.pricing import load

BOOK = load.standard()
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TODAY, DOLLAR = NOW.date(), 1_000_000_000


@pytest.fixture
def org(either_database: Path | str) -> Aurora:
    """Return the usual organization."""
    return aurora()


def set_price(org: Aurora, **more: object) -> OwnPrice:
    """Set an own price as the operator, at noon of 24 November 2026."""
    facts = {"effective_from": TODAY, "reason": "Contract 7", "by": operator(org.organization_id, "Olga"), **more}
    with clock.standing_at(NOW):
        return own_prices.set_price(book=BOOK, **facts)


def test_a_row_is_added_with_who_and_why_and_audited(org: Aurora) -> None:
    """The audit tells what it follows; the gate's version rises, so cached facts are read again."""
    version = Gate.objects.get(organization_id=org.organization_id).version

    first = set_price(org, ppm=-100_000)
    second = set_price(org, ppm=-150_000, reason="  Contract\n8 ")

    event = AuditEvent.objects.order_by("-sequence")[0]
    assert ("operator_actor", "Olga", "own_price_set") == (event.actor_type, event.actor_name, event.action)
    assert (-100_000, -150_000, "Contract 8") == (event.before["ppm"], event.after["ppm"], event.after["reason"])
    assert version + 2 == Gate.objects.get(organization_id=org.organization_id).version
    assert [second.id, first.id] == [row.id for row in own_prices.history(by=org.dieter)]


def test_only_the_operator_sets_and_only_who_sees_spend_reads_why(org: Aurora) -> None:
    """Not the primary owner, nobody else."""
    for who in org.everybody().values():
        with pytest.raises(NotAllowed, match="ask the operator"):
            set_price(org, by=who, ppm=-1)
        with pytest.raises(NotAllowed, match="ask the operator"):
            own_prices.end_price(by=who, book=BOOK, effective_from=TODAY, reason="x")
    with pytest.raises(NotAllowed, match="ask an owner"):
        own_prices.history(by=org.farid)
    assert 0 == OwnPrice.objects.count()


def test_an_organizations_rows_are_its_own(org: Aurora) -> None:
    """Borealis pays the list price."""
    there = aurora("Borealis", "borealis.example")
    set_price(org, ppm=-100_000)

    prices = [
        own_prices.book_of(one.organization_id, BOOK).price("claude-opus-5-5", TODAY).bands[0].rates.input
        for one in (org, there)
    ]

    assert [3_600_000_000, 4 * DOLLAR] == prices
    assert [] == own_prices.history(by=there.ada)


def test_a_contract_ends_and_leaves_its_model_to_the_discount(org: Aurora) -> None:
    """From the named day on; ending what does not stand is refused."""
    set_price(org, ppm=-100_000)
    set_price(org, model="claude-opus-5-5", amounts={"output": "15"})
    by = operator(org.organization_id, "Olga")
    facts = {"by": by, "book": BOOK, "reason": "Over", "model": "claude-opus-5-5"}
    with clock.standing_at(NOW):
        own_prices.end_price(**facts, effective_from=date(2026, 12, 1))
        with pytest.raises(NotFound, match="no own price at this level on that day"):
            own_prices.end_price(**facts, effective_from=date(2026, 12, 1))

    book = own_prices.book_of(org.organization_id, BOOK)
    outputs = [
        book.price("claude-opus-5-5", date(*day)).bands[0].rates.output for day in ((2026, 11, 30), (2026, 12, 1))
    ]
    assert [15 * DOLLAR, 18 * DOLLAR] == outputs


def test_the_discount_for_all_ends_while_contracts_of_every_model_go_on(org: Aurora) -> None:
    """Each level ends by itself."""
    set_price(org, ppm=-100_000)
    for price in BOOK.models(TODAY)[:3]:
        set_price(org, model=price.model, ppm=-200_000)

    with clock.standing_at(NOW):
        own_prices.end_price(
            by=operator(org.organization_id, "Olga"), book=BOOK, effective_from=TODAY, reason="Over"
        )  # fmt: skip

    book = own_prices.book_of(org.organization_id, BOOK)
    own = [price.model for price in BOOK.models(TODAY) if book.price(price.model, TODAY) is not price]
    assert [price.model for price in BOOK.models(TODAY)[:3]] == own


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"effective_from": date(2026, 11, 23)}, InvalidInput, "effective_from: 2026-11-23 is past"),
        ({"reason": " "}, InvalidInput, "reason: must be 1 to 200"),
        ({"reason": "x" * 201}, InvalidInput, "reason: must be"),
        ({"reason": "a\x00b"}, InvalidInput, "reason: must be"),
        ({"amounts": {"input": "3"}}, InvalidInput, "prices: amounts are per model"),
        ({"model": "gpt-9"}, InvalidInput, "model: “gpt-9” has no price"),
        ({"model": "claude-opus-5-5", "amounts": {"input": "6.01"}}, Conflict, "input: moves by \\+50 %"),
        ({"model": "claude-opus-5-5", "amounts": {"input": "1.99"}}, Conflict, "input: moves by -51 %"),
        ({"ppm": -500_001}, Conflict, "moves by -51 %"),
    ],
)
def test_bad_input_sets_nothing(org: Aurora, given: dict[str, object], error: type[Exception], said: str) -> None:
    """The field and the remedy, and no row."""
    with pytest.raises(error, match=said):
        set_price(org, **given)

    assert 0 == OwnPrice.objects.count()


def test_what_moves_by_more_than_half_or_begins_in_the_past_is_said_twice(org: Aurora) -> None:
    """Exactly half needs no second word."""
    set_price(org, model="claude-opus-5-5", amounts={"input": "6", "output": "10"})
    set_price(org, ppm=-990_000, confirmed=True)
    set_price(org, ppm=-100_000, effective_from=date(2026, 10, 1), in_the_past=True)

    assert 3 == OwnPrice.objects.count()


async def test_the_directory_tells_a_change_with_the_next_look(org: Aurora, either_database: Path | str) -> None:
    """For a key and for a member, in any process; unchanged prices are the same object, read once."""
    store = store_of(either_database)
    directory = Directory(store)
    secret = org.key(org.elena, "claude_code")
    assert 0 == len((await directory.find(secret)).own_prices.rows)

    set_price(org, model="claude-opus-5-5", amounts={"output": "18"})

    facts = await directory.find(secret)
    member = await directory.member(org.organization_id, org.farid.member_id, "chat")
    (row,) = facts.own_prices.rows
    assert ("model:claude-opus-5-5", TODAY, {"output": 18 * DOLLAR}) == (row.scope, row.effective_from, row.amounts)
    assert facts.own_prices is member.own_prices is await directory.own_prices(org.organization_id)
    await store.close()
