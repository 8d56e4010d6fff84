"""Usage blocks: the traps that cost others money, and hostile numbers."""

import pytest

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.extract import counts_of, estimate, reported, usage_from_message


def test_the_cache_split_is_read_and_input_excludes_it() -> None:
    """Five disjoint classes."""
    usage = {
        "input_tokens": 12,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "cache_read_input_tokens": 2000,
        "output_tokens": 7,
    }

    assert TokenCounts(12, 2000, 100, 200, 7) == counts_of(usage)


@pytest.mark.parametrize("split", [None, {}, {"ephemeral_5m_input_tokens": None}])
def test_without_a_split_every_write_is_a_five_minute_write(split: object) -> None:
    """`cache_creation` may be null."""
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 300, "cache_creation": split, "output_tokens": 1}

    assert TokenCounts(1, 0, 300, 0, 1) == counts_of(usage)


def test_iterations_outside_the_totals_are_parts_of_their_own() -> None:
    """`message` entries are in the totals already; an advisor has its own model."""
    usage = {
        "input_tokens": 1760,
        "output_tokens": 531,
        "iterations": [
            {"type": "message", "input_tokens": 1760, "output_tokens": 531},
            {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 823, "output_tokens": 1612},
            {"type": "compaction", "input_tokens": 5, "output_tokens": 6},
        ],
    }

    assert (
        (None, TokenCounts(1760, output=531)),
        ("claude-opus-5", TokenCounts(823, output=1612)),
        (None, TokenCounts(5, output=6)),
    ) == reported(usage).parts


def test_an_iteration_of_an_unknown_kind_is_counted_by_itself() -> None:
    """Never free: what nobody has described is assumed to stand outside the totals."""
    usage = {"output_tokens": 1, "iterations": [{"type": "critic_message", "model": "m", "output_tokens": 9}]}

    assert ((None, TokenCounts(output=1)), ("m", TokenCounts(output=9))) == reported(usage).parts
    assert "unknown_iteration" == reported(usage).flags


@pytest.mark.parametrize(
    ("totals", "beyond"),
    [
        ({"input_tokens": 412, "output_tokens": 531}, ()),  # an older rule of the provider: the first sampling's input
        ({"input_tokens": 1760, "output_tokens": 531}, ()),
        ({"input_tokens": 1761, "output_tokens": 540}, ((None, TokenCounts(1, output=9)),)),
        ({"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": 5}, ((None, TokenCounts(cache_read=5)),)),
    ],
)
def test_entries_are_billed_and_what_the_totals_have_beyond_them(
    totals: dict[str, int], beyond: tuple[tuple[None, TokenCounts], ...]
) -> None:
    """Whichever of the two is short, nothing is free and nothing twice."""
    entries = [
        {"type": "message", "input_tokens": 412, "output_tokens": 89},
        {"type": "message", "input_tokens": 1348, "output_tokens": 442},
    ]
    told = ((None, TokenCounts(412, output=89)), (None, TokenCounts(1348, output=442)))

    assert (*beyond, *told) == reported({**totals, "iterations": entries}).parts


def test_a_model_that_declined_and_one_that_served_are_billed_at_their_own_prices() -> None:
    """The totals describe the one that served; they are no third attempt."""
    usage = {
        "input_tokens": 412,
        "output_tokens": 264,
        "iterations": [
            {"type": "message", "model": "claude-fable-5", "input_tokens": 535, "output_tokens": 0},
            {"type": "fallback_message", "model": "claude-opus-4-8", "input_tokens": 412, "output_tokens": 264},
        ],
    }

    assert (
        ("claude-fable-5", TokenCounts(535)),
        ("claude-opus-4-8", TokenCounts(412, output=264)),
    ) == reported(usage).parts


