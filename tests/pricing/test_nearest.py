"""The nearest known names, quickly."""

import difflib

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


def test_a_guess_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,200 names only twelve are compared letter by letter, so that guessing is no attack."""
    compared: list[int] = []
    close = difflib.get_close_matches
    monkeypatch.setattr(
        difflib,
        "get_close_matches",
        lambda name, some, **how: (compared.append(len(some)), close(name, some, **how))[1],
    )

    Nearest(NAMES).to("claude-unknown-model-with-a-rather-long-name")

    assert [12] == compared
