"""The book in force: the shipped files, the operator's folder over them, and what a change may do."""

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput, UnknownModel
from tokenpool.pricing import load
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.load import Shelf

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TODAY = NOON.date()
FILE = yaml.safe_load((load.SHIPPED / "anthropic.yaml").read_text())
OWN = """
provider: anthropic
currency: USD
columns: [input, output, cache_write_5m, cache_write_1h, cache_read]
sources: {contract: our contract}
models: {claude-opus-5-5: {}}
rows:
- {model: claude-opus-5-5, from: 2026-11-20, price: ["3", "15", "3.75", "6", "0.15"], grade: A, source: contract}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an operator's folder with one file."""
    write(tmp_path, OWN)
    return tmp_path


def write(folder: Path, text: str, name: str = "anthropic.yaml") -> None:
    """Write a file as an editor does, at an instant of its own."""
    path = folder / name
    later = path.stat().st_mtime_ns + 1_000_000 if path.exists() else None
    path.write_text(text)
    if later:
        os.utime(path, ns=(later, later))


def price(shelf: Shelf, day: date = TODAY) -> ModelPrice:
    """Return what the shelf's book says of Opus 5.5."""
    return shelf.book().price("claude-opus-5-5", day)


@pytest.mark.parametrize("row", FILE["rows"], ids=lambda row: f"{row['model']} {row['from']} {row.get('above', 0)}")
def test_every_row_of_the_file_stands_in_the_book(row: dict[str, Any]) -> None:
    """To the nano-dollar, in its band, from its first day."""
    band = next(b for b in load.standard().price(row["model"], row["from"]).bands if b.above == row.get("above", 0))
    texts = [row["price"][0] if text == "input" else text for text in row["price"]]

    assert [int(Decimal(text).scaleb(9)) for text in texts] == [getattr(band.rates, name) for name in FILE["columns"]]


def test_anthropic_is_complete() -> None:
    """Thirty models, from Claude 2.0 to Fable 5.2."""
    models = [price.model for price in load.shipped().models(TODAY) if price.provider == "anthropic"]

    assert (30, "claude-fable-5-2", "claude-2.1") == (len(models), models[0], models[-1])


def test_a_folder_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    """Most operators have no prices of their own."""
    shelf = Shelf()
    shelf.stand_in(tmp_path / "prices")

    assert shelf.book() is load.shipped()
    assert not shelf.look()


def test_a_new_file_is_picked_up_by_the_running_process(tmp_path: Path) -> None:
    """The next look reads it; the one after that reads nothing."""
    shelf = Shelf()
    shelf.stand_in(tmp_path)
    before = price(shelf).band(0).input
    write(tmp_path, OWN)

    with clock.standing_at(NOON):
        looks = [shelf.look(), shelf.look()]

    assert ([True, False], 4_000_000_000, 3_000_000_000) == (looks, before, price(shelf).band(0).input)


def test_a_bad_file_leaves_the_book_that_stands(folder: Path) -> None:
    """Told once with its place; mended, it is read."""
    shelf = Shelf()
    shelf.stand_in(folder)
    standing = shelf.book()
    write(folder, OWN.replace('"3"', '"0"'))

    with clock.standing_at(NOON):
        with pytest.raises(InvalidInput, match=r"^anthropic\.yaml, rows 1 \(line 8\): a price must not be zero\.$"):
            shelf.look()
        assert not shelf.look()
        assert shelf.book() is standing
        write(folder, OWN + OWN.splitlines()[-1].replace("2026-11-20", "2026-12-01").replace('"3"', '"2"') + "\n")
        assert shelf.look()

    assert 2_000_000_000 == price(shelf, date(2026, 12, 1)).band(0).input


@pytest.mark.parametrize("edit", [('"3"', '"2"'), ("2026-11-20", "2026-11-19"), ("fast", "fast")])
def test_a_price_that_has_begun_is_never_changed_by_a_file(folder: Path, edit: tuple[str, str]) -> None:
    """Another amount, another day, or the whole file gone: refused while the process runs."""
    shelf = Shelf()
    shelf.stand_in(folder)
    standing = shelf.book()
    if edit[0] == edit[1]:
        (folder / "anthropic.yaml").unlink()
    else:
        write(folder, OWN.replace(*edit))

    with clock.standing_at(NOON), pytest.raises(InvalidInput, match=r"claude-opus-5-5@2026-11-20\+operator has begun"):
        shelf.look()

    assert shelf.book() is standing


def test_a_price_that_has_not_begun_may_still_be_corrected(tmp_path: Path) -> None:
    """A slip of the pen for the first of December is mended in November."""
    later = OWN.replace("2026-11-20", "2026-12-01")
    write(tmp_path, later)
    shelf = Shelf()
    shelf.stand_in(tmp_path)
    shelf.book()
    write(tmp_path, later.replace('"3"', '"2"'))

    with clock.standing_at(NOON):
        assert shelf.look()

    assert 2_000_000_000 == price(shelf, date(2026, 12, 1)).band(0).input


def test_a_process_does_not_start_on_a_bad_file(tmp_path: Path) -> None:
    """Other prices than the operator's would be a wrong bill."""
    write(tmp_path, OWN.replace("grade: A", "grade: a"))
    shelf = Shelf()
    shelf.stand_in(tmp_path)

    with pytest.raises(InvalidInput, match="grade must be A, B or C"):
        shelf.book()


def test_what_the_files_do_not_name_is_no_model(folder: Path) -> None:
    """Own rows add and change, they never make a name up."""
    shelf = Shelf()
    shelf.stand_in(folder)

    with pytest.raises(UnknownModel):
        shelf.book().price("house-model", TODAY)
