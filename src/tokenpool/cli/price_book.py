"""`tokenpool prices`: the price book, the public lists beside it, and taking over what was confirmed."""

import json
import sys
from collections.abc import Iterable
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from tokenpool.cli.prepare import DATA, Data, Json, prepare
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import apply as taking
from tokenpool.pricing import genai, litellm, load
from tokenpool.pricing.apply import Change
from tokenpool.pricing.book import Bands, ModelPrice
from tokenpool.pricing.compare import Comparison, Difference, compare
from tokenpool.pricing.listed import Listed, amount_text
from tokenpool.pricing.reading import COLUMNS
from tokenpool.pricing.sheet import Section

app = typer.Typer(help="The price book, public lists beside it, what is taken over from them.", no_args_is_help=True)
Genai = Annotated[Path | None, typer.Option("--genai", help="genai-prices' data.json; else the installed package.")]
Litellm = Annotated[Path | None, typer.Option("--litellm", help="LiteLLM's model_prices_and_context_window.json.")]
Provider = Annotated[str, typer.Option("--provider", help="One provider's models only.")]
On = Annotated[str, typer.Option("--on", help="The day the prices are of, like 2026-11-24; else today.")]


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="A model by any of its names; else all of them.")] = "",
    provider: Provider = "",
    on: On = "",
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Show the prices in force on a day, or every version of one model's."""
    prepare(data)
    book, day = load.standard(), _day(on, "on")
    found = book.models(day)
    if model:
        found = [book.price(model, day)] if on else book.history(model)
    found = [price for price in found if provider in ("", price.provider)]
    if as_json:
        typer.echo(json.dumps([_as_json(price) for price in found], ensure_ascii=False))
        return
    typer.echo(f"{'':44} {'  '.join(f'{column:>14}' for column in COLUMNS)}")
    for price in found:
        for line in _lines(price):
            typer.echo(line)


