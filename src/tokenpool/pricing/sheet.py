"""One price file as rows: dated, each with its evidence. Reading it is in `reading`, joining several in `join`."""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from tokenpool.pricing.book import Factor, HourPrice, Rates


class Section(StrEnum):
    """What a row is a price of."""

    ROWS = "rows"  # standard requests
    FAST = "fast"
    BATCH = "batch"
    US_ONLY = "us_only"  # a factor on every token class
    TOOLS = "tools"


class Tool(StrEnum):
    """The server tools that have prices."""

    WEB_SEARCH = "web_search"
    CODE_EXECUTION = "code_execution"


Value = Rates | Factor | int | HourPrice  # of rows, fast and batch; of us_only; of a search; of code execution


@dataclass(frozen=True, slots=True)
class Row:
    """A price of one kind from `start` on, until the next of its kind or its own last day.

    `value` None says that nothing of the kind is sold from that day on.
    """

    section: Section
    model: str  # empty: every model of the file (tools)
    above: int  # prompt tokens
    tool: Tool | None
    start: date
    until: date | None
    value: Value | None
    grade: str
    source: str
    note: str = ""

    @property
    def kind(self) -> tuple[Section, str, int, Tool | None]:
        """What the row competes about with rows of other days."""
        return (self.section, self.model, self.above, self.tool)

    @property
    def changes(self) -> list[date]:
        """The days on which this row changes the price: its first, and the one after its last."""
        last = self.until
        return [self.start] if last is None or last == date.max else [self.start, last + timedelta(days=1)]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model besides its prices."""

    context: int | None = None
    aliases: tuple[str, ...] = ()
    retired: date | None = None
    output: int | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A provider's models and rows; rows of a kind ascend by their day."""

    name: str  # of the file
    provider: str
    models: dict[str, ModelFacts]
    rows: tuple[Row, ...]
