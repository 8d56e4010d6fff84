"""From Anthropic's usage blocks to token classes; hostile or broken blocks are errors, never numbers.

Traps that cost others money, each a test: `message_delta.usage` is cumulative; `cache_creation` may
be null (then every write is a 5-minute write); `usage.iterations` entries other than `message` are
not in the top-level totals and may carry another model. Of a kind that nobody has described yet the
same is assumed: counted by itself, never for free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.tokens import TokenCounts

MOST_TOKENS = 10**12  # of all parts together, so that no sum of them can leave 64 bits
MOST_SEARCHES = 10**6
MOST_PARTS = 1_000
BYTES_PER_TOKEN = 3  # an estimate that errs upwards: English has four bytes a token, code three
TOKENS_UNDER_WAY = 50


@dataclass(frozen=True, slots=True)
class Reported:
    """What the provider says was used; a part without a model is the requested model's."""

    parts: tuple[tuple[str | None, TokenCounts], ...]
    us_only: bool = False
    fast: bool = False
    batch: bool = False
    flags: str = ""  # what a person should look at, space-separated


def usage_from_message(body: Mapping[str, Any]) -> Reported | None:
    """Return the usage of a complete (non-streamed) message, or None when it has none.

    Raises:
        InvalidInput: a count that is negative, no whole number, or absurd.
    """
    usage = body.get("usage")
    return reported(usage) if isinstance(usage, Mapping) else None


def reported(usage: Mapping[str, Any]) -> Reported:
    """Return what one usage object says.

    Raises:
        InvalidInput: a count that is negative, no whole number, or absurd; iterations that are no list of objects.
    """
    parts = ((None, counts_of(usage)), *_separate(usage.get("iterations")))
    if sum(counts.prompt + counts.output for _, counts in parts) > MOST_TOKENS:
        raise InvalidInput("usage: more than 10^12 tokens in one answer.", field="usage")
    return Reported(
        parts,
        us_only=usage.get("inference_geo") == "us",
        fast=usage.get("speed") == "fast",
        batch=usage.get("service_tier") == "batch",
    )


def _separate(iterations: object) -> list[tuple[str | None, TokenCounts]]:
    """Return the parts that the top-level totals leave out: every iteration but those of type `message`."""
    if iterations is None:
        return []
    if not isinstance(iterations, list) or not all(isinstance(entry, Mapping) for entry in iterations):
        raise InvalidInput("usage.iterations: must be a list of objects.", field="usage.iterations")
    separate = [entry for entry in iterations if entry.get("type") != "message"]
    if len(separate) >= MOST_PARTS:
        raise InvalidInput(f"usage.iterations: more than {MOST_PARTS} parts.", field="usage.iterations")
    models = [entry.get("model") for entry in separate]
    return [
        (model if isinstance(model, str) else None, counts_of(entry))
        for model, entry in zip(models, separate, strict=True)
    ]


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


def estimate(start: TokenCounts | None, output_bytes: int, *, input_bound: int, most_output: int) -> TokenCounts:
    """Return what a broken answer is billed: input exact (or its bound), output from the bytes received.

    Output = UTF-8 bytes / 3, rounded up, + 50 tokens for what was under way, at most *most_output*
    (design: what is billed when things break). Later evidence corrects it with an event of its own.
    """
    output = min(most_output, -(-output_bytes // BYTES_PER_TOKEN) + TOKENS_UNDER_WAY)
    if start is None:
        return TokenCounts(input=input_bound, output=output)
    return TokenCounts(
        start.input, start.cache_read, start.cache_write_5m, start.cache_write_1h, output, start.web_search_requests
    )


def _count(usage: Mapping[str, Any], name: str, most: int = MOST_TOKENS) -> int:
    value = usage.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidInput(f"usage.{name}: must be a whole number from 0 to {most:,}.", field=f"usage.{name}")
    return value
