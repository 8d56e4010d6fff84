"""What a list's address says: search, filters, sort, page, month; wrong values are errors, not guesses."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.http import HttpRequest

from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.period import Month

PAGE_SIZE = 50
MOST_PAGES = 10**6
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listing:
    """A wanted page of a list."""

    text: str
    filters: dict[str, str]
    sort: str
    descending: bool
    page: int
    size: int = PAGE_SIZE

    @property
    def offset(self) -> int:
        """How many rows come before the page."""
        return (self.page - 1) * self.size

    def facts(self, found: int) -> dict[str, Any]:
        """Return what the list's tools and foot show when *found* rows match."""
        pages = max(1, -(-found // self.size))
        return {
            "text": self.text,
            "filters": self.filters,
            "sort": self.sort,
            "descending": self.descending,
            "page": self.page,
            "pages": pages,
            "found": found,
            "first": min(found, self.offset + 1),
            "last": min(found, self.offset + self.size),
        }


def listing(
    request: HttpRequest,
    *,
    sorts: Sequence[str],
    default: str,
    filters: Sequence[str] = ("seat_type", "role"),
    size: int = PAGE_SIZE,
) -> Listing:
    """Read the wanted page from the address.

    Raises:
        InvalidInput: an unknown sort or a page that is no positive number.
    """
    sort = request.GET.get("sort", default)
    if sort not in sorts:
        raise InvalidInput(f"sort: must be one of {', '.join(sorts)}.", field="sort")
    page = request.GET.get("page", "1")
    if not (page.isascii() and page.isdecimal() and len(page) <= len(str(MOST_PAGES)) and 1 <= int(page) <= MOST_PAGES):
        raise InvalidInput("page: must be a positive number.", field="page")
    given = {name: request.GET[name] for name in filters if name in request.GET and request.GET[name] != "all"}
    given = {name: "" if value == "none" else value for name, value in given.items()}
    descending = request.GET.get("order", "desc" if default == "spent" else "asc") == "desc"
    return Listing(request.GET.get("q", "").strip()[:80], given, sort, descending, int(page), size)


def every(read: Callable[[int], tuple[list[Row], int]]) -> Iterator[Row]:
    """Yield all rows of a list: *read* takes an offset and returns a page and how many rows match."""
    offset, rows, found = 0, *read(0)
    while rows:
        yield from rows
        offset += len(rows)
        rows, found = read(offset) if offset < found else ([], found)


def month_of(request: HttpRequest) -> Month:
    """Return the month of the address, else the running one.

    Raises:
        InvalidInput: not a month.
    """
    text = request.GET.get("month", "")
    return Month.parse(text) if text else Month.of(clock.now())
