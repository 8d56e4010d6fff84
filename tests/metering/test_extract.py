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


def test_an_estimate_keeps_the_exact_input_and_rounds_output_up() -> None:
    """100 bytes are 34 tokens, and 50 were under way; never more than was asked for."""
    start = TokenCounts(12, 2000, 100, 0, 1)

    assert TokenCounts(12, 2000, 100, 0, 84) == estimate(start, 100, input_bound=9_999, most_output=4_096)
    assert TokenCounts(input=9_999, output=60) == estimate(None, 100, input_bound=9_999, most_output=60)
