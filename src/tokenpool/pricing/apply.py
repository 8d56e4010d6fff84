"""Taking over what a list says: one change per model, as added lines in the operator's own file of its provider.

Nothing is changed but by whoever confirms it; a file is written whole or not at all, and only when the
book with it keeps every price that has begun.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tokenpool.pricing import adding, load, reading
from tokenpool.pricing.book import Bands, ModelPrice, PriceBook, rates_in
from tokenpool.pricing.compare import Comparison, Difference
from tokenpool.pricing.join import join
from tokenpool.pricing.listed import Cells, Listed, amount_text, model_line, quoted, row_line
from tokenpool.pricing.reading import COLUMNS
from tokenpool.pricing.sheet import Section, Sheet

OPENING = (
    "# The operator's prices, over those that Tokenpool ships. Rows are only added; docs/prices.md tells the form.\n"
)
Drafts = list[tuple[Path, Path]]  # what is written, and the file it is to stand in for


@dataclass(frozen=True, slots=True)
class Change:
    """What one model's price would become: bands per mode (cells None: no longer sold), and a search."""

    model: str
    listed: Listed
    ours: ModelPrice | None  # None: the model is new here
    differences: tuple[Difference, ...]
    bands: Mapping[Section, Mapping[int, Cells | None]]
    web_search_nano: int | None = None

    @property
    def is_large(self) -> bool:
        """True when a figure moves by more than half of what it was."""
        return any(difference.is_large for difference in self.differences)


def changes(comparison: Comparison, day: date) -> list[Change]:
    """Return what the book would take over to say what the list says on *day*: differing models, then new ones."""
    differing = [
        _change(both.listed, both.price, both.differences, day) for both in comparison.both if both.differences
    ]
    return differing + [_change(one, None, (), day) for one in comparison.only_there if not one.obstacle]


def _change(one: Listed, ours: ModelPrice | None, differences: tuple[Difference, ...], day: date) -> Change:
    sections = {difference.section for difference in differences}
    bands = {
        section: _bands(_ours(ours, section), theirs)
        for section, theirs in one.on(day).items()
        if ours is None or section in sections
    }
    search = one.web_search_nano if ours is None or Section.TOOLS in sections else None
    return Change(ours.model if ours else one.name, one, ours, differences, bands, search)


def _ours(price: ModelPrice | None, section: Section) -> Bands:
    return {Section.ROWS: price.bands, Section.BATCH: price.batch, Section.FAST: price.fast}[section] if price else ()


def _bands(ours: Bands, theirs: Mapping[int, Cells]) -> dict[int, Cells | None]:
    """Return the list's bands, a class it does not price as it stands here; a band that only we have ends."""
    found: dict[int, Cells | None] = {band.above: None for band in ours}
    for above, cells in theirs.items():
        standing = rates_in(ours, above + 1) if ours else None
        kept = {column: getattr(standing, column) for column in COLUMNS} if standing else {}
        found[above] = {**kept, **cells}
    return dict(sorted(found.items()))


def lines(change: Change, start: date, source: str) -> dict[str, list[str]]:
    """Return the lines of *change* in a price file, by the part they belong to; its evidence is one third party."""
    found: dict[str, list[str]] = {
        section: [
            row_line(change.model, start, above, cells, grade="C", source=source) for above, cells in bands.items()
        ]
        for section, bands in change.bands.items()
    }
    if change.web_search_nano is not None:
        price = f'"{amount_text(change.web_search_nano)}"'
        tool = f"tool: web_search, model: {quoted(change.model)}, from: {start}, price: {price}"
        found[Section.TOOLS] = [f"- {{{tool}, grade: C, source: {source}}}"]
    return found


def draft(folder: Path, confirmed: Sequence[Change], start: date, *, source: str, said: str) -> Drafts:
    """Write the files in *folder* with the *confirmed* changes from *start* on beside those that stand.

    *source* names the list in a file, *said* tells what stands behind the name. Nothing reads a draft
    before `put_in_force`.

    Raises:
        InvalidInput: the book with them would not be one, or a price that has begun would change.
    """
    standing = load.with_own(folder)
    written: dict[Path, tuple[str, Sheet]] = {}
    for provider in sorted({change.listed.provider for change in confirmed}):
        mine = [change for change in confirmed if change.listed.provider == provider]
        path = folder.joinpath(f"{provider}.yaml")
        text = path.read_text(encoding="utf-8") if path.exists() else adding.empty(provider, OPENING)
        parts = _parts(mine, start, reading.read(path).models if path.exists() else {}, standing, source)
        if f"\n  {source}: " not in text:
            parts["sources"] = [f"  {source}: {json.dumps(said, ensure_ascii=False)}"]
        written[path] = adding.added(path.name, text, parts)
    others = [reading.read(path) for path in load.own_files(folder) if path not in written]
    load.check_kept(standing, join(load.shipped_sheets(), [*others, *(sheet for _, sheet in written.values())]))
    folder.mkdir(parents=True, exist_ok=True)
    return [(_draft(path, text), path) for path, (text, _) in written.items()]


def put_in_force(drafts: Drafts) -> list[Path]:
    """Let the drafts stand in for their files, durably; return the files."""
    for draft, path in drafts:
        draft.replace(path)
    for folder in {path.parent for _, path in drafts}:
        _sync(folder)
    return [path for _, path in drafts]


def _parts(
    mine: Iterable[Change], start: date, listed: Mapping[str, object], standing: PriceBook, source: str
) -> dict[str, list[str]]:
    """Return all lines of one file, with those of the models it does not name yet."""
    parts: dict[str, list[str]] = {}
    for change in mine:
        if change.model not in listed:
            one = change.listed if change.ours is None else None
            aliases = [alias for alias in one.aliases if standing.model_of(alias) is None] if one else []
            parts.setdefault("models", []).append(model_line(change.model, one.context if one else None, aliases))
        for part, added in lines(change, start, source).items():
            parts.setdefault(part, []).extend(added)
    return parts


def _draft(path: Path, text: str) -> Path:
    """Write *text* beside *path*, on the disk for good; nothing reads a draft."""
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
