"""Reading a price file: one mistake refuses the whole file, and says where and why."""

from datetime import date
from pathlib import Path

import pytest

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import document, load, reading
from tokenpool.pricing.book import HourPrice, Rates
from tokenpool.pricing.sheet import Section

GOOD = (load.SHIPPED / "anthropic.yaml").read_text()
ROW = next(line for line in GOOD.splitlines() if line.startswith("- {model: claude-opus-5-5, from: 2026-09-22"))
SEARCH = next(line for line in GOOD.splitlines() if line.startswith("- {tool: web_search"))
HOURLY = next(line for line in GOOD.splitlines() if line.startswith("- {tool: code_execution"))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (ROW, ROW.replace('"4"', '"-4"'), "negative"),
        (ROW, ROW.replace('"4"', '"0"'), "must not be zero"),
        (ROW, ROW.replace('"4"', "4"), "quoted amount"),
        (ROW, ROW.replace('"4"', "4.5"), "a number with a point is a text here"),
        (ROW, ROW.replace('"4"', "true"), "quoted amount"),
        (ROW, ROW.replace('"4"', '"four"'), "quoted amount"),
        (ROW, ROW.replace('"4", ', ""), "5 amounts"),
        (ROW, ROW.replace('"4"', "output"), "quoted amount"),
        (ROW, ROW.replace('"5"', "output"), "quoted amount"),
        (ROW, ROW.replace('"5"', "cache_read"), "quoted amount"),
        (ROW, ROW + "\n" + ROW, "stands twice"),
        (ROW, ROW.replace("2026-09-22", "2026-09-25") + "\n" + ROW, "must stand before"),
        (ROW, ROW.replace("grade: A", "grade: Z"), "grade must be"),
        (ROW, ROW.replace("model:", "modle:"), "unknown name “modle”"),
        (ROW, ROW.replace("2026-09-22", "soon"), "from must be a day"),
        (ROW, ROW.replace("2026-09-22", '"2026-09-22"'), "from must be a day"),
        (ROW, ROW.replace("claude-opus-5-5", "claude-opus-9"), "not listed under models"),
        (ROW, ROW.replace("source: opus-5-5", "source: hearsay"), "not listed under sources"),
        (ROW, ROW.replace(", source: opus-5-5", ""), "source is missing"),
        ("columns: [input, output", "columns: [output, input", "columns must be"),
        (ROW, ROW.replace('"4"', '"1e1"'), "quoted amount"),
        (ROW, ROW.replace('"4"', '"1_0"'), "quoted amount"),
        (ROW, ROW.replace('"4"', '"0.0000000001"'), "smallest step"),
        (ROW, ROW.replace("grade: A", "grade: A, grade: B"), "“grade” stands twice"),
        (ROW, ROW.replace("claude-opus-5-5,", "[claude-opus-5-5],"), "model must be a text"),
        (ROW, ROW.replace("grade: A", "above: true, grade: A"), "above must be a whole number"),
        (ROW, ROW.replace("grade: A", "until: 2026-09-21, grade: A"), "until lies before from"),
        (ROW, ROW.replace("from: 2026-09-22", "from: 2026-09-01, until: 2026-09-22") + "\n" + ROW, "overlaps"),
        (ROW, ROW.replace(", grade: A", ""), "grade is missing"),
        (ROW, ROW.replace("2026-09-22", "2026-13-45"), "there is no day 2026-13-45"),
        ("  claude-opus-5:", "  claude-opus-5-5: {}\n  claude-opus-5:", "“claude-opus-5-5” stands twice"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {context: true", "context must be"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {output: 0", "output must be"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {aliases: claude-x", "aliases must be a list"),
        ("claude-opus-5: {context: 1000000", "claude-opus-5: {retired: soon", "retired must be a day"),
        ("  claude-opus-5:", "  claude@5: {}\n  claude-opus-5:", "without “@”"),
        ("provider: anthropic\n", "", "provider is missing"),
        ("factor: [11, 10]", "factor: [11, 0]", "two positive whole numbers"),
        (SEARCH, SEARCH.replace("web_search", "web_serach"), "tool must be web_search or code_execution"),
        (SEARCH, SEARCH.replace("grade", "least_minutes: 5, grade"), "belongs to tools that are billed by time"),
        (HOURLY, HOURLY.replace("least_minutes: 5, ", ""), "least_minutes must be a whole number"),
        (HOURLY, HOURLY.replace("1550", '"1550"'), "free_hours_per_month must be a whole number"),
        (HOURLY, HOURLY.replace("free_hours_per_month", "free_hours"), "unknown name “free_hours”"),
        ("provider: anthropic", "provider: " + "[" * 2_000 + "]" * 2_000, "nested too deeply"),
    ],
)
def test_a_mistake_is_named_with_its_row(tmp_path: Path, before: str, after: str, said: str) -> None:
    """Negative, zero, double, unsorted, overlapping, misspelled, unquoted, impossible, undated, unproved."""
    assert before in GOOD
    path = tmp_path / "prices.yaml"
    path.write_text(GOOD.replace(before, after, 1))

    with pytest.raises(InvalidInput, match=said) as refused:
        reading.read(path)

    assert refused.value.message.startswith("prices.yaml, ")


def test_the_line_is_named_beside_the_row(tmp_path: Path) -> None:
    """So that an editor can jump to it."""
    path = tmp_path / "prices.yaml"
    path.write_text(GOOD.replace(ROW, ROW.replace('"4"', '"0"')))
    line = GOOD.splitlines().index(ROW) + 1

    with pytest.raises(InvalidInput, match=rf"^prices\.yaml, rows 7 \(line {line}\): a price must not be zero\.$"):
        reading.read(path)


@pytest.mark.parametrize("content", ["", "- 1", "rows: []"])
def test_a_file_that_is_no_price_file_is_refused(content: str) -> None:
    """Empty, no mapping, nothing but rows."""
    with pytest.raises(InvalidInput, match=r"^prices\.yaml, top level: "):
        reading.parse("prices.yaml", document.parse(content, "prices.yaml"))


def test_a_class_without_a_price_of_its_own_is_billed_as_the_column_it_names() -> None:
    """Claude 2 had no cache: whatever is reported of one is input, at $8."""
    row = next(row for row in reading.read(load.SHIPPED / "anthropic.yaml").rows if row.model == "claude-2.1")

    assert Rates(8_000_000_000, 24_000_000_000, *[8_000_000_000] * 3) == row.value


def test_a_tool_by_the_hour_has_its_least_time_and_its_free_time() -> None:
    """Five cents an hour, five minutes at least, 1,550 hours a month free."""
    row = reading.read(load.SHIPPED / "anthropic.yaml").rows[-1]

    assert (Section.TOOLS, "", date(2026, 1, 1)) == (row.section, row.model, row.start)
    assert HourPrice(50_000_000, 300, 5_580_000) == row.value
