"""From sheets to the price book: the shipped ones, and over them the operator's own.

Every day on which a row of a model begins or ends makes a version of its own. Where the operator has a
row of a section in force, it stands instead of the shipped ones of that section; where theirs ends, the
shipped ones stand again. Versions from the first own row on are marked, so that an event always leads
back to the price it was rated at.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, TypeVar

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing.book import Band, Bands, HourPrice, ModelPrice, PriceBook, Rates
from tokenpool.pricing.sheet import ModelFacts, Row, Section, Sheet, Tool

OPERATORS = "+operator"
_Kind = TypeVar("_Kind")


@dataclass(slots=True)
class _Model:
    """A model, and its rows from the shipped sheets and from the operator's."""

    name: str
    provider: str
    facts: ModelFacts
    shipped: list[Row] = field(default_factory=list)
    own: list[Row] = field(default_factory=list)


def join(shipped: Sequence[Sheet], own: Sequence[Sheet] = ()) -> PriceBook:
    """Return the book of the *shipped* sheets with the operator's *own* rows over them.

    Raises:
        InvalidInput: a model or another name stands twice, or a model has no price; names the file.
    """
    models: dict[str, _Model] = {}
    for sheet in shipped:
        _add(models, sheet, own=False)
    for sheet in own:
        _add(models, sheet, own=True)
    current: list[ModelPrice] = []
    covered: list[ModelPrice] = []
    for model in models.values():
        plain = list(_versions(model, [model.shipped]))
        since = min((row.start for row in model.own), default=date.max)
        current += [price for price in plain if price.effective_from < since]
        covered += [price for price in plain if price.effective_from >= since]
        if model.own:
            both = _versions(model, [model.own, model.shipped])
            current += [
                replace(price, version=price.version + OPERATORS) for price in both if price.effective_from >= since
            ]
    priced = {price.model for price in current}
    for sheet in [*shipped, *own]:
        for name in sheet.models:
            if name not in priced:
                _refuse(sheet, f"{name} has no row with a price")
    return PriceBook(current, _aliases([*shipped, *own], models), covered=covered)


def _add(models: dict[str, _Model], sheet: Sheet, *, own: bool) -> None:
    everybody = [row for row in sheet.rows if not row.model]
    by_model: dict[str, list[Row]] = {}
    for row in sheet.rows:
        by_model.setdefault(row.model, []).append(row)
    for name, facts in sheet.models.items():
        model = models.get(name)
        if model is None:
            model = models[name] = _Model(name, sheet.provider, facts)
        elif not own or model.own:
            _refuse(sheet, f"model “{name}” stands in another file too")
        elif model.provider != sheet.provider:
            _refuse(sheet, f"model “{name}” is {model.provider}'s, not {sheet.provider}'s")
        else:
            known = model.facts
            model.facts = ModelFacts(
                facts.context or known.context,
                known.aliases,
                facts.retired or known.retired,
                facts.output or known.output,
            )
        rows = model.own if own else model.shipped
        rows += [*everybody, *by_model.get(name, [])]


def _aliases(sheets: Iterable[Sheet], models: dict[str, _Model]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for sheet in sheets:
        for name, facts in sheet.models.items():
            for alias in facts.aliases:
                if alias in models or aliases.get(alias, name) != name:
                    _refuse(sheet, f"alias “{alias}” of {name} stands twice")
                aliases[alias] = name
    return aliases


def _versions(model: _Model, layers: Sequence[list[Row]]) -> Iterator[ModelPrice]:
    """Yield the model's price from every day on which a row begins or ends; the first layer stands over the next."""
    latest: ModelPrice | None = None
    for day in sorted({day for layer in layers for row in layer for day in row.changes}):
        price = _price(model, day, layers)
        if latest is not None:
            if price is None and latest.until is None:
                latest = replace(latest, until=day - timedelta(days=1))
            yield latest
        latest = price
    if latest is not None:
        yield latest


def _price(model: _Model, day: date, layers: Sequence[list[Row]]) -> ModelPrice | None:
    """Join the rows in force on *day*; None when the model has no price then."""
    standing = _standing(layers, day)
    base = next((row for row in standing if row.section is Section.ROWS and row.above == 0), None)
    if base is None or base.value is None:
        return None
    tools = {row.tool: row.value for row in standing if row.section is Section.TOOLS}
    factor = next((row.value for row in standing if row.section is Section.US_ONLY), None)
    return ModelPrice(
        model=model.name,
        version=f"{model.name}@{day.isoformat()}",
        effective_from=day,
        bands=_bands(standing, Section.ROWS),
        fast=_bands(standing, Section.FAST),
        batch=_bands(standing, Section.BATCH),
        us_factor=_as(tuple, factor),
        web_search_nano=_as(int, tools.get(Tool.WEB_SEARCH)),
        code_execution=_as(HourPrice, tools.get(Tool.CODE_EXECUTION)),
        context_window=model.facts.context,
        longest_output=model.facts.output,
        retired=model.facts.retired,
        provider=model.provider,
        grade=base.grade,
        source=base.source,
        note=base.note,
        until=base.until,
    )


def _standing(layers: Sequence[list[Row]], day: date) -> list[Row]:
    """Return the rows in force, per section (and tool) those of the first layer that has any."""
    found: dict[tuple[Section, Tool | None], list[Row]] = {}
    for layer in layers:
        in_force: dict[tuple[Section, Tool | None], list[Row]] = {}
        for row in _in_force(layer, day):
            in_force.setdefault((row.section, row.tool), []).append(row)
        found = {**in_force, **found}
    return [row for rows in found.values() for row in rows]


def _in_force(rows: Iterable[Row], day: date) -> list[Row]:
    """Return, per kind, the row in force; one that was replaced does not come back when the next ends."""
    latest = {(row.section, row.above, row.tool): row for row in rows if row.start <= day}
    return [row for row in latest.values() if row.until is None or day <= row.until]


def _bands(standing: Iterable[Row], section: Section) -> Bands:
    rates = {row.above: row.value for row in standing if row.section is section and isinstance(row.value, Rates)}
    if 0 not in rates:
        return ()
    return tuple(Band(above, rates[above]) for above in sorted(rates))


def _as(kind: type[_Kind], value: Any) -> _Kind | None:  # noqa: ANN401 - one of a row's values
    return value if isinstance(value, kind) else None


def _refuse(sheet: Sheet, reason: str) -> None:
    raise InvalidInput(f"{sheet.name}, models: {reason}.", field="models")
