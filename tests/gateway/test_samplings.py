"""What the provider may sample more than once: bounded by its own documents, and never less than it can bill."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.gateway.call import OVERHEAD_TOKENS, Call, read_call
from tokenpool.gateway.samplings import Samplings
from tokenpool.kernel.errors import Unbounded
from tokenpool.metering.extract import reported
from tokenpool.metering.rate import rate_reported
from tokenpool.pricing import load
from tokenpool.pricing.bound import largest_cost

DAY = date(2026, 11, 24)
BOOK = load.standard()
PRICE = BOOK.price("claude-opus-5-5", DAY)
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
COMPACT = {"edits": [{"type": "compact_20260112"}]}


def call(content: Any = "Hello", **more: Any) -> Call:
    """Return a call with one message and *more*."""
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": content}], **more}
    return read_call(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        ([], Samplings(1)),
        ([{"name": "Bash", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}], Samplings(1)),
        ([{**SEARCH, "max_uses": 1}], Samplings(3, 1)),
        ([{**SEARCH, "max_uses": 5}], Samplings(7, 5)),
        ([{**SEARCH, "max_uses": 100}], Samplings(10, 100)),
        ([{**SEARCH, "max_uses": 2}, {"type": "web_fetch_20250910", "name": "f", "max_uses": 3}], Samplings(7, 2)),
        ([{"type": "web_fetch_20250910", "name": "f"}], Samplings(10, 0)),
        ([{"type": "web_search_20260318", "name": "w", "max_uses": 1}], Samplings(10, 1)),
    ],
)
def test_tools_at_the_provider_sample_again_for_each_use(tools: list[dict[str, Any]], expected: Samplings) -> None:
    """Once before, once for each use, once that hears there are no more; ten at most, ten when it may run code."""
    assert expected == call(tools=tools).samplings


@pytest.mark.parametrize(
    "tool",
    [
        SEARCH,
        {**SEARCH, "max_uses": 0},
        {**SEARCH, "max_uses": 101},
        {**SEARCH, "max_uses": "3"},
        {**SEARCH, "max_uses": True},
        {"type": "code_execution_20260521", "name": "c"},
        {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5"},
        {"type": "mcp_toolset", "mcp_server_name": "s"},
        {"type": "tool_search_tool_regex", "name": "t"},
        {"type": "something_new_20270101", "name": "s"},
        {"type": 7, "name": "s"},
    ],
)
def test_a_tool_whose_cost_is_unknown_is_refused_wherever_it_is_defined(tool: dict[str, Any]) -> None:
    """Among the tools, or inline in the middle of the conversation; only a reference costs nothing."""
    inline = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool}}
    reference = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "web_search"}}

    with pytest.raises(Unbounded, match="tools:"):
        call(tools=[tool])
    with pytest.raises(Unbounded, match="tools:"):
        call([inline])
    assert Samplings(1) == call([reference]).samplings
    text = call([{"type": "tool_use", "id": "t", "name": "n", "input": inline}])
    assert Samplings(1) == text.samplings


def test_each_sampling_reads_the_window_and_may_write_all_its_tokens() -> None:
    """Three searches on Opus 5.5: five times a million tokens in, five times 10 out, three searches."""
    shape = call(tools=[{**SEARCH, "max_uses": 3}]).shape(PRICE)

    assert (5_000_000, 10, 5, 3) == (shape.input_tokens, shape.max_output, shape.samplings, shape.web_searches)


@pytest.mark.parametrize(
    ("size", "edits", "samplings"),
    [
        (140_000, [{"type": "compact_20260112"}], 1),
        (146_000, [{"type": "compact_20260112"}], 2),
        (46_000, [{"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}], 2),
        (45_000, [{"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}], 1),
        (10, [{"type": "compact_20260112", "trigger": {"type": "new", "value": "x"}}], 2),
        (46_000, [{"type": "compact_20260112"}, {"type": "compact_20260112", "trigger": {"value": 50_000}}], 2),
        (10, [{"type": "compact_20260112", "trigger": "now"}, {"type": "compact_20260112"}], 2),
        (10**6, [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015", "keep": "all"}], 1),
    ],
)
def test_a_summary_is_bounded_once_the_prompt_can_reach_its_trigger(
    size: int, edits: list[dict[str, Any]], samplings: int
) -> None:
    """By default at 150,000 tokens; the summary reads the prompt, the answer reads what it wrote."""
    shape = call("x" * size, max_tokens=1_000, context_management={"edits": edits}).shape(PRICE)

    prompt = min(10**6, len(json.dumps("x" * size)) + OVERHEAD_TOKENS)
    assert samplings == shape.samplings
    assert prompt <= shape.input_tokens // samplings <= prompt + 1_000


def test_tools_and_summaries_together_sample_twice_a_round() -> None:
    """The trigger is looked at before each sampling."""
    shape = call(tools=[{**SEARCH, "max_uses": 1}], context_management=COMPACT).shape(PRICE)

    assert (6_000_000, 6) == (shape.input_tokens, shape.samplings)


@pytest.mark.parametrize("edit", ["compact_20260112", "clear_tool_uses_20250919", {"type": "rewrite_20270101"}, {}, 7])
def test_an_edit_that_nobody_knows_is_refused(edit: Any) -> None:
    """It may sample whatever it likes."""
    with pytest.raises(Unbounded, match="context_management"):
        call(context_management={"edits": [edit]})


def test_compaction_on_demand_is_one_sampling() -> None:
    """`max_tokens` caps the summary; nothing is sampled after it."""
    assert 1 == call(compaction={"type": "summarize"}).shape(PRICE).samplings


def test_a_content_block_that_nobody_knows_counts_with_the_window() -> None:
    """Whatever it stands for, no prompt is longer."""
    unknown = call([{"type": "hologram", "id": "file_1"}])

    assert 1_000_000 == unknown.shape(PRICE).input_tokens
    with pytest.raises(Unbounded, match="context window is unknown"):
        unknown.shape(replace(PRICE, context_window=None))


MODELS = ["claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-4-5"]


@st.composite
def billed(draw: st.DrawFn) -> tuple[Call, str, dict[str, Any]]:
    """Draw a call, its model, and a usage object as dear as the provider's documents allow for it."""
    model = draw(st.sampled_from(MODELS))
    window = BOOK.price(model, DAY).context_window or 0
    uses = draw(st.integers(0, 3))
    compacts, hour, us = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    size, most = draw(st.integers(0, 400_000)), draw(st.integers(0, 8_000))
    content = [{"type": "text", "text": "x" * size}]
    more: dict[str, Any] = {"max_tokens": most}
    if hour:
        content[0]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}  # type: ignore[assignment]
    if uses:
        more["tools"] = [{**SEARCH, "max_uses": uses}]
    if compacts:
        more["context_management"] = COMPACT
    made = call(content, **more)
    prompt = min(window, size + OVERHEAD_TOKENS)
    entries, read = [], prompt
    for turn in range(draw(st.integers(1, 2 + uses)) if uses else 1):
        if compacts and read >= 150_000:
            entries.append({"type": "compaction", "input_tokens": read, "output_tokens": most})
            read = min(window, prompt + most)
        entries.append({"type": "message", "input_tokens": read, "output_tokens": most})
        read = draw(st.integers(read, window)) if turn < 1 + uses else read
    if hour:
        for entry in entries:
            entry["cache_creation"] = {"ephemeral_1h_input_tokens": entry["input_tokens"]}
            entry["cache_creation_input_tokens"] = entry.pop("input_tokens")
    usage = {"iterations": entries, "server_tool_use": {"web_search_requests": uses}}
    return made, model, usage | ({"inference_geo": "us"} if us else {})