@app.command("compare")
def compare_lists(
    genai_file: Genai = None,
    litellm_file: Litellm = None,
    provider: Provider = "",
    on: On = "",
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Compare the price book with public lists; nothing is changed and nothing is fetched."""
    prepare(data)
    day = _day(on, "on")
    found = {name: _compared(listed, provider, day) for name, (listed, _) in _lists(genai_file, litellm_file).items()}
    if as_json:
        typer.echo(json.dumps({name: _report(one) for name, one in found.items()}, ensure_ascii=False))
        return
    for name, one in found.items():
        for line in _told(name, one, day):
            typer.echo(line)


@app.command("apply")
def apply_list(
    models: Annotated[list[str] | None, typer.Argument(help="The models to take over; else all that differ.")] = None,
    genai_file: Genai = None,
    litellm_file: Litellm = None,
    provider: Provider = "",
    starting: Annotated[str, typer.Option("--from", help="The first day of the new prices; else tomorrow.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Confirm every change.")] = False,
    beyond: Annotated[bool, typer.Option("--beyond-50-percent", help="With --yes: confirm large changes too.")] = False,
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Take prices over from one list into DATA/prices, each confirmed; all of it is audited."""
    settings = prepare(data)
    start = _day(starting, "from") if starting else clock.now().date() + timedelta(days=1)
    lists = _lists(genai_file, litellm_file)
    if len(lists) > 1:
        raise InvalidInput("genai: take over from one list at a time: --genai or --litellm.", field="genai")
    ((source, (listed, said)),) = lists.items()
    asked = _asked(taking.changes(_compared(listed, provider, start), start), models or [])
    large = [change.model for change in asked if change.is_large]
    if yes and large and not beyond:
        sentence = f"{', '.join(large)}: a figure moves by more than half; look at it, then add --beyond-50-percent."
        raise InvalidInput(sentence, field="beyond_50_percent")
    if asked and not yes and not sys.stdin.isatty():
        raise InvalidInput("Nobody is there to confirm: run it in a terminal, or add --yes.", field="yes")
    confirmed = [change for change in asked if yes or _confirm(change, start)]
    files: Iterable[Path] = ()
    if confirmed:
        from tokenpool.cli import price_audit  # noqa: PLC0415 - its rooms need the prepared settings

        drafts = taking.draft(settings.folder / "prices", confirmed, start, source=source, said=said)
        price_audit.record(confirmed, start, source=source)
        files = taking.put_in_force(drafts)
    if as_json:
        taken = [{"model": change.model, "from": start.isoformat()} for change in confirmed]
        typer.echo(json.dumps({"taken": taken, "files": [str(path) for path in files]}))
        return
    typer.echo(f"{len(confirmed)} of {len(asked)} changes taken over from {start}.")
    for path in files:
        typer.echo(f"  {path}")


def _lists(genai_file: Path | None, litellm_file: Path | None) -> dict[str, tuple[list[Listed], str]]:
    """Return the lists asked for, by the name a row's source has, with what stands behind it."""
    found: dict[str, tuple[list[Listed], str]] = {}
    if genai_file is not None:
        found["genai"] = (genai.read(genai_file), f"genai-prices, {genai_file.name}")
    if litellm_file is not None:
        found["litellm"] = (litellm.read(litellm_file), f"LiteLLM's list, {litellm_file.name}")
    if not found:
        listed = genai.installed()
        version = metadata.version("genai-prices")
        found[f"genai-{version}"] = (listed, f"genai-prices {version}")
    return found


def _compared(listed: Iterable[Listed], provider: str, day: date) -> Comparison:
    return compare(load.standard(), [one for one in listed if provider in ("", one.provider)], day)


def _asked(found: list[Change], models: list[str]) -> list[Change]:
    """Return the changes of the models that were named, else of all that differ."""
    if not models:
        return [change for change in found if change.ours is not None]
    by_name = {name: change for change in found for name in (change.model, change.listed.name)}
    for name in models:
        if name not in by_name:
            raise InvalidInput(f"{name}: the list says nothing else of it that could be taken over.", field="models")
    return [by_name[name] for name in dict.fromkeys(models)]


def _confirm(change: Change, start: date) -> bool:
    typer.echo(f"{change.model}{'' if change.ours else ' (new)'}, from {start}:")
    for line in [*map(_difference, change.differences), *(_new_lines(change) if change.ours is None else [])]:
        typer.echo(f"  {line}")
    if not typer.confirm("Take it over?"):
        return False
    return not change.is_large or typer.confirm("A figure moves by more than half. Really take it over?")


def _new_lines(change: Change) -> list[str]:
    return [line for lines in taking.lines(change, clock.now().date(), "list").values() for line in lines]


def _told(name: str, found: Comparison, day: date) -> Iterable[str]:
    agreeing = [one for one in found.both if not one.differences]
    differing = [one for one in found.both if one.differences]
    takeable = [one for one in found.only_there if not one.obstacle]
    figures = sum(one.agreeing for one in found.both)
    yield f"{name}, {day}: {len(agreeing)} models agree ({figures} figures), {len(differing)} differ,"
    there = f"{len(found.only_there)} only there ({len(takeable)} could be taken over)"
    yield f"  {there}, {len(found.only_here)} only here."
    for one in differing:
        yield f"{one.price.model}"
        yield from (f"  {_difference(difference)}" for difference in one.differences)
    if takeable:
        yield f"only there: {', '.join(one.name for one in takeable)}"
    if found.only_here:
        yield f"only here: {', '.join(price.model for price in found.only_here)}"


def _difference(found: Difference) -> str:
    place = "" if found.section in (Section.ROWS, Section.TOOLS) else f"{found.section} "
    above = f" above {found.above:,}" if found.above else ""
    ours = "no price" if found.ours is None else amount_text(found.ours)
    mark = "  (more than half)" if found.is_large else ""
    return f"{place}{found.column}{above}: {ours} here, {amount_text(found.theirs)} there{mark}"


def _report(found: Comparison) -> dict[str, Any]:
    return {
        "agreeing_models": sum(not one.differences for one in found.both),
        "agreeing_figures": sum(one.agreeing for one in found.both),
        "differences": [
            {
                "model": one.price.model, "mode": difference.section, "above_prompt_tokens": difference.above,
                "component": difference.column, "ours_nano": difference.ours, "theirs_nano": difference.theirs,
                "beyond_50_percent": difference.is_large,
            }
            for one in found.both for difference in one.differences
        ],
        "only_there": [
            {"model": one.name, "provider": one.provider, "obstacle": one.obstacle} for one in found.only_there
        ],
        "only_here": [price.model for price in found.only_here],
    }  # fmt: skip


def _as_json(price: ModelPrice) -> dict[str, Any]:
    modes = {"standard": price.bands, "fast": price.fast, "batch": price.batch}
    return {
        "model": price.model, "provider": price.provider, "version": price.version,
        "effective_from": price.effective_from.isoformat(), "until": price.until and price.until.isoformat(),
        "retired": price.retired and price.retired.isoformat(), "context_window": price.context_window,
        "grade": price.grade, "source": price.source, "note": price.note,
        "us_factor": price.us_factor, "web_search_nano": price.web_search_nano,
        **{mode: _bands(bands) for mode, bands in modes.items()},
    }  # fmt: skip


def _bands(bands: Bands) -> list[dict[str, int]]:
    return [
        {"above_prompt_tokens": band.above, **{f"{name}_nano_per_mtok": getattr(band.rates, name) for name in COLUMNS}}
        for band in bands
    ]


def _lines(price: ModelPrice) -> Iterable[str]:
    for mode, bands in (("", price.bands), ("fast", price.fast), ("batch", price.batch)):
        for band in bands:
            title = " ".join(word for word in (mode, f"above {band.above:,}" if band.above else "") if word)
            amounts = "  ".join(f"{amount_text(getattr(band.rates, name)):>14}" for name in COLUMNS)
            yield f"{f'  {title}' if title else price.version:<44} {amounts}"


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text) if text else clock.now().date()
    except ValueError as error:
        raise InvalidInput(f"{name}: must be a day like 2026-11-24.", field=name) from error
