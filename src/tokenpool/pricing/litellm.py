"""Reading LiteLLM's list (model_prices_and_context_window.json): one file, today's prices only, dollars per token."""

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing.book import TOKENS_PER_PRICE
from tokenpool.pricing.listed import Listed, ListedRow, nano
from tokenpool.pricing.sheet import Section

_PREFIXES = {"google": "gemini/", "mistral": "mistral/", "xai": "xai/", "deepseek": "deepseek/", "groq": "groq/"}
_PROVIDERS = {
    "anthropic": "anthropic", "openai": "openai", "gemini": "google", "mistral": "mistral", "xai": "xai",
    "deepseek": "deepseek", "groq": "groq", "bedrock": "bedrock", "bedrock_converse": "bedrock",
    "vertex_ai-anthropic_models": "vertex",
}  # fmt: skip
_COLUMNS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "cache_read": "cache_read_input_token_cost",
}
_MODES = {Section.ROWS: "", Section.BATCH: "_batches", Section.FAST: "_priority"}
_ABOVE = re.compile(r"^input_cost_per_token_above_([0-9]+)k_tokens$", re.ASCII)
_TEXT_MODES = ("chat", "completion", "responses", "embedding")


def read(path: Path) -> list[Listed]:
    """Return the text models of the providers we know.

    Raises:
        InvalidInput: it cannot be read, or is not such a file.
    """
    try:
        table = json.loads(path.read_bytes(), parse_float=Decimal)
        return _merged(_listed(key, model) for key, model in table.items() if _wanted(key, model))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path.name}: cannot be read: {error}.", field="litellm") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path.name}: is not LiteLLM's list ({error}).", field="litellm") from error


def _wanted(key: str, model: Mapping[str, Any]) -> bool:
    regional = key.startswith("bedrock/")
    return model.get("litellm_provider") in _PROVIDERS and model.get("mode") in _TEXT_MODES and not regional


def _merged(found: Iterable[Listed]) -> list[Listed]:
    """Return one entry per provider and name; the list has some names with a prefix and without."""
    return list({(one.provider, one.name): one for one in found}.values())


def _listed(key: str, model: Mapping[str, Any]) -> Listed:
    provider = _PROVIDERS[model["litellm_provider"]]
    name = key.removeprefix(_PREFIXES.get(provider, ""))
    if provider == "vertex":
        name = f"vertex/{name.removeprefix('vertex_ai/').partition('@')[0]}"
    aboves = sorted({0, *(int(found.group(1)) * 1000 for name_ in model if (found := _ABOVE.match(name_)))})
    rows: list[ListedRow] = []
    obstacle = ""
    try:
        for section, mode in _MODES.items():
            for above in aboves:
                cells = _cells(model, f"_above_{above // 1000}k_tokens" if above else "", mode)
                if "input" in cells:
                    rows.append(ListedRow(section, above, None, cells))
    except InvalidInput as error:
        rows, obstacle = [], error.message
    if not rows:
        obstacle = obstacle or "the list has no price for it"
    return Listed(provider, name, context=model.get("max_input_tokens"), rows=tuple(rows), obstacle=obstacle)


def _cells(model: Mapping[str, Any], above: str, mode: str) -> dict[str, int]:
    found = {column: model.get(f"{key}{above}{mode}") for column, key in _COLUMNS.items()}
    return {column: nano(amount, tokens=TOKENS_PER_PRICE) for column, amount in found.items() if amount}
