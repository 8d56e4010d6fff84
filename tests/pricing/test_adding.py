"""Adding lines to a price file: what stands in it stays as it is, to the letter."""

import pytest

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import adding

TEXT = """# ours
provider: anthropic
currency: USD
columns: [input, output, cache_write_5m, cache_write_1h, cache_read]

sources:
  a: "one"  # the first

# Models.
models:
  m: {}

# Rows.
rows:
- {model: m, from: 2026-01-01, price: ["1", "5", input, input, input], grade: A, source: a}

# The end.
"""
ROW = '- {model: m, from: 2026-02-01, price: ["2", "6", input, input, input], grade: C, source: b}'


def test_lines_are_put_at_the_ends_of_their_parts() -> None:
    """Before the comment of the next part, and every old line is still there in its order."""
    text, sheet = adding.added("p.yaml", TEXT, {"sources": ['  b: "two"'], "rows": [ROW], "models": ["  n: {}"]})

    old = [line for line in text.splitlines() if line not in ('  b: "two"', ROW, "  n: {}")]
    assert TEXT.splitlines() == old
    assert (
        text.index("a:")
        < text.index('b: "two"')
        < text.index("# Models.")
        < text.index("n: {}")
        < text.index("# Rows.")
    )
    assert [1_000_000_000, 2_000_000_000] == [row.value.input for row in sheet.rows]  # type: ignore[union-attr]
    assert ["m", "n"] == list(sheet.models)


def test_a_part_that_is_not_there_yet_is_begun() -> None:
    """The first batch row of a file."""
    text, sheet = adding.added("p.yaml", TEXT, {"batch": [ROW.replace("source: b", "source: a")]})

    assert text.endswith(f"\n\nbatch:\n{ROW.replace('source: b', 'source: a')}\n")
    assert ["rows", "batch"] == [row.section for row in sheet.rows]


def test_a_file_is_begun_empty() -> None:
    """With its opening, ready for its first lines."""
    text = adding.empty("mistral", "# ours\n")

    _, sheet = adding.added("p.yaml", text, {"sources": ['  b: "two"'], "models": ["  m: {}"], "rows": [ROW]})

    assert ("mistral", 1) == (sheet.provider, len(sheet.rows))


@pytest.mark.parametrize(
    ("text", "lines", "said"),
    [
        (
            TEXT.replace("models:\n  m: {}", "models: {m: {}}"),
            {"models": ["  n: {}"]},
            "line 10: “models” stands on one line",
        ),
        (TEXT, {"rows": [ROW]}, "source “b” is not listed"),
        (
            TEXT,
            {"rows": [ROW.replace("2026-02-01", "2025-02-01").replace("source: b", "source: a")]},
            "must stand before",
        ),
    ],
)
def test_a_result_that_would_be_no_price_file_is_refused(text: str, lines: dict[str, list[str]], said: str) -> None:
    """A part in another form, a source that is not named, a day before a row that stands."""
    with pytest.raises(InvalidInput, match=said):
        adding.added("p.yaml", text, lines)
