"""What runs by itself: the operator's price files are taken over; nothing ends by a clock that was set."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from tokenpool.config import settings, wiring
from tokenpool.kernel import clock
from tokenpool.pricing import load

OWN = """
provider: anthropic
currency: USD
columns: [input, output, cache_write_5m, cache_write_1h, cache_read]
sources: {contract: our contract}
models: {claude-opus-5-5: {}}
rows:
- {model: claude-opus-5-5, from: 2026-11-20, price: ["3", "15", "3.75", "6", "0.15"], grade: A, source: contract}
"""
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for the operator's files that the process reads during the test."""
    load.use(tmp_path)
    load.standard()
    yield tmp_path
    load.use(settings.ENVIRONMENT.folder / "prices")


async def test_a_changed_file_is_taken_over_and_a_bad_one_is_not(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway's book is the new one at the next look; a mistake leaves it and is told by file and line."""
    parts = SimpleNamespace(book=load.standard())

    (folder / "anthropic.yaml").write_text(OWN)
    with clock.standing_at(NOON), caplog.at_level(logging.ERROR, "tokenpool.process"):
        await wiring.reread_prices(parts)  # type: ignore[arg-type]
        taken = parts.book.price("claude-opus-5-5", NOON.date()).band(0).input
        (folder / "bad.yaml").write_text("rows: 7")
        await wiring.reread_prices(parts)  # type: ignore[arg-type]
        await wiring.reread_prices(parts)  # type: ignore[arg-type]

    assert (3_000_000_000, 3_000_000_000) == (taken, parts.book.price("claude-opus-5-5", NOON.date()).band(0).input)
    assert ["the prices stay as they are: bad.yaml, top level: columns is missing."] == caplog.messages


@pytest.mark.parametrize(("moved", "runs"), [(0, 1), (-3500, 1), (86_400, 0), (-86_400, 0)])
async def test_nothing_ends_for_good_by_a_clock_that_was_set(
    monkeypatch: pytest.MonkeyPatch, moved: float, runs: int
) -> None:
    """A day forward or back: no month is closed and no lost hold ended until somebody has looked."""
    monkeypatch.setattr(clock, "moved_seconds", lambda: moved)
    done = []

    async def job() -> None:
        done.append(1)

    await wiring._unless_moved(job)

    assert runs == len(done)
