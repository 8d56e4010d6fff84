"""Golden usage: every place and every modifier, crossed, rated to the nano-dollar, and computed a second time.

The second computation shares no code with the first: it reads the price file's texts, walks the raw
usage object by the provider's own sentences, and adds Decimals.
"""

import json
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from itertools import cycle, product
from typing import Any

import pytest

import decimal_twin
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.extract import usage_from_message
from tokenpool.metering.rate import rate_reported
from tokenpool.metering.stream import StreamMeter
from tokenpool.pricing import load

DAY = date(2026, 11, 20)
BOOK = load.standard()
FILE = next(file for file in decimal_twin.files() if file["provider"] == "anthropic")
Usage = dict[str, Any]

MODELS = ["claude-opus-5-5", "claude-haiku-5-5", "claude-fable-5-2", "claude-sonnet-4-6", "claude-haiku-4-5"]
COUNTS = cycle([1, 7, 12, 999, 2_048, 19_999, 33_333, 49_999, 50_001, 99_999])
CACHES: list[tuple[str, ...]] = [
    (),
    ("read",),
    ("unsplit",),
    ("null split", "read"),
    ("5m",),
    ("1h", "read"),
    ("5m", "1h", "read"),
]
MODIFIERS: list[Usage] = [
    {},
    {"service_tier": "standard", "speed": "standard", "inference_geo": "global"},
    {"inference_geo": "us", "service_tier": "priority"},
    {"speed": "fast"},
    {"service_tier": "batch", "inference_geo": "us"},
]
SHAPES = ["plain", "tools", "two messages", "compaction", "compaction only", "advisor", "fallback", "everything"]


def sampled(cache: tuple[str, ...]) -> Usage:
    """Return the counts of one sampling, each figure the next of the cycle."""
    usage: Usage = {"input_tokens": next(COUNTS), "output_tokens": next(COUNTS)}
    usage["cache_read_input_tokens"] = next(COUNTS) if "read" in cache else 0
    split = {f"ephemeral_{life}_input_tokens": next(COUNTS) if life in cache else 0 for life in ("5m", "1h")}
    unsplit = next(COUNTS) if {"unsplit", "null split"} & set(cache) else 0
    usage["cache_creation_input_tokens"] = sum(split.values()) + unsplit
    if "null split" in cache:
        usage["cache_creation"] = None
    elif "5m" in cache or "1h" in cache:
        usage["cache_creation"] = split
    return usage


def total(entries: list[Usage]) -> Usage:
    """Return the totals the provider writes beside *entries*: the sum of each field."""
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    summed: Usage = {name: sum(entry[name] for entry in entries) for name in names}
    splits = [entry["cache_creation"] for entry in entries if entry.get("cache_creation")]
    if splits:
        summed["cache_creation"] = {name: sum(split[name] for split in splits) for name in splits[0]}
    return summed


