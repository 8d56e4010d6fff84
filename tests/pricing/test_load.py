"""Reading a price file: one mistake refuses the whole file, and says where and why."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenpool.kernel.errors import InvalidInput, UnknownModel
from tokenpool.pricing import load

GOOD = load.STANDARD.read_text()
FILE = yaml.safe_load(GOOD)
ROW = '- {model: claude-opus-5-5, from: 2026-09-22, price: ["4", "20", "5", "8", "0.20"], grade: A}'


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (ROW, ROW.replace('"4"', '"-4"'), "negative"),
        (ROW, ROW.replace('"4"', '"0"'), "must not be zero"),
        (ROW, ROW.replace('"4"', "4"), "quoted amount"),
        (ROW, ROW.replace('"4"', "true"), "quoted amount"),
        (ROW, ROW.replace('"4", ', ""), "5 amounts"),
        (ROW, ROW + "\n" + ROW, "stands twice"),
        (ROW, ROW.replace("2026-09-22", "2026-09-25") + "\n" + ROW, "must stand before"),
        (ROW, ROW.replace("grade: A", "grade: Z"), "grade must be"),
        (ROW, ROW.replace("model:", "modle:"), "unknown name “modle”"),
        (ROW, ROW.replace("2026-09-22", "soon"), "from must be a day"),
        (ROW, ROW.replace("claude-opus-5-5", "claude-opus-9"), "not listed under models"),
        ("us_only: [11, 10]", "us_only: [1.1, 1]", "two positive whole numbers"),
        ("columns: [input, output", "columns: [output, input", "columns must be"),
        (ROW, ROW.replace('"4"', '"1e1"'), "quoted amount"),
        (ROW, ROW.replace('"4"', '"1_0"'), "quoted amount"),
        (ROW, ROW.replace('"4"', '"0.0000000001"'), "smallest step"),
        (ROW, ROW.replace("grade: A", "grade: A, grade: B"), "“grade” stands twice"),
        (ROW, ROW.replace("claude-opus-5-5", "[claude-opus-5-5]"), "model must be a text"),
        (ROW, ROW.replace("grade: A", "above: true, grade: A"), "above must be a whole number"),
        (ROW, ROW.replace("grade: A", "until: 2026-09-21, grade: A"), "until lies before from"),
        (ROW, ROW.replace(", grade: A", ""), "grade is missing"),
        (ROW, ROW.replace("2026-09-22", "2026-13-45"), "month must be"),
        (ROW, "", "claude-opus-5-5 has no row"),
        ("fast:\n- {", "fast:\n- {above: 5, ", "unknown name “above”"),
        ("  claude-opus-5:", "  claude-opus-5-5: {}\n  claude-opus-5:", "“claude-opus-5-5” stands twice"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {context: true", "context must be"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {aliases: claude-x", "aliases must be a list"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {aliases: [claude-opus-4-8]", "stands twice"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {retired: soon", "retired must be a day"),
        ("claude-opus-5: {context: 1000000, us_only: true", 'claude-opus-5: {us_only: "no"', "us_only must be"),
        ('web_search: "0.01"', "", "web_search is missing"),
        ("us_only: [11, 10]", "", "us_only is missing"),
        ("provider: anthropic", "provider: " + "[" * 2_000 + "]" * 2_000, "nested too deeply"),
    ],
)
def test_a_mistake_is_named_with_its_row(tmp_path: Path, before: str, after: str, said: str) -> None:
    """The running book stays as it is."""
    assert before in GOOD
    path = tmp_path / "prices.yaml"
    path.write_text(GOOD.replace(before, after, 1))

    with pytest.raises(InvalidInput, match=said) as refused:
        load.load(path)

    assert refused.value.message.startswith("prices.yaml, ")


def test_the_line_is_named_beside_the_row(tmp_path: Path) -> None:
    """So that an editor can jump to it."""
    path = tmp_path / "prices.yaml"
    path.write_text(GOOD.replace(ROW, ROW.replace('"4"', '"0"')))
    line = GOOD.splitlines().index(ROW) + 1

    with pytest.raises(InvalidInput, match=rf"^prices\.yaml, rows 7 \(line {line}\): a price must not be zero\.$"):
        load.load(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"- 1", b"{a: b", b"1: 2"])
def test_a_file_that_is_no_price_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Not UTF-8, empty, no mapping, broken YAML, a name that is no text."""
    path = tmp_path / "prices.yaml"
    path.write_bytes(content)

    with pytest.raises(InvalidInput, match=r"^prices\.yaml, "):
        load.load(path)


def test_a_fast_row_that_comes_later_acts_from_its_own_day(tmp_path: Path) -> None:
    """It makes a version of its own; the day before stays as it was, and so does the day after it ends."""
    fast = (
        "fast:\n- {model: claude-sonnet-5, from: 2026-11-10, until: 2026-11-12, "
        'price: ["4", "20", "5", "8", "0.40"], grade: A}\n'
    )
    path = tmp_path / "prices.yaml"
    path.write_text(GOOD.replace("fast:\n", fast))
    book = load.load(path)

    found = [book.price("claude-sonnet-5", date(2026, 11, day)) for day in (9, 10, 12, 13)]

    assert [None, 4_000_000_000, 4_000_000_000, None] == [price.fast and price.fast.input for price in found]
    assert ["06-30", "11-10", "11-10", "11-13"] == [price.version[-5:] for price in found]


def test_a_price_that_ended_is_no_price(tmp_path: Path) -> None:
    """Nothing comes back in its place: refused, not guessed."""
    path = tmp_path / "prices.yaml"
    earlier = ROW.replace("2026-09-22", "2026-09-01")
    path.write_text(GOOD.replace(ROW, earlier + "\n" + ROW.replace("grade: A", "until: 2026-10-31, grade: A")))
    book = load.load(path)

    assert date(2026, 9, 22) == book.price("claude-opus-5-5", date(2026, 10, 31)).effective_from
    with pytest.raises(UnknownModel, match="no price after 2026-10-31"):
        book.price("claude-opus-5-5", date(2026, 11, 1))
    assert "claude-opus-5-5" not in [price.model for price in book.models(date(2026, 11, 1))]


@pytest.mark.parametrize("row", FILE["rows"], ids=lambda row: f"{row['model']} {row['from']} {row.get('above', 0)}")
def test_every_row_of_the_file_stands_in_the_book(row: dict[str, Any]) -> None:
    """To the nano-dollar, in its band, from its first day."""
    band = next(b for b in load.standard().price(row["model"], row["from"]).bands if b.above == row.get("above", 0))

    assert [int(Decimal(text).scaleb(9)) for text in row["price"]] == [
        getattr(band.rates, name) for name in FILE["columns"]
    ]


def test_a_bounded_row_must_have_ended_before_the_next_begins(tmp_path: Path) -> None:
    """Two prices for one day are no price."""
    path = tmp_path / "prices.yaml"
    bounded = ROW.replace("from: 2026-09-22", "from: 2026-09-01, until: 2026-09-22")
    path.write_text(GOOD.replace(ROW, bounded + "\n" + ROW, 1))

    with pytest.raises(InvalidInput, match="overlaps"):
        load.load(path)


def test_the_shipped_book_has_every_model_of_the_fact_sheet() -> None:
    """Twenty-five models, from Claude 3 Opus to Fable 5.2."""
    models = [price.model for price in load.standard().models(date(2026, 11, 24))]

    assert (25, "claude-fable-5-2", "claude-3-opus-20240229") == (len(models), models[0], models[-1])
