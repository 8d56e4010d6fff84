"""From Anthropic's usage blocks to token classes; hostile or broken blocks are errors, never numbers.

Traps that cost others money, each a test: `message_delta.usage` is cumulative; `cache_creation` may
be null (then every write is a 5-minute write); `usage.iterations` is the record of what is billed:
every entry at its own model's price, for the totals beside it leave compactions and advisors out and
describe one attempt alone when a model declined and another served. What the totals have beyond the
entries is added, so whichever of the two is short, nothing is free. An entry of a kind that nobody
has described yet counts by itself and is flagged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.tokens import TokenCounts

MOST_TOKENS = 10**12  # of all parts together, so that no sum of them can leave 64 bits
MOST_SEARCHES = 10**6
MOST_PARTS = 1_000
BYTES_PER_TOKEN = 3  # an estimate that errs upwards: English has four bytes a token, code three
TOKENS_UNDER_WAY = 50

IN_TOTALS = ("message", "fallback_message")
BESIDE_TOTALS = ("compaction", "advisor_message")
PRICED_TOOLS = ("web_search_requests", "web_fetch_requests")  # a fetch costs the tokens it brings, nothing else
BILLED_REFUSALS = ("bio", "frontier_llm", "reasoning_extraction")  # platform.claude.com, "How refusals are billed"


@dataclass(frozen=True, slots=True)
class Reported:
    """What the provider says was used; a part without a model is the requested model's."""

    parts: tuple[tuple[str | None, TokenCounts], ...]
    us_only: bool = False
    fast: bool = False
    batch: bool = False
    flags: str = ""  # what a person should look at, space-separated
    free: bool = False  # a refusal before any output, of a category that the provider does not bill


def usage_from_message(body: Mapping[str, Any]) -> Reported | None:
    """Return the usage of a complete message, or None when it has none that can be believed.

    A message has used something: counts that are missing, or all zero, are no usage.

    Raises:
        InvalidInput: a count that is negative, no whole number, or absurd.
    """
    usage = body.get("usage")
    if not isinstance(usage, Mapping) or usage.get("input_tokens") is None or usage.get("output_tokens") is None:
        return None
    found = reported(usage, free=_refused_for_free(body))
    return found if any(counts.prompt or counts.output for _, counts in found.parts) else None


def reported(usage: Mapping[str, Any], *, free: bool = False) -> Reported:
    """Return what one usage object says.

    Raises:
        InvalidInput: a count that is negative, no whole number, or absurd; iterations that are no list of objects.
    """
    totals, entries = counts_of(usage), _iterations(usage.get("iterations"))
    parts = _billed(totals, entries)
    if sum(counts.prompt + counts.output for _, counts in parts) > MOST_TOKENS:
        raise InvalidInput("usage: more than 10^12 tokens in one answer.", field="usage")
    return Reported(
        parts,
        us_only=usage.get("inference_geo") == "us",
        fast=usage.get("speed") == "fast",
        batch=usage.get("service_tier") == "batch",
        flags=_flags(usage, entries),
        free=free and totals.output == 0 and not entries[1:],
    )


def counts_of(usage: Mapping[str, Any]) -> TokenCounts:
    """Return the disjoint token classes of one usage object; Anthropic's input excludes cache.

    Raises:
        InvalidInput: a count that is negative, no whole number, or absurd.
    """
    written = _count(usage, "cache_creation_input_tokens")
    split = usage.get("cache_creation")
    write_5m = write_1h = 0
    if isinstance(split, Mapping):
        write_5m = _count(split, "ephemeral_5m_input_tokens")
        write_1h = _count(split, "ephemeral_1h_input_tokens")
    tools = usage.get("server_tool_use")
    return TokenCounts(
        input=_count(usage, "input_tokens"),
        cache_read=_count(usage, "cache_read_input_tokens"),
        cache_write_5m=write_5m + max(0, written - write_5m - write_1h),
        cache_write_1h=write_1h,
        output=_count(usage, "output_tokens"),
        web_search_requests=_count(tools, "web_search_requests", MOST_SEARCHES) if isinstance(tools, Mapping) else 0,
    )