def shaped(shape: str, cache: tuple[str, ...], model: str) -> Usage:
    """Return a usage object as the provider's documents show it for *shape*."""
    first, second = ({"type": "message", **sampled(cache)} for _ in range(2))
    summary = {"type": "compaction", **sampled(cache)}
    advice = {"type": "advisor_message", "model": "claude-opus-5", **sampled(())}
    declined = {"type": "message", "model": model, **sampled(cache)}
    served = {"type": "fallback_message", "model": "claude-opus-4-8", **sampled(cache)}
    tools = {"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 2}}
    usages: dict[str, Usage] = {
        "plain": sampled(cache),
        "tools": {**sampled(cache), **tools},
        "two messages": {**total([first, second]), "iterations": [first, second], **tools},
        "compaction": {**total([first]), "iterations": [summary, first]},
        "compaction only": {**dict.fromkeys(total([first]), 0), "cache_creation": None, "iterations": [summary]},
        "advisor": {**total([first, second]), "iterations": [first, advice, second]},
        "fallback": {**total([served]), "iterations": [declined, served]},
        "everything": {**total([first, second]), "iterations": [summary, first, advice, summary, second], **tools},
    }
    return usages[shape]


def golden() -> Iterator[tuple[str, Usage]]:
    """Yield (model, usage): every shape with every cache and every modifier, models in turn."""
    models = cycle(MODELS)
    for shape, cache, modifiers in product(SHAPES, CACHES, MODIFIERS):
        model = next(models)
        yield model, {**shaped(shape, cache, model), **modifiers}


GOLDEN = list(golden())


def by_hand(model: str, usage: Usage) -> int:
    """Return nano-dollars: each entry of the record of what is billed (else the totals) at its model's row.

    A model's samplings are rounded together; where a price has bands each sampling has its own, and is rounded alone.
    """
    sums: dict[tuple[str, int], Decimal] = {}
    for number, entry in enumerate(usage.get("iterations") or [usage]):
        whose = entry.get("model") or model
        alone = number if len(decimal_twin.in_force(FILE, "rows", whose, DAY)) > 1 else 0
        sums[whose, alone] = sums.get((whose, alone), Decimal()) + sampling_dollars(whose, entry, usage)
    searches = (usage.get("server_tool_use") or {}).get("web_search_requests", 0)
    sums["searches", 0] = Decimal(decimal_twin.searches(FILE, model, DAY)["price"]) * searches
    return sum(int((dollars * 10**9).to_integral_value(ROUND_HALF_UP)) for dollars in sums.values())


def sampling_dollars(model: str, entry: Usage, usage: Usage) -> Decimal:
    """Return the dollars of one sampling, from the file's own texts."""
    written, split = entry["cache_creation_input_tokens"], entry.get("cache_creation") or {}
    hour = split.get("ephemeral_1h_input_tokens", 0)
    amounts = [entry["input_tokens"], entry["output_tokens"], written - hour, hour, entry["cache_read_input_tokens"]]
    prompt = sum(amounts) - entry["output_tokens"]
    wanted = ("fast", usage.get("speed") == "fast"), ("batch", usage.get("service_tier") == "batch"), ("rows", True)
    sold = (decimal_twin.in_force(FILE, mode, model, DAY) for mode, asked in wanted if asked)
    bands = next(found for found in sold if found)
    row = bands[max(above for above in bands if above == 0 or prompt > above)]
    dollars = sum((Decimal(n) * Decimal(p) for n, p in zip(amounts, row["price"], strict=True)), Decimal()) / 1_000_000
    factors = decimal_twin.in_force(FILE, "us_only", model, DAY)
    if usage.get("inference_geo") == "us" and factors:
        dollars *= Decimal(factors[0]["factor"][0]) / Decimal(factors[0]["factor"][1])
    return dollars


def computed(message: Usage, model: str) -> int:
    """Return nano-dollars by the product's way, of a whole message."""
    found = usage_from_message(message)
    assert found is not None
    parts, flags = rate_reported(found, pinned=BOOK.price(model, DAY), book=BOOK, day=DAY)
    assert "" == flags
    return sum(part.cost.total for part in parts)


def test_there_are_three_hundred_different_usage_objects() -> None:
    """Eight shapes, seven caches, five modifiers, five models; one of them has bands, one no modifiers."""
    assert 300 <= len({json.dumps(usage, sort_keys=True) for _, usage in GOLDEN})
    assert len(GOLDEN) == 280 + len(EDGES)


EDGES = [
    ("claude-haiku-5-5", {"input_tokens": n, "cache_read_input_tokens": m, "output_tokens": 9, **extra})
    for n, m in ((100_000, 0), (100_001, 0), (1, 99_999), (2, 99_999), (0, 100_001))
    for extra in (
        {},
        {"cache_creation_input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 1}},
        {"inference_geo": "us"},
        {"service_tier": "batch"},
    )
]
GOLDEN += [(model, {"cache_creation_input_tokens": 0, **usage}) for model, usage in EDGES]


@pytest.mark.parametrize("modifiers", MODIFIERS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_golden_usage_costs_what_the_second_computation_says(shape: str, modifiers: Usage) -> None:
    """Whole, to the nano-dollar."""
    chosen = [
        (model, usage)
        for (name, _, told), (model, usage) in zip(product(SHAPES, CACHES, MODIFIERS), GOLDEN, strict=False)
        if (name, told) == (shape, modifiers)
    ]

    assert len(CACHES) == len(chosen)
    for model, usage in chosen:
        assert by_hand(model, usage) == computed({"usage": usage}, model), (model, usage)


def test_the_edges_of_the_bands_cost_what_the_second_computation_says() -> None:
    """100,000 prompt tokens of Haiku 5.5 are cheap, 100,001 dear, however they are made up."""
    for model, usage in GOLDEN[-len(EDGES) :]:
        assert by_hand(model, usage) == computed({"usage": usage}, model), (model, usage)


def test_a_stream_tells_every_golden_usage_to_the_same_nano_dollar() -> None:
    """Cumulative frames: the start tells the input, frames on the way a part of the output, the last one all."""
    for model, usage in GOLDEN:
        meter = StreamMeter()
        start = {**usage, "output_tokens": 1} if usage["output_tokens"] else dict(usage)
        if start.pop("iterations", None):
            start["input_tokens"] += 5_000  # the prompt before it was summarized, or that of the model that declined
        frames = [{"output_tokens": usage["output_tokens"] // 2}, {k: v for k, v in usage.items() if v is not None}]
        events = [{"type": "message_start", "message": {"usage": start}}]
        events += [{"type": "message_delta", "delta": {}, "usage": frame} for frame in frames]
        for event in [*events, {"type": "message_stop"}]:
            meter.feed(f"data: {json.dumps(event)}\n\n".encode())
        found = meter.reported()
        assert found is not None, usage
        parts, _ = rate_reported(found, pinned=BOOK.price(model, DAY), book=BOOK, day=DAY)
        assert by_hand(model, usage) == sum(part.cost.total for part in parts), (model, usage)


def test_a_frame_on_the_way_is_never_added_to_the_last() -> None:
    """3, then 7 tokens of output are 7; a count that falls again is not believed."""
    usage = {"input_tokens": 12, "output_tokens": 7}
    for frames in ([3, 7], [7, 3], [7, 7, 7]):
        meter = StreamMeter()
        meter.feed(b'data: {"type":"message_start","message":{"usage":{"input_tokens":12,"output_tokens":1}}}\n\n')
        for output in frames:
            frame = {"type": "message_delta", "usage": {"output_tokens": output, "input_tokens": 0}}
            meter.feed(f"data: {json.dumps(frame)}\n\n".encode())

        found = meter.reported()

        assert found is not None
        assert ((None, TokenCounts(12, output=7)),) == found.parts
    assert 188_000 == computed({"usage": usage}, "claude-opus-5-5")
