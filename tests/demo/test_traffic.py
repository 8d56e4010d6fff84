"""The shipped traffic: deterministic, near the recordings it was fitted from, in office hours."""

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from tokenpool.demo import traces
from tokenpool.demo.traffic import Traffic, drawn

TRACES = Path(__file__).parents[3] / "shared" / "data" / "traces"


def test_equal_seeds_draw_equal_requests() -> None:
    """And another seed draws others."""
    first, same, other = (list(islice(drawn(seed, "claude_code"), 500)) for seed in (7, 7, 8))

    assert first == same
    assert first != other


@pytest.mark.parametrize(
    ("product", "prompt", "output"), [("chat", 1020, 129), ("api", 1469, 13), ("claude_code", 6909, 350)]
)
def test_the_medians_are_the_recorded_ones(product: str, prompt: int, output: int) -> None:
    """Within a tenth, over ten thousand requests."""
    rows = list(islice(drawn(1, product), 10_000))

    def median(values: list[int]) -> int:
        return sorted(values)[len(values) // 2]

    assert abs(median([r.input + r.cache_read + r.cache_write for r in rows]) - prompt) <= prompt // 10
    assert abs(median([r.output for r in rows]) - output) <= max(1, output // 10)


def test_people_work_on_weekdays_by_day() -> None:
    """Nine of ten requests of a fortnight fall on weekdays between 6 and 20 UTC."""
    instants = Traffic(1).instants(datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 16, tzinfo=UTC), 2_000)

    in_hours = [at for at in instants if at.weekday() < 5 and 6 <= at.hour < 20]
    assert instants == sorted(instants)
    assert len(in_hours) > 1_800


def test_equal_leading_blocks_are_cache_reads(tmp_path: Path) -> None:
    """1,300 tokens: two whole blocks; the first was seen, the second is written, 276 are plain input."""
    (tmp_path / traces.FILES["claude_code"]).write_text(
        '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}\n'
        '{"timestamp": 1, "input_length": 1300, "output_length": 7, "hash_ids": [1, 9, 10]}\n'
    )

    rows = list(traces.read(tmp_path, "claude_code"))

    assert [(88, 0, 512, 5), (276, 512, 512, 7)] == [(r.input, r.cache_read, r.cache_write, r.output) for r in rows]


def test_the_model_was_fitted_from_the_recordings() -> None:
    """Where the recorded files are at hand, their quantiles are the model's."""
    if not TRACES.is_dir():
        return  # the recordings are not part of the project
    rows = sorted(r.output for r in traces.read(TRACES, "chat"))
    assert Traffic(1)._facts["products"]["chat"]["output_tokens"][10] == rows[(len(rows) - 1) // 2]
