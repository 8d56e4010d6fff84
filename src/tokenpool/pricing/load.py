"""The price book in force: the files the project ships, and over them the operator's in their folder.

Nothing is read from anywhere else. A process looks whether a file of the folder has changed and then
reads them all again; a mistake in one leaves the book that stands.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import reading
from tokenpool.pricing.book import PriceBook
from tokenpool.pricing.join import join
from tokenpool.pricing.sheet import Sheet

SHIPPED = Path(__file__).parent / "prices"
_Files = tuple[tuple[str, int, int], ...]  # name, instant of change, size


class Shelf:
    """Where the book in force stands, and the state of the operator's files it was read from."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._read: _Files = ()
        self._refused: _Files | None = None
        self._book: PriceBook | None = None

    def stand_in(self, folder: Path) -> None:
        """Take the operator's rows from the files in *folder* from now on."""
        self.folder, self._book, self._refused = folder, None, None

    def book(self) -> PriceBook:
        """Return the book in force; the first call reads it.

        Raises:
            InvalidInput: a file has a mistake, and no book stands yet.
        """
        if self._book is None:
            self._read = self._files()
            self._book = with_own(self.folder)
        return self._book

    def look(self) -> bool:
        """Read the operator's files again if one has changed; tell whether another book stands now.

        Raises:
            InvalidInput: a file has a mistake, or changes a price that has begun; raised once per change.
        """
        files = self._files()
        if self._book is None or files in (self._read, self._refused):
            return False
        try:
            found = with_own(self.folder)
            check_kept(self._book, found)
        except InvalidInput:
            self._refused = files
            raise
        self._book, self._read = found, files
        return True

    def _files(self) -> _Files:
        """Return the state of the files; taken before they are read, so that a change meanwhile is seen next time."""
        stats = [(path.name, path.stat()) for path in own_files(self.folder)]
        return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


_SHELF = Shelf()
use = _SHELF.stand_in
standard = _SHELF.book
look = _SHELF.look


@cache
def shipped_sheets() -> tuple[Sheet, ...]:
    """Return the files the project ships, one per provider."""
    return tuple(reading.read(path) for path in sorted(SHIPPED.glob("*.yaml")))


@cache
def shipped() -> PriceBook:
    """Return the price book the project ships."""
    return join(shipped_sheets())


def with_own(folder: Path | None) -> PriceBook:
    """Return the shipped book with the rows of the files in *folder* over it.

    Raises:
        InvalidInput: naming the file, the row, its line and the reason.
    """
    own = [reading.read(path) for path in own_files(folder)]
    return join(shipped_sheets(), own) if own else shipped()


def own_files(folder: Path | None) -> Iterable[Path]:
    """Return the operator's price files in *folder*, by name."""
    return sorted(folder.glob("*.yaml")) if folder is not None else ()


def check_kept(standing: PriceBook, found: PriceBook) -> None:
    """Do nothing if every price that has begun is still what it was: rows are added, never edited.

    Raises:
        InvalidInput: naming the first version that has changed or gone.
    """
    changed = found.changed_since(standing, clock.now().date())
    if changed:
        raise InvalidInput(
            f"prices: {changed[0]} has begun and must stay as it is; add a row with a later day instead.",
            field="prices",
        )
