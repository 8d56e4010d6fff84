"""Reading LiteLLM's list: dollars per token as text, so that no float stands in between."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import litellm
from tokenpool.pricing.listed import Listed
from tokenpool.pricing.sheet import Section

CHAT = {"mode": "chat", "input_cost_per_token": 1e-06}
TODAY = date(2026, 11, 24)


def listed(folder: Path, **models: dict[str, Any]) -> list[Listed]:
    """Return what a list of *models* is read as."""
    path = folder / "list.json"
    path.write_text(json.dumps(models))
    return litellm.read(path)


def test_columns_bands_and_modes_are_read_exactly(tmp_path: Path) -> None:
    """1.5e-07 dollars per token are 150,000,000 nano-dollars per million."""
    (found,) = listed(
        tmp_path,
        gpt={
            "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 128_000,
            "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07,
            "cache_read_input_token_cost": 7.5e-08, "cache_creation_input_token_cost_above_1hr": 3e-07,
            "input_cost_per_token_above_200k_tokens": 3e-07, "output_cost_per_token_above_200k_tokens": 6e-07,
            "input_cost_per_token_batches": 7.5e-08, "output_cost_per_token_priority": 9e-07,
        },
    )  # fmt: skip

    rows = found.on(TODAY)

    assert [150_000_000, 600_000_000, 75_000_000, 300_000_000] == [
        rows[Section.ROWS][0][name] for name in ("input", "output", "cache_read", "cache_write_1h")
    ]
    assert 300_000_000 == rows[Section.ROWS][200_000]["input"]
    assert ({0: {"input": 75_000_000}}, False) == (rows[Section.BATCH], Section.FAST in rows)


def test_only_text_models_of_the_providers_we_know_are_read(tmp_path: Path) -> None:
    """Prefixes go, regions and pictures are left out, a model without a price comes with its obstacle."""
    found = listed(
        tmp_path,
        **{
            "xai/grok-9": {"litellm_provider": "xai", **CHAT},
            "vertex_ai/claude-x@2026": {"litellm_provider": "vertex_ai-anthropic_models", **CHAT},
            "bedrock/us-east-1/m": {"litellm_provider": "bedrock", **CHAT},
            "dall-e": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_token": 1e-06},
            "other": {"litellm_provider": "ollama", **CHAT},
            "free": {"litellm_provider": "openai", "mode": "chat"},
            "fine": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1.23456789012345e-16},
        },
    )  # fmt: skip

    assert [("xai", "grok-9"), ("vertex", "vertex/claude-x"), ("openai", "free"), ("openai", "fine")] == [
        (one.provider, one.name) for one in found
    ]
    assert ["", "", "the list has no price for it", True] == [
        *(one.obstacle for one in found[:3]), "finer than a nano-dollar" in found[3].obstacle,
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["[", "[]", '{"a": 1}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    """No JSON, no mapping, no model."""
    path = tmp_path / "list.json"
    path.write_text(content)

    with pytest.raises(InvalidInput, match=r"^list\.json: "):
        litellm.read(path)


@pytest.mark.parametrize("amount", ['"x"', "true", "1e999999", "NaN", "-1e-06", "[1]"])
def test_an_amount_that_is_none_spoils_its_own_model_only(tmp_path: Path, amount: str) -> None:
    """A text, a truth, a number without end, a negative one, a list."""
    path = tmp_path / "list.json"
    path.write_text(
        '{"a": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": AMOUNT},'
        ' "b": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-06}}'.replace("AMOUNT", amount)
    )

    spoiled, good = litellm.read(path)

    assert "dollars" in spoiled.obstacle
    assert ("", 1_000_000_000) == (good.obstacle, good.rows[0].cells["input"])
