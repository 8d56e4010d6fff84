"""Our book beside a public list on one day: what agrees, what differs, what only one of them has. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from tokenpool.pricing.book import Bands, ModelPrice, PriceBook, rates_in
from tokenpool.pricing.listed import Cells, Listed
from tokenpool.pricing.reading import COLUMNS
from tokenpool.pricing.sheet import Section

LARGE_PERCENT = 50
WEB_SEARCH = "web_search"


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure on which book and list differ; `ours` None: the book has no price of that mode or tool."""

    section: Section
    above: int  # prompt tokens
    column: str
    ours: int | None  # nano-dollars per million tokens; of a search: per search
    theirs: int

    @property
    def is_large(self) -> bool:
        """True when the list's figure is more than half above ours, or less than half of it."""
        return self.ours is not None and abs(self.theirs - self.ours) * 100 > LARGE_PERCENT * self.ours


@dataclass(frozen=True, slots=True)
class Compared:
    """A model that both know: how many figures agree, and those that do not."""

    price: ModelPrice
    listed: Listed
    agreeing: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A whole list against the book."""

    both: tuple[Compared, ...]
    only_there: tuple[Listed, ...]
    only_here: tuple[ModelPrice, ...]  # of the providers the list knows


def compare(book: PriceBook, listed: Iterable[Listed], day: date) -> Comparison:
    """Return what *book* and the list say of *day*."""
    ours = {price.model: price for price in book.models(day)}
    both: list[Compared] = []
    only_there: list[Listed] = []
    known: set[str] = set()
    providers = set()
    for one in listed:
        providers.add(one.provider)
        price = _ours(book, ours, one)
        if price is None:
            only_there.append(one)
            continue
        known.add(price.model)
        if not one.obstacle:
            both.append(_compared(price, one, day))
    only_here = [price for name, price in ours.items() if name not in known and price.provider in providers]
    return Comparison(tuple(both), tuple(only_there), tuple(only_here))


def _ours(book: PriceBook, ours: Mapping[str, ModelPrice], one: Listed) -> ModelPrice | None:
    """Return our price of a list's model: by its name, else by an exact other name of it, of the same provider."""
    for name in (one.name, *one.aliases):
        found = ours.get(book.model_of(name) or "")
        if found is not None and found.provider == one.provider:
            return found
    return None


def _compared(price: ModelPrice, one: Listed, day: date) -> Compared:
    agreeing, differences = 0, []
    bands_of = {Section.ROWS: price.bands, Section.BATCH: price.batch, Section.FAST: price.fast}
    for section, theirs in one.on(day).items():
        for difference in _figures(section, bands_of[section], theirs):
            if difference.ours == difference.theirs:
                agreeing += 1
            else:
                differences.append(difference)
    if one.web_search_nano is not None:
        search = Difference(Section.TOOLS, 0, WEB_SEARCH, price.web_search_nano, one.web_search_nano)
        if search.ours == search.theirs:
            agreeing += 1
        else:
            differences.append(search)
    return Compared(price, one, agreeing, tuple(differences))


def _figures(section: Section, ours: Bands, theirs: Mapping[int, Cells]) -> Iterable[Difference]:
    """Yield every figure the list has, at each prompt length at which either of the two changes."""
    for above in sorted({*theirs, *(band.above for band in ours)}):
        cells = theirs[max((start for start in theirs if start <= above), default=min(theirs))]
        rates = rates_in(ours, above + 1) if ours else None
        for column in COLUMNS:
            if column in cells:
                yield Difference(section, above, column, getattr(rates, column) if rates else None, cells[column])