@given(billed())
def test_nothing_the_provider_can_bill_exceeds_the_bound(drawn: tuple[Call, str, dict[str, Any]]) -> None:
    """Prompts that grow to the window, answers and summaries of `max_tokens`, in every cache and place."""
    made, model, usage = drawn
    price = BOOK.price(model, DAY)

    parts, _ = rate_reported(reported(usage), pinned=price, book=BOOK, day=DAY)

    assert sum(part.cost.total for part in parts) <= largest_cost(made.shape(price), price).amount()


@pytest.mark.parametrize("model", MODELS)
def test_the_dearest_bill_is_the_bound_itself(model: str) -> None:
    """Six samplings and summaries, each of a full window and all its tokens, in the US: not a nano-dollar too few."""
    price = BOOK.price(model, DAY)
    made = call(max_tokens=64_000, tools=[{**SEARCH, "max_uses": 1}], context_management=COMPACT)
    entry = {"input_tokens": price.context_window, "output_tokens": 64_000}
    entries = [{"type": "compaction", **entry}, {"type": "message", **entry}] * 3
    usage = {"iterations": entries, "server_tool_use": {"web_search_requests": 1}, "inference_geo": "us"}

    parts, _ = rate_reported(reported(usage), pinned=price, book=BOOK, day=DAY)

    assert sum(part.cost.total for part in parts) == largest_cost(made.shape(price), price).amount()
