"""Rows are only added: the price files against the list of what was released."""

import price_release
from tokenpool.pricing import document, load, reading

GOOD = (load.SHIPPED / "anthropic.yaml").read_text()
ROW = next(line for line in GOOD.splitlines() if line.startswith("- {model: claude-opus-5-5, from: 2026-09-22"))
RELEASED = price_release.RELEASED.read_text().splitlines()


def lost(text: str) -> list[str]:
    """Return what would be lost if Anthropic's file read *text*."""
    others = [sheet for sheet in load.shipped_sheets() if sheet.provider != "anthropic"]
    sheet = reading.parse("anthropic.yaml", document.parse(text, "anthropic.yaml"))
    return price_release.lost(RELEASED, price_release.stated([sheet, *others]))


def test_every_released_row_is_still_said() -> None:
    """All 591; a new row is added to the list with `python tests/price_release.py` when it is released."""
    assert [] == price_release.lost(RELEASED, price_release.stated(load.shipped_sheets()))
    assert len(RELEASED) >= 591


def test_a_changed_row_is_found() -> None:
    """Another amount, another day, another last day, another band."""
    edits = [
        ('"4"', '"3"'),
        ("from: 2026-09-22", "from: 2026-09-21"),
        ("grade: A", "until: 2026-12-31, grade: A"),
        ("grade: A", "above: 7, grade: A"),
    ]

    found = [lost(GOOD.replace(ROW, ROW.replace(*edit) if edit[0] != ROW else "", 1)) for edit in edits]

    released = "anthropic rows claude-opus-5-5 0 - 2026-09-22 - 4000000000 20000000000 5000000000 8000000000 200000000"
    assert [[released]] * 4 == found


def test_a_removed_row_is_found() -> None:
    """One line less in the file, one line in the complaint."""
    assert 1 == len(lost(GOOD.replace(ROW + "\n", "", 1)))


def test_a_row_that_is_added_and_better_evidence_are_welcome() -> None:
    """A later price, another grade and source and note."""
    later = ROW.replace("2026-09-22", "2027-01-01").replace('"4"', '"3"')

    assert [] == lost(
        GOOD.replace(ROW, ROW.replace("grade: A", "grade: B").replace("}", ", note: seen}") + "\n" + later, 1)
    )
