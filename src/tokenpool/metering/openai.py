"""From OpenAI's usage objects to the same token classes as everybody's.

Here cached and written tokens are *part of* the prompt, and reasoning is part of the output; both are
taken apart, and the sum is checked against the total. What a total has beyond its parts is output:
some who speak this format leave reasoning out of the output and in the total.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.extract import MOST_TOKENS, Reported

MOST_EACH = MOST_TOKENS // 4  # of each count, so that all of an answer stay below the most
LONGEST_TAIL = 4_096
UNBALANCED = "unbalanced_usage"


@dataclass(frozen=True, slots=True)
class Names:
    """How an endpoint calls the two sides; an empty output: it has none."""

    prompt: str
    output: str


CHAT = Names("prompt_tokens", "completion_tokens")
RESPONSES = Names("input_tokens", "output_tokens")
EMBEDDINGS = Names("prompt_tokens", "")


def usage_of(names: Names, answer: Mapping[str, Any]) -> Reported | None:
    """Return the usage of a whole answer, or None when it has none.

    Raises:
        InvalidInput: a count that is negative, no whole number, or absurd.
    """
    return reported(names, answer.get("usage"), answer.get("service_tier"))


def usage_of_embeddings(body: bytes) -> Reported | None:
    """Return the usage of an answer whose bulk is numbers: it stands last, and reading them all would take long.

    Raises:
        InvalidInput: as `usage_of`.
        ValueError: not JSON.
    """
    place = body.rfind(b'"usage"')
    text = body[place + 7 :].decode(errors="replace").lstrip(" \t\r\n:") if place >= 0 else ""
    if text.startswith("{") and len(text) < LONGEST_TAIL:
        usage, _ = json.JSONDecoder().raw_decode(text)
        return reported(EMBEDDINGS, usage, None)
    answer = json.loads(body)
    return usage_of(EMBEDDINGS, answer) if isinstance(answer, dict) else None


def reported(names: Names, usage: object, tier: object) -> Reported | None:
    """Return what *usage* says of an answer that was served in *tier*; None when a side is missing.

    Raises:
        InvalidInput: a count that is negative, no whole number, or absurd; more cached than prompted.
    """
    if not isinstance(usage, Mapping) or usage.get(names.prompt) is None:
        return None
    if names.output and usage.get(names.output) is None:
        return None
    prompt, output = _count(usage, names.prompt), _count(usage, names.output) if names.output else 0
    if not prompt + output:
        return None  # an answer has used something
    total, reasoning = _count(usage, "total_tokens"), _count(_details(usage, names.output), "reasoning_tokens")
    is_beside = total == prompt + output + reasoning
    balanced = is_beside or (total in (0, prompt + output) and reasoning <= output)
    output = max(total - prompt, output if reasoning <= output else output + reasoning)
    counts, is_whole = _taken_apart(_details(usage, names.prompt), prompt, output)
    return Reported(
        ((None, counts),),
        fast=tier == "priority",
        batch=tier == "flex",  # sold at the price of a batch
        flags="" if balanced and is_whole else UNBALANCED,
    )


def _taken_apart(details: Mapping[str, Any], prompt: int, output: int) -> tuple[TokenCounts, bool]:
    """Return the classes, and whether what was cached and written fits into the prompt."""
    cached, written = _count(details, "cached_tokens"), _count(details, "cache_write_tokens")
    if max(cached, written) > prompt:
        raise InvalidInput("usage: more tokens cached than the prompt has.", field="usage")
    split = details.get("cache_write_tokens_details")
    for_hours = _count(split, "ttl_12h_tokens") if isinstance(split, Mapping) else 0
    counts = TokenCounts(
        input=max(0, prompt - cached - written),
        cache_read=cached,
        cache_write_5m=max(0, written - for_hours),
        cache_write_1h=min(written, for_hours),
        output=output,
    )
    return counts, cached + written <= prompt and for_hours <= written


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = usage.get(f"{name}_details")
    return found if isinstance(found, Mapping) else {}


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MOST_EACH:
        raise InvalidInput(f"usage.{name}: must be a whole number from 0 to {MOST_EACH:,}.", field=f"usage.{name}")
    return value
