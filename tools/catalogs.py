"""Message catalogs without system gettext.

`compile [ROOT]` writes .mo files beside every .po; `extract` brings src/tokenpool/console/locale up to
what templates and modules say, keeping translations; `missing` lists what has none.
"""

import io
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tokenpool"
ITALIAN = SOURCE / "console" / "locale" / "it" / "LC_MESSAGES" / "django.po"
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_noop": None,
    "gettext_lazy": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}
DAY = datetime(2026, 11, 24, tzinfo=UTC)  # fixed: the file changes when a sentence does
ROOMS_WITH_SENTENCES = ("console", "notifications")


def compile_all(root: Path) -> int:
    """Compile every catalog below *root*; return how many."""
    catalogs = sorted(root.rglob("*.po"))
    for path in catalogs:
        with path.open("rb") as source:
            catalog = read_po(source)
        with path.with_suffix(".mo").open("wb") as target:
            write_mo(target, catalog)
    return len(catalogs)


def messages() -> Iterator[tuple[str, int, str | tuple[str, ...]]]:
    """Yield (file, line, message) of every sentence in templates and modules."""
    from django.conf import settings  # noqa: PLC0415 - only extraction needs Django
    from django.utils.translation.template import templatize  # noqa: PLC0415

    if not settings.configured:
        settings.configure()
    for room in ROOMS_WITH_SENTENCES:
        for path in sorted((SOURCE / room).rglob("*")):
            if path.suffix in {".html", ".txt"}:
                text = templatize(path.read_text(), origin=str(path))
            elif path.suffix == ".py":
                text = path.read_text()
            else:
                continue
            for line, message, _comments, _context in extract("python", io.BytesIO(text.encode()), KEYWORDS):
                yield str(path.relative_to(ROOT)), line, message


def update() -> Catalog:
    """Return the Italian catalog brought up to date, and write it."""
    found = Catalog(
        locale="it",
        project="Tokenpool",
        charset="utf-8",
        fuzzy=False,
        header_comment="# Italian. Written, not translated word for word; `make catalog` keeps it complete.",
        creation_date=DAY,
        revision_date=DAY,
        last_translator="Tokenpool",
        language_team="it",
        msgid_bugs_address="SECURITY.md",
    )
    for file, _line, message in messages():
        found.add(message, locations=[(file, 0)], flags=["python-format"] if "%(" in str(message) else [])
    if ITALIAN.exists():
        with ITALIAN.open("rb") as source:
            known = read_po(source, locale="it")
        for entry in found:
            before = known.get(entry.id[0] if isinstance(entry.id, tuple) else entry.id)
            if entry.id and before is not None:
                entry.string = before.string
    ITALIAN.parent.mkdir(parents=True, exist_ok=True)
    with ITALIAN.open("wb") as target:
        write_po(target, found, width=0, omit_header=False, no_location=True, sort_output=True)
    return found


def missing(catalog: Catalog) -> list[str]:
    """Return the messages of *catalog* without a translation."""
    return [str(entry.id) for entry in catalog if entry.id and not (entry.string and all(_forms(entry.string)))]


def _forms(string: str | Sequence[str]) -> Sequence[str]:
    return (string,) if isinstance(string, str) else string


if __name__ == "__main__":
    if "extract" in sys.argv:
        print("\n".join(missing(update())))
    else:
        print(f"{compile_all(Path(sys.argv[-1] if len(sys.argv) > 1 else 'src'))} catalogs compiled")
