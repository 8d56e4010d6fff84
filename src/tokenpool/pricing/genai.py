"""Reading `genai-prices`, Pydantic's list of prices: the installed package, or its data.json as a file.

Only what can be said in our rows without loss is offered; every other model comes with its obstacle:
prices by the hour of the day, media, units that are not tokens, prices taken from another seller.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing.listed import Cells, Listed, ListedRow, nano
from tokenpool.pricing.sheet import Section

PROVIDERS = {
    "anthropic": "anthropic", "openai": "openai", "google": "google", "mistral": "mistral",
    "x-ai": "xai", "deepseek": "deepseek", "groq": "groq", "aws": "bedrock",
}  # fmt: skip
_COLUMNS = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok",),
    "cache_read": ("cache_read_mtok",),
}
_MODES: tuple[tuple[Section, dict[str, str]], ...] = (
    (Section.BATCH, {"processing": "batch"}),
    (Section.FAST, {"service_tier": "fast"}),
    (Section.FAST, {"speed": "fast"}),
)
_TEXT = {key for keys in _COLUMNS.values() for key in keys} | {
    "web_searches_kcount", "storage_searches_kcount", "input_audio_mtok", "cache_audio_read_mtok",
}  # fmt: skip
_FREE_SEARCHES = ("google", "vertex")  # some are free per account and day, which no price per search can say
_MEDIA = re.compile(r"audio|realtime|transcribe|tts|image|live|voice|whisper|ocr|moderation|omni|sonic|voxtral|orpheus")
_SECOND_HAND = re.compile(r"Imported from OpenRouter|[Ss]een on OpenRouter|trusting|[Cc]an't find")
_GONE = re.compile(r"[Ss]hut down|Retired on")
_ANOTHERS_NAME = re.compile(r":(free|extended|thinking)$|^ft:|\.ft-$|-$")
_ANOTHERS_ALIAS = re.compile(rf"[@/]|-search-|{_ANOTHERS_NAME.pattern}")
_Table = dict[str, Any]


def installed() -> list[Listed]:
    """Return the list as the installed package carries it.

    Raises:
        InvalidInput: the package is not installed.
    """
    try:
        from genai_prices.data import providers  # noqa: PLC0415 - an optional package, and a large one
    except ImportError as error:
        raise InvalidInput(
            "genai-prices: is not installed; install it, or point at its data.json with --genai FILE.", field="genai"
        ) from error
    return _read(_plain(providers))


def read(path: Path) -> list[Listed]:
    """Return the list of a data.json.

    Raises:
        InvalidInput: it cannot be read, or is not such a file.
    """
    try:
        table = json.loads(path.read_bytes(), parse_float=Decimal)
        return _read(table)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path.name}: cannot be read: {error}.", field="genai") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path.name}: is not the data of genai-prices ({error}).", field="genai") from error


def _read(providers: list[_Table]) -> list[Listed]:
    if not isinstance(providers, list):
        raise TypeError("it is no list of providers")
    known = [one for one in providers if one["id"] in PROVIDERS]
    return [_listed(PROVIDERS[one["id"]], model) for one in known for model in one["models"]]


def _listed(provider: str, model: _Table) -> Listed:
    name, aliases = model["id"], _exact(model["match"])
    if provider == "google" and not name.startswith("gemini"):
        provider, name, aliases = "vertex", f"vertex/{name}", []
    if provider == "bedrock":
        name, aliases = _bedrock_names(name, aliases, model["match"])
    aliases = [alias for alias in aliases if not _ANOTHERS_ALIAS.search(alias)]
    obstacle = _obstacle(name, model)
    rows: tuple[ListedRow, ...] = ()
    if not obstacle:
        try:
            rows = tuple(_rows(model))
            obstacle = _incomplete(name, rows)
        except InvalidInput as error:
            obstacle = error.message
    keys = {key for prices in _standard(model) for key in prices}
    searches = None if provider in _FREE_SEARCHES else _standard(model)[-1].get("web_searches_kcount")
    return Listed(
        provider=provider,
        name=name,
        aliases=tuple(sorted({alias for alias in aliases if alias != name})),
        context=model.get("context_window"),
        rows=rows,
        web_search_nano=nano(searches) // 1000 if searches is not None else None,
        obstacle=obstacle,
        note="audio input has another price and is not covered" if "input_audio_mtok" in keys else "",
    )


def _obstacle(name: str, model: _Table) -> str:
    """Return why the model cannot be taken over as it is, or nothing."""
    said = model.get("price_comments") or ""
    keys = {key for prices in _standard(model) for key in prices}
    other_units = sorted(keys - _TEXT)
    media = _MEDIA.search(name) or any(key.startswith("output_") and key != "output_mtok" for key in keys)
    by_the_hour = any("start_time" in (one.get("constraint") or {}) for one in _periods(model))
    reasons = (
        (not keys, "the list has no price for it"),
        (_ANOTHERS_NAME.search(name), "its name is a pattern, or another seller's"),
        (media, "speech or pictures, not text"),
        (other_units, f"sold by other units too: {', '.join(other_units)}"),
        ("input_mtok" not in keys, "no price of input tokens"),
        ("-search-" in name, "each call searches the web, and the list has no price for that"),
        (by_the_hour, "its price depends on the hour of the day"),
        (_SECOND_HAND.search(said), "the list took the price from another seller"),
        (_GONE.search(said), "no longer served"),
    )
    return next((reason for holds, reason in reasons if holds), "")


def _incomplete(name: str, rows: Iterable[ListedRow]) -> str:
    present = [row.cells for row in rows if row.section is Section.ROWS]
    if "claude" in name and any("cache_write_5m" in cells and "cache_write_1h" not in cells for cells in present[-1:]):
        return "no price of one-hour cache writes"
    if any(amount == 0 for cells in present for amount in cells.values()):
        return "a price of zero"
    return ""


def _rows(model: _Table) -> Iterator[ListedRow]:
    """Yield the standard rows of every period, and those of the modes wherever one of them changes."""
    variants = model.get("price_variants") or []
    starts = {_start(one) for one in [*_periods(model), *variants]}
    latest: dict[Section, Mapping[int, Cells]] = {}
    for start in sorted(starts, key=lambda start: start or date.min):
        standard = next(one["prices"] for one in reversed(_periods(model)) if _begun(one, start))
        modes = [(Section.ROWS, standard)]
        for section, when in _MODES:
            found = next((one for one in variants if one["when"] == when and _begun(one, start)), None)
            modes += [(section, {**standard, **found["prices"]})] if found else []
        for section, prices in modes:
            bands = _bands(prices)
            if latest.get(section) != bands:
                latest[section] = bands
                yield from (ListedRow(section, above, start, cells) for above, cells in bands.items())


def _bands(prices: _Table) -> dict[int, Cells]:
    tiers = {tier["start"] for price in prices.values() if isinstance(price, dict) for tier in price["tiers"]}
    found: dict[int, Cells] = {}
    for above in sorted({0, *tiers}):
        cells: dict[str, int] = {}
        for column, keys in _COLUMNS.items():
            price = next((prices[key] for key in keys if prices.get(key) is not None), None)
            if isinstance(price, dict):
                reached = [tier["price"] for tier in price["tiers"] if tier["start"] <= above]
                price = reached[-1] if reached and above else price["base"]
            if price is not None:
                cells[column] = nano(price)
        found[above] = cells
    return found


def _periods(model: _Table) -> list[_Table]:
    prices = model["prices"]
    return prices if isinstance(prices, list) else [{"prices": prices}]


def _standard(model: _Table) -> list[_Table]:
    return [{key: price for key, price in one["prices"].items() if price is not None} for one in _periods(model)]


def _start(one: _Table) -> date | None:
    given = (one.get("constraint") or {}).get("start_date")
    return date.fromisoformat(given) if isinstance(given, str) else given


def _begun(one: _Table, day: date | None) -> bool:
    start = _start(one)
    return start is None or (day is not None and start <= day)


def _exact(match: _Table) -> list[str]:
    """Return the names that a pattern means as they stand; prefixes and expressions are no names."""
    given = [one for clause in match.get("or", []) for one in _exact(clause)]
    return given + [match[kind] for kind in ("equals", "ends_with") if kind in match]


def _bedrock_names(name: str, aliases: list[str], match: _Table) -> tuple[str, list[str]]:
    """Return the callable names: the list's `regional.X` stands for X and for the profiles us.X, eu.X and so on."""
    if name.startswith("regional."):
        name = name.removeprefix("regional.")
        vendor = name.partition(".")[0]
        regions = set(re.findall(rf"'([a-z-]+)\.{vendor}\.", str(match)))
        aliases = [*aliases, *(f"{region}.{name}" for region in regions)]
    return name, [alias for alias in aliases if "." in alias.partition("-")[0]]


def _plain(value: Any) -> Any:  # noqa: ANN401 - what the package holds, as its JSON would say it
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "__dict__"):
        return {name.rstrip("_"): _plain(one) for name, one in vars(value).items() if one is not None}
    return value
