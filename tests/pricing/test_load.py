"""Reading a price file: one mistake refuses the whole file, and says where and why."""

from datetime import date
from pathlib import Path

import pytest

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import load

GOOD = load.STANDARD.read_text()
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
