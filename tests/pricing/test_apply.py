"""Taking a list's prices over: lines in the operator's file, every price that has begun kept."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import load
from tokenpool.pricing.apply import Change, changes, draft, put_in_force
from tokenpool.pricing.compare import compare
from tokenpool.pricing.listed import Cells, Listed, ListedRow
from tokenpool.pricing.sheet import Section

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
START = date(2026, 12, 1)


def wanted(*listed: Listed) -> list[Change]:
    """Return the changes that *listed* asks of the shipped book."""
    return changes(compare(load.shipped(), listed, START), START)


def row(cells: Cells, above: int = 0, section: Section = Section.ROWS) -> ListedRow:
    """Return a row of a list."""
    return ListedRow(section, above, None, cells)


def taken(folder: Path, *listed: Listed, start: date = START) -> list[Path]:
    """Take everything over."""
    with clock.standing_at(NOON):
        return put_in_force(draft(folder, wanted(*listed), start, source="list-1", said="a “list”"))


def test_a_changed_figure_becomes_a_row_with_the_other_classes_as_they_stand(tmp_path: Path) -> None:
    """The list knows input and output; cache prices stay explicit, and fast mode and batch the shipped ones."""
    listed = Listed("anthropic", "claude-opus-5-5", rows=(row({"input": 3_000_000_000, "output": 15_000_000_000}),))

    (path,) = taken(tmp_path, listed)

    assert ("anthropic.yaml", [path]) == (path.name, list(tmp_path.iterdir()))
    lines = path.read_text().splitlines()
    assert (
        '- {model: claude-opus-5-5, from: 2026-12-01, price: ["3", "15", "5", "8", "0.20"], grade: C, source: list-1}'
        == lines[-1]
    )
    assert '  list-1: "a “list”"' in lines
    price = load.with_own(tmp_path).price("claude-opus-5-5", START)
    assert ("claude-opus-5-5@2026-12-01+operator", 3_000_000_000) == (price.version, price.band(0).input)
    assert (8_000_000_000, 2_000_000_000) == (price.fast[0].rates.input, price.batch[0].rates.input)


def test_a_second_change_is_added_below_the_first(tmp_path: Path) -> None:
    """The file keeps what stands in it."""
    taken(tmp_path, Listed("anthropic", "claude-opus-5-5", rows=(row({"input": 3_000_000_000}),)))
    first = (tmp_path / "anthropic.yaml").read_text()

    taken(tmp_path, Listed("anthropic", "claude-opus-5", rows=(row({"input": 4_000_000_000}),)))

    second = (tmp_path / "anthropic.yaml").read_text()
    assert [line for line in second.splitlines() if "claude-opus-5:" not in line and "claude-opus-5," not in line] == (
        first.splitlines()
    )


def test_a_band_that_only_we_have_ends(tmp_path: Path) -> None:
    """Haiku 5.5 becomes flat."""
    listed = Listed("anthropic", "claude-haiku-5-5", rows=(row({"input": 100_000_000, "output": 500_000_000}),))

    taken(tmp_path, listed)

    book = load.with_own(tmp_path)
    assert [500_000_000, 100_000_000] == [
        book.price("claude-haiku-5-5", day).band(100_001).input for day in (date(2026, 11, 30), START)
    ]


def test_a_new_model_comes_with_its_names_bands_modes_and_searches(tmp_path: Path) -> None:
    """A class without a price is billed as input; a name that is taken stays whose it is."""
    listed = Listed(
        "openai", "gpt-7", aliases=("gpt-7-2026-12-01", "claude-opus-5"), context=1_000, web_search_nano=10_000_000,
        rows=(
            row({"input": 2_000_000_000, "output": 8_000_000_000, "cache_read": 200_000_000}),
            row({"input": 4_000_000_000, "output": 12_000_000_000, "cache_read": 400_000_000}, above=272_000),
            row({"input": 1_000_000_000, "output": 4_000_000_000}, section=Section.BATCH),
        ),
    )  # fmt: skip

    taken(tmp_path, listed)

    price = load.with_own(tmp_path).price("gpt-7-2026-12-01", START)
    assert ("gpt-7", 1_000, 10_000_000) == (price.model, price.context_window, price.web_search_nano)
    assert (2_000_000_000, 4_000_000_000, 1_000_000_000) == (
        price.band(0).cache_write_1h, price.band(272_001).input, price.batch[0].rates.cache_read,
    )  # fmt: skip


def test_a_figure_that_moves_by_more_than_half_is_large() -> None:
    """And a model that is new is not: there is nothing to compare it with."""
    large = wanted(Listed("anthropic", "claude-opus-5", rows=(row({"input": 8_000_000_000}),)))
    new = wanted(Listed("anthropic", "claude-opus-9", rows=(row({"input": 8_000_000_000}),)))

    assert [True, False] == [large[0].is_large, new[0].is_large]


def test_what_cannot_be_taken_over_is_no_change() -> None:
    """A list's model with an obstacle, and one that agrees."""
    agreeing = Listed("anthropic", "claude-opus-5", rows=(row({"input": 5_000_000_000}),))
    obstacle = Listed("deepseek", "deepseek-flash", obstacle="its price depends on the hour of the day")

    assert [] == wanted(agreeing, obstacle)


def test_a_price_that_has_begun_is_not_moved_and_nothing_is_written(tmp_path: Path) -> None:
    """The operator's own row of last week cannot get one before it."""
    listed = Listed("anthropic", "claude-opus-5", rows=(row({"input": 4_000_000_000}),))
    taken(tmp_path, listed, start=date(2026, 11, 20))
    before = (tmp_path / "anthropic.yaml").read_text()

    with pytest.raises(InvalidInput, match="must stand before"):
        taken(tmp_path, listed, start=date(2026, 11, 18))

    assert (before, 1) == ((tmp_path / "anthropic.yaml").read_text(), len(list(tmp_path.iterdir())))