def estimate(
    start: TokenCounts | None, output_bytes: int, read_again: int, *, input_bound: int, most_output: int
) -> TokenCounts:
    """Return what a broken answer is billed: input exact (or its bound), output from the bytes received.

    Output = UTF-8 bytes / 3, rounded up, + 50 tokens for what was under way, at most *most_output*
    (design: what is billed when things break). *read_again* is what tools at the provider added to the
    input. Later evidence corrects it with an event of its own.
    """
    output = min(most_output, -(-output_bytes // BYTES_PER_TOKEN) + TOKENS_UNDER_WAY)
    if start is None:
        return TokenCounts(input=input_bound, output=output)
    more = min(read_again, max(0, input_bound - start.prompt))
    return replace(start, input=start.input + more, output=output)


Entry = tuple[str, str | None, TokenCounts]  # kind, model, counts


def _iterations(iterations: object) -> list[Entry]:
    if iterations is None:
        return []
    if not isinstance(iterations, list) or not all(isinstance(entry, Mapping) for entry in iterations):
        raise InvalidInput("usage.iterations: must be a list of objects.", field="usage.iterations")
    if len(iterations) >= MOST_PARTS:
        raise InvalidInput(f"usage.iterations: more than {MOST_PARTS} parts.", field="usage.iterations")
    found = []
    for entry in iterations:
        kind, model = entry.get("type"), entry.get("model")
        found.append((str(kind), model if isinstance(model, str) else None, counts_of(entry)))
    return found


def _billed(totals: TokenCounts, entries: Sequence[Entry]) -> tuple[tuple[str | None, TokenCounts], ...]:
    """Return the entries, and what the totals have beyond those that belong to them."""
    parts, within = [], TokenCounts()
    missing_1h = totals.cache_write_1h - sum(counts.cache_write_1h for kind, _, counts in entries if kind in IN_TOTALS)
    for kind, model, told in entries:
        counts = told
        if kind in IN_TOTALS:
            if missing_1h > 0:  # an entry without a split of its writes: the totals know how long they live
                moved = min(missing_1h, told.cache_write_5m)
                missing_1h -= moved
                counts = told + TokenCounts(cache_write_5m=-moved, cache_write_1h=moved)
            within += counts
        parts.append((model, counts))
    beyond = _beyond(totals, within)
    if not parts or beyond != TokenCounts():
        parts.insert(0, (None, beyond))
    return tuple(parts)


def _beyond(totals: TokenCounts, within: TokenCounts) -> TokenCounts:
    """Return what *totals* has more than *within*, class by class; writes of either length are one class."""
    writes = totals.cache_write_5m + totals.cache_write_1h - within.cache_write_5m - within.cache_write_1h
    writes_1h = min(max(0, totals.cache_write_1h - within.cache_write_1h), max(0, writes))
    return TokenCounts(
        input=max(0, totals.input - within.input),
        cache_read=max(0, totals.cache_read - within.cache_read),
        cache_write_5m=max(0, writes - writes_1h),
        cache_write_1h=writes_1h,
        output=max(0, totals.output - within.output),
        web_search_requests=max(0, totals.web_search_requests - within.web_search_requests),
    )


def _flags(usage: Mapping[str, Any], entries: Sequence[Entry]) -> str:
    """Name what is in the usage that nobody has priced."""
    tools = usage.get("server_tool_use")
    unpriced = isinstance(tools, Mapping) and any(tools[name] for name in tools if name not in PRICED_TOOLS)
    unknown = any(kind not in IN_TOTALS + BESIDE_TOTALS for kind, _, _ in entries)
    return " ".join(["unpriced_tool"] * unpriced + ["unknown_iteration"] * unknown)


def _refused_for_free(body: Mapping[str, Any]) -> bool:
    """Tell whether the message is a refusal whose input is not billed as long as it has no output."""
    details = body.get("stop_details")
    category = details.get("category") if isinstance(details, Mapping) else None
    return body.get("stop_reason") == "refusal" and not body.get("content") and category not in BILLED_REFUSALS


def _count(usage: Mapping[str, Any], name: str, most: int = MOST_TOKENS) -> int:
    value = usage.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidInput(f"usage.{name}: must be a whole number from 0 to {most:,}.", field=f"usage.{name}")
    return value