def test_entries_without_a_split_of_their_writes_take_that_of_the_totals() -> None:
    """300 written, 200 of them for an hour, told once."""
    usage = {
        "input_tokens": 2,
        "output_tokens": 2,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "iterations": [
            {"type": "message", "input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 150},
            {"type": "message", "input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 150},
        ],
    }

    assert ((None, TokenCounts(1, 0, 0, 150, 1)), (None, TokenCounts(1, 0, 100, 50, 1))) == reported(usage).parts


def test_totals_without_a_split_add_nothing_to_entries_that_have_one() -> None:
    """300 written for an hour are not 300 more for five minutes."""
    entry = {
        "type": "message",
        "output_tokens": 1,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_1h_input_tokens": 300},
    }
    usage = {"output_tokens": 1, "cache_creation_input_tokens": 300, "iterations": [entry]}

    assert ((None, TokenCounts(0, 0, 0, 300, 1)),) == reported(usage).parts


def test_a_tool_that_nobody_has_priced_is_flagged() -> None:
    """Counters that cost nothing by themselves, and zeros, are not."""
    tools = {"web_search_requests": 1, "web_fetch_requests": 4, "code_execution_requests": 0}

    assert "" == reported({"output_tokens": 1, "server_tool_use": tools}).flags
    assert "unpriced_tool" == reported({"output_tokens": 1, "server_tool_use": {**tools, "x_requests": 1}}).flags


@pytest.mark.parametrize("iterations", [5, "message", {"type": "compaction"}, [7], [{"type": "x"}] * 1_000])
def test_iterations_that_are_no_list_of_objects_are_an_error(iterations: object) -> None:
    """A hostile provider ends in an estimate, not in a crash."""
    with pytest.raises(InvalidInput, match=r"usage\.iterations"):
        reported({"output_tokens": 1, "iterations": iterations})


@pytest.mark.parametrize(
    "usage",
    [
        {"output_tokens": 10**12, "input_tokens": 1},
        {"output_tokens": 10**12, "iterations": [{"type": "compaction", "output_tokens": 1}]},
        {"output_tokens": 1, "server_tool_use": {"web_search_requests": 10**6 + 1}},
    ],
)
def test_sums_that_would_leave_64_bits_are_an_error(usage: dict[str, object]) -> None:
    """Each count is possible by itself; together they are absurd."""
    with pytest.raises(InvalidInput, match="usage"):
        reported(usage)


def test_modifiers_are_read_from_the_usage() -> None:
    """What was really used decides, not what was asked for."""
    found = reported({"output_tokens": 1, "speed": "fast", "inference_geo": "us", "service_tier": "batch"})

    assert (True, True, True) == (found.fast, found.us_only, found.batch)


@pytest.mark.parametrize("value", [-1, 1.5, "7", True, float("nan"), 10**13, [], {}])
def test_a_count_that_is_no_count_is_an_error(value: object) -> None:
    """A hostile provider cannot make a number of it."""
    with pytest.raises(InvalidInput, match=r"usage\.output_tokens"):
        counts_of({"output_tokens": value})


def test_a_message_without_usage_has_none() -> None:
    """None is told apart from zero."""
    assert usage_from_message({"type": "message"}) is None


@pytest.mark.parametrize(
    "usage", [{}, {"output_tokens": 5}, {"input_tokens": 5}, {"input_tokens": 0, "output_tokens": 0}, [], 7, None]
)
def test_usage_that_leaves_something_out_or_is_all_zero_is_none(usage: object) -> None:
    """Nothing is free because its provider forgot to count it."""
    assert usage_from_message({"usage": usage}) is None


@pytest.mark.parametrize(
    ("category", "content", "output", "free"),
    [
        ("cyber", [], 0, True),
        (None, [], 0, True),
        ("bio", [], 0, False),
        ("frontier_llm", [], 0, False),
        ("reasoning_extraction", [], 0, False),
        ("cyber", [], 1, False),
        ("cyber", [{"type": "text", "text": "Well"}], 0, False),
    ],
)
def test_a_refusal_before_any_output_is_free_unless_its_category_is_billed(
    category: str | None, content: list[object], output: int, free: bool
) -> None:
    """As the provider's page on refusals says."""
    message = {
        "stop_reason": "refusal",
        "stop_details": {"type": "refusal", "category": category},
        "content": content,
        "usage": {"input_tokens": 412, "output_tokens": output},
    }

    found = usage_from_message(message)

    assert found is not None
    assert free == found.free
    stopped = usage_from_message({**message, "stop_reason": "end_turn"})
    assert stopped is not None
    assert not stopped.free


def test_an_estimate_keeps_the_exact_input_and_rounds_output_up() -> None:
    """100 bytes are 34 tokens, and 50 were under way; never more than was asked for."""
    start = TokenCounts(12, 2000, 100, 0, 1)

    assert TokenCounts(12, 2000, 100, 0, 84) == estimate(start, 100, 0, input_bound=9_999, most_output=4_096)
    assert TokenCounts(input=9_999, output=60) == estimate(None, 100, 0, input_bound=9_999, most_output=60)


@pytest.mark.parametrize(("again", "input_tokens"), [(500, 512), (7_887, 7_899), (10**9, 7_899)])
def test_an_estimate_counts_a_prompt_that_was_read_again_within_the_bound(again: int, input_tokens: int) -> None:
    """As plain input, on top of what the start told: all of it at most the bound of 9,999."""
    start = TokenCounts(12, 2000, 100, 0, 1)

    assert TokenCounts(input_tokens, 2000, 100, 0, 84) == estimate(
        start, 100, again, input_bound=9_999, most_output=4_096
    )
