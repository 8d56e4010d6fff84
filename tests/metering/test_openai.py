"""OpenAI's usage: cached and written are part of the prompt, reasoning of the output; the sum is checked."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.openai import (
    CHAT,
    EMBEDDINGS,
    MOST_EACH,
    RESPONSES,
    UNBALANCED,
    Names,
    reported,
    usage_of,
    usage_of_embeddings,
)


def chat(prompt: int, output: int, total: int | None = None, **details: Any) -> dict[str, Any]:
    """Return a usage object as a chat completion has it."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output if total is None else total,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": details.pop("reasoning", 0)},
    }


def responses(prompt: int, output: int, **details: Any) -> dict[str, Any]:
    """Return a usage object as a response has it."""
    return {
        "input_tokens": prompt,
        "output_tokens": output,
        "total_tokens": prompt + output,
        "input_tokens_details": details,
    }


@pytest.mark.parametrize(
    ("names", "usage", "counts"),
    [
        (CHAT, chat(2_112, 7), TokenCounts(input=2_112, output=7)),
        (CHAT, chat(2_112, 7, cached_tokens=2_000), TokenCounts(112, 2_000, 0, 0, 7)),
        (CHAT, chat(2_112, 7, cached_tokens=1_000, cache_write_tokens=1_100), TokenCounts(12, 1_000, 1_100, 0, 7)),
        (CHAT, chat(10, 900, reasoning=880), TokenCounts(input=10, output=900)),
        (CHAT, chat(10, 0), TokenCounts(input=10)),
        (CHAT, {"prompt_tokens": 5, "completion_tokens": 6}, TokenCounts(input=5, output=6)),
        (CHAT, {**chat(5, 6), "prompt_tokens_details": None}, TokenCounts(input=5, output=6)),
        (CHAT, chat(5, 6, cached_tokens=None, audio_tokens=0), TokenCounts(input=5, output=6)),
        (RESPONSES, responses(3_207, 40, cache_write_tokens=3_207), TokenCounts(0, 0, 3_207, 0, 40)),
        (RESPONSES, responses(3_207, 40, cached_tokens=3_207), TokenCounts(0, 3_207, 0, 0, 40)),
        (
            RESPONSES,
            responses(
                900,
                40,
                cache_write_tokens=800,
                cache_write_tokens_details={"ttl_12h_tokens": 500, "ttl_30m_tokens": 300},
            ),
            TokenCounts(100, 0, 300, 500, 40),
        ),
        (EMBEDDINGS, {"prompt_tokens": 8, "total_tokens": 8}, TokenCounts(input=8)),
    ],
)
def test_a_usage_object_is_taken_apart(names: Names, usage: dict[str, Any], counts: TokenCounts) -> None:
    """Every token stands in exactly one class, and nothing is flagged."""
    found = reported(names, usage, None)

    assert found is not None
    assert (((None, counts),), "") == (found.parts, found.flags)


@pytest.mark.parametrize(
    ("usage", "output", "flags"),
    [
        (chat(10, 20, total=530, reasoning=500), 520, ""),  # reasoning beside the output, in the total
        (chat(10, 20, total=530), 520, UNBALANCED),
        (chat(10, 20, total=25), 20, UNBALANCED),
        (chat(10, 20, total=30, reasoning=500), 520, UNBALANCED),
        (chat(10, 20, total=0, reasoning=500), 520, UNBALANCED),
    ],
)
def test_a_sum_that_does_not_fit_is_billed_in_full(usage: dict[str, Any], output: int, flags: str) -> None:
    """What the total has beyond its parts is output; whoever is short, nothing is free."""
    found = reported(CHAT, usage, None)

    assert found is not None
    assert (((None, TokenCounts(input=10, output=output)),), flags) == (found.parts, found.flags)


def test_more_read_and_written_than_prompted_is_flagged() -> None:
    """Each of them is billed as told, the rest is nothing."""
    found = reported(CHAT, chat(1_000, 5, cached_tokens=800, cache_write_tokens=900), None)

    assert found is not None
    assert (((None, TokenCounts(0, 800, 900, 0, 5)),), UNBALANCED) == (found.parts, found.flags)


