"""Reading YAML so that no mistake hides."""

from datetime import date
from pathlib import Path

import pytest

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import document


def test_a_plain_value_is_a_number_a_day_a_word_and_a_quoted_one_a_text() -> None:
    """A quoted 7 is a text, and so is “1.10”: nothing becomes a float."""
    found = document.parse('{a: 7, b: 2026-11-24, c: true, d: ~, e: input, f: "1.10", g: "7", h: "true"}', "f.yaml")

    assert {
        "a": 7, "b": date(2026, 11, 24), "c": True, "d": None, "e": "input", "f": "1.10", "g": "7", "h": "true",
    } == found  # fmt: skip


def test_every_mapping_knows_its_line() -> None:
    """The third row begins on the fourth line."""
    found = document.parse("rows:\n- {a: 1}\n- {a: 2}\n- {a: 3}\n", "f.yaml")

    assert isinstance(found, document.Lined)
    assert [2, 3, 4] == [row.line for row in found["rows"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: “a” stands twice"),
        ("7: 1", "line 1: the name 7 is not a text"),
        ("[1]: 2", "line 1: a name must be a text"),
        ("a: 2026-13-45", "line 1: there is no day 2026-13-45"),
        ("a: 1.10", "line 1: a number with a point is a text here"),
        ("a: 1e-3", "line 1: a number with a point is a text here"),
        ("a: &x 1", "anchors, references and tags are not read"),
        ("a: !!float 1", "anchors, references and tags are not read"),
        ("a: 1\n---\nb: 2", "line 2: a second document begins"),
        ("[" * 21 + "]" * 21, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ("a: [1,\n  2", "line 3: "),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, said: str) -> None:
    """Equal names, wrong names, impossible days, what is not read, depth, broken YAML."""
    with pytest.raises(InvalidInput, match=said) as refused:
        document.parse(text, "f.yaml")

    assert refused.value.message.startswith("f.yaml, ")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Not UTF-8, and not there."""
    path = tmp_path / "f.yaml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InvalidInput, match=r"^f\.yaml, file: cannot be read"):
        document.read(path)
