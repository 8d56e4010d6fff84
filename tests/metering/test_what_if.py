"""What other prices would have cost: exact, per member and model, corrections included; nothing is written."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from builders import aurora
from past import CHEAPER, DOLLAR, LISTED, MILLION, MODEL, NOVEMBER, OLD, Past, october
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput, NotAllowed
from tokenpool.kernel.period import Month
from tokenpool.metering import what_if
from tokenpool.metering.models import UsageEvent
from tokenpool.pricing.own import OwnRow, supposed

OCTOBER = Month(2026, 10)


@pytest.fixture
async def past(either_database: Path | str) -> Past:
    """Return an organization with a million tokens of Farid's, half of it of Giulia's, and a third person elsewhere."""
    with clock.standing_at(datetime(2026, 9, 1, tzinfo=UTC)):
        found = Past(aurora(), either_database)
        there = Past(aurora("Borealis", "borealis.example"), either_database)
    await found.spend((found.org.farid, october(9), MILLION), (found.org.giulia, october(11), 500_001))
    await there.spend((there.org.farid, october(9), MILLION))
    return found


def tried(past: Past, *rows: OwnRow, base: str = "billed", month: Month = OCTOBER) -> what_if.Outcome:
    """Return what the month would have cost."""
    with clock.standing_at(NOVEMBER):
        *_, last = what_if.prices(by=past.org.dieter, month=month, book=OLD, rows=rows, base=base)
    return last


def row(percent: str = "0", **amounts: str) -> OwnRow:
    """Return a supposed price of the model."""
    return supposed(book=OLD, day=date(2026, 10, 31), model=MODEL, percent=percent, amounts=amounts)


def test_ten_percent_less_is_ten_percent_less_of_every_event(past: Past) -> None:
    """Rounded as a real price would be; a second computation with Decimal agrees; nothing is written."""
    before = list(UsageEvent.objects.values())

    found = tried(past, row("-10.0001"))

    price = Decimal(20 * DOLLAR) * Decimal("0.899999")
    wanted = {
        past.org.farid.member_id: (1, 20 * DOLLAR, int(price)),
        past.org.giulia.member_id: (1, 500_001 * 20_000, int((price * 500_001 / MILLION).quantize(Decimal(1)))),
    }
    assert wanted == {
        name: (one.requests, one.actual_nano, one.supposed_nano) for name, one in found.members.items()
    }  # fmt: skip
    assert [MODEL] == list(found.models)
    assert (2, sum(one[2] for one in wanted.values()) - sum(one[1] for one in wanted.values())) == (
        found.total.requests, found.total.difference_nano,
    )  # fmt: skip
    assert before == list(UsageEvent.objects.values())


def test_amounts_replace_what_they_name(past: Past) -> None:
    """Output at $15."""
    assert 15 * 1_500_001 * 1000 == tried(past, row(output="15")).total.supposed_nano


def test_what_no_row_decides_stays_at_what_was_billed_or_goes_to_the_list(past: Past) -> None:
    """After a correction the bill is another than the list of the old book."""
    past.rerate(CHEAPER)
    nobody = OwnRow("own_x", "provider:nobody", date.min, -500_000)

    billed, listed, all_of_it = tried(past, nobody), tried(past, nobody, base="list"), tried(past, row("-50"))

    actual = 20 * DOLLAR + 500_001 * 18_000
    assert {actual} == {one.total.actual_nano for one in (billed, listed, all_of_it)}
    assert (actual, 1_500_001 * 20_000, 1_500_001 * 10_000) == (
        billed.total.supposed_nano, listed.total.supposed_nano, all_of_it.total.supposed_nano,
    )  # fmt: skip
    assert {2} == {one.total.requests for one in (billed, listed, all_of_it)}


def test_a_month_goes_by_in_steps(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tells how far it is; an empty month is done at once."""
    monkeypatch.setattr(what_if, "AT_ONCE", 1)
    with clock.standing_at(NOVEMBER):
        steps = what_if.prices(by=past.org.ada, month=OCTOBER, book=OLD, rows=[])
        empty = what_if.prices(by=past.org.ada, month=Month(2026, 9), book=OLD, rows=[])

    assert [(0, 2), (1, 2), (2, 2), (2, 2)] == [(found.done, found.of) for found in steps]
    assert {(0, 0)} == {(found.done, found.of) for found in empty}


def test_what_is_no_question_is_refused(past: Past) -> None:
    """A month to come, an unknown base, a scope twice, somebody without the right."""
    for rows, base, month, said in (
        ([], "billed", Month(2026, 12), "has not begun"),
        ([], "free", OCTOBER, "base: must be"),
        ([row(), row("-1")], "billed", OCTOBER, f"model:{LISTED.model} stands twice"),
    ):
        with pytest.raises(InvalidInput, match=said):
            tried(past, *rows, base=base, month=month)
    with pytest.raises(NotAllowed, match="ask an owner"):
        what_if.prices(by=past.org.farid, month=OCTOBER, book=OLD, rows=[])
