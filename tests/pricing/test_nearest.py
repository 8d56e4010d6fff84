"""The nearest known names, quickly."""

import time

import pytest

from tokenpool.pricing.nearest import Nearest

NAMES = [
    f"{vendor}-{kind}-{number}"
    for vendor in ("claude", "gpt", "gemini")
    for kind in ("mini", "max")
    for number in range(200)
]


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("claude-opus-55", "claude-opus-5-5"),
        ("CLAUDE-OPUS-5-5", "claude-opus-5-5"),
        ("opus-5-5-claude", "claude-opus-5-5"),
    ],
)
def test_a_typo_finds_its_name(typed: str, nearest: str) -> None:
    """A digit run together, capitals, words in another order."""
    index = Nearest(["claude-opus-5-5", "claude-opus-4-8", "gpt-6-sol", "gemini-2.5-pro"])

    assert nearest == index.to(typed)[0]


@pytest.mark.parametrize("typed", ["", "x", "漢字漢字"])
def test_there_is_always_an_answer(typed: str) -> None:
    """Three names, even when nothing is alike."""
    assert 3 == len(Nearest(NAMES).to(typed))


def test_a_guess_costs_little() -> None:
    """Among 1,200 names well under a hundredth of a second, so that guessing is no attack."""
    index = Nearest(NAMES)
    began = time.perf_counter()
    for number in range(20):
        index.to(f"claude-{number}-unknown-model-with-a-rather-long-name-of-eighty-letters-in-all-and-on")

    assert (time.perf_counter() - began) / 20 < 0.02