@pytest.mark.parametrize(
    ("tier", "fast", "batch"),
    [("default", False, False), ("priority", True, False), ("flex", False, True), (None, False, False)],
)
def test_the_tier_that_served_decides_the_price(tier: str | None, fast: bool, batch: bool) -> None:
    """As the answer tells it: priority is the fast price, flex the batch's."""
    found = usage_of(CHAT, {"usage": chat(10, 5), "service_tier": tier})

    assert found is not None
    assert (fast, batch) == (found.fast, found.batch)


@pytest.mark.parametrize(
    ("names", "usage"),
    [
        (CHAT, None),
        (CHAT, 7),
        (CHAT, {}),
        (CHAT, {"completion_tokens": 5}),
        (CHAT, {"prompt_tokens": 5}),
        (CHAT, {"prompt_tokens": 5, "completion_tokens": None}),
        (CHAT, chat(0, 0)),
        (RESPONSES, chat(5, 6)),
        (EMBEDDINGS, {"total_tokens": 5}),
    ],
)
def test_a_missing_side_is_no_usage(names: Names, usage: object) -> None:
    """Nor is nothing at all: an answer has used something."""
    assert usage_of(names, {"usage": usage}) is None


@pytest.mark.parametrize(
    "usage",
    [
        chat(-1, 5),
        chat(5, -1),
        {**chat(5, 5), "total_tokens": -1},
        {**chat(5, 5), "completion_tokens": "5"},
        {**chat(5, 5), "completion_tokens": 5.0},
        {**chat(5, 5), "prompt_tokens": True},
        chat(MOST_EACH + 1, 5),
        chat(5, 10**18),
        chat(5, 5, cached_tokens=6),
        chat(5, 5, cached_tokens=-6),
        chat(5, 5, cache_write_tokens=6),
        chat(5, 5, reasoning=float("nan")),
    ],
)
def test_nonsense_is_an_error_and_never_a_number(usage: dict[str, Any]) -> None:
    """Negative, fractional, huge, or more cached than prompted."""
    with pytest.raises(InvalidInput):
        reported(CHAT, usage, None)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}', 8),
        (b'{"usage" : {"prompt_tokens": 8, "total_tokens": 8}, "data": [0.5]}', 8),
        (b'{"usage": {"prompt_tokens": 8, "total_tokens": 8}, "data": [' + b"0.5," * 2_000 + b"0.5]}", 8),
        (b'{"usage": null, "data": []}', None),
        (b'{"data": []}', None),
        (b"[]", None),
        (b'"usage"', None),
    ],
)
def test_the_usage_of_embeddings_is_found_wherever_it_stands(body: bytes, tokens: int | None) -> None:
    """At the end without reading the numbers; else by reading it all."""
    found = usage_of_embeddings(body)

    assert tokens == (found and found.parts[0][1].input)


@pytest.mark.parametrize("body", [b"", b'{"usage": {"prompt_tokens"', b'{"data": ['])
def test_embeddings_that_are_no_json_are_an_error(body: bytes) -> None:
    """Cut off anywhere."""
    with pytest.raises(ValueError, match=r"Expecting|Invalid"):
        usage_of_embeddings(body)


COUNT = st.integers(0, 10**9)


@given(COUNT, COUNT, st.integers(0, 10**9), st.integers(0, 10**9), COUNT)
def test_the_classes_sum_to_the_providers_total(prompt: int, output: int, a: int, b: int, reasoning: int) -> None:
    """For every split of the prompt, computed a second time from the other end."""
    cached = min(a, prompt)
    written = min(b, prompt - cached)
    usage = chat(prompt, output, cached_tokens=cached, cache_write_tokens=written, reasoning=min(reasoning, output))

    found = reported(CHAT, usage, None)

    if not prompt + output:
        assert found is None
        return
    assert found is not None
    counts = found.parts[0][1]
    assert usage["total_tokens"] == counts.prompt + counts.output
    assert (prompt, "") == (counts.input + cached + written, found.flags)
