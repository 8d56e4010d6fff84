"""Reading genai-prices: what can be said in our rows without loss, and why the rest cannot."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import genai
from tokenpool.pricing.listed import Listed
from tokenpool.pricing.sheet import Section

TODAY = date(2026, 11, 24)


def listed(folder: Path, *, provider: str = "openai", **model: Any) -> Listed:
    """Return what a data.json with one model is read as."""
    model = {"id": "model-x", "match": {"equals": "model-x"}, "prices": {"input_mtok": 2, "output_mtok": 10}} | model
    path = folder / "data.json"
    path.write_text(json.dumps([{"id": provider, "models": [model]}, {"id": "unknown", "models": [model]}]))
    found = genai.read(path)
    assert 1 == len(found)
    return found[0]


def test_prices_are_exact_and_a_class_without_one_is_absent(tmp_path: Path) -> None:
    """0.0028 dollars per million are 2,800,000 nano-dollars."""
    found = listed(tmp_path, prices={"input_mtok": 0.14, "output_mtok": 0.28, "cache_read_mtok": 0.0028})

    assert {"input": 140_000_000, "output": 280_000_000, "cache_read": 2_800_000} == found.on(TODAY)[Section.ROWS][0]


def test_tiers_become_bands(tmp_path: Path) -> None:
    """A class without tiers costs the same in both."""
    tiers = {"base": 2, "tiers": [{"start": 200_000, "price": 4}]}
    bands = listed(tmp_path, prices={"input_mtok": tiers, "output_mtok": 10}).on(TODAY)[Section.ROWS]

    assert {0: (2_000_000_000, 10_000_000_000), 200_000: (4_000_000_000, 10_000_000_000)} == {
        above: (cells["input"], cells["output"]) for above, cells in bands.items()
    }


def test_periods_and_modes_begin_on_their_days(tmp_path: Path) -> None:
    """A cut in October, a batch price since the 14th that leaves cache reads as they are, a rise in January."""
    found = listed(
        tmp_path,
        prices=[
            {"prices": {"input_mtok": 4, "output_mtok": 20, "cache_read_mtok": 0.4}},
            {
                "constraint": {"start_date": "2026-10-01"},
                "prices": {"input_mtok": 2, "output_mtok": 10, "cache_read_mtok": 0.2},
            },
            {
                "constraint": {"start_date": "2027-01-01"},
                "prices": {"input_mtok": 3, "output_mtok": 15, "cache_read_mtok": 0.3},
            },
        ],
        price_variants=[
            {
                "when": {"processing": "batch"},
                "constraint": {"start_date": "2026-10-14"},
                "prices": {"input_mtok": 1, "output_mtok": 5},
            },
            {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 1, "output_mtok": 5}},
            {"when": {"service_tier": "fast"}, "prices": {"input_mtok": 5, "output_mtok": 25}},
        ],
    )  # fmt: skip

    days = [date(2026, 9, 30), date(2026, 10, 1), date(2026, 10, 14), date(2027, 1, 1)]

    assert [4, 2, 2, 3] == [found.on(day)[Section.ROWS][0]["input"] // 10**9 for day in days]
    assert [False, False, True, True] == [Section.BATCH in found.on(day) for day in days]
    assert (1_000_000_000, 200_000_000) == (
        found.on(days[2])[Section.BATCH][0]["input"],
        found.on(days[2])[Section.BATCH][0]["cache_read"],
    )
    assert 5_000_000_000 == found.on(days[1])[Section.FAST][0]["input"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"prices": {}}, "no price for it"),
        ({"id": "model-x:free"}, "a pattern, or another seller's"),
        ({"id": "gpt-audio"}, "speech or pictures"),
        ({"prices": {"input_mtok": 1, "output_mtok": 1, "output_image_mtok": 30}}, "speech or pictures"),
        ({"prices": {"input_mtok": 1, "output_mtok": 1, "audio_hours": 3}}, "other units too: audio_hours"),
        ({"prices": {"output_mtok": 1}}, "no price of input"),
        ({"id": "gpt-5-search-api"}, "each call searches"),
        (
            {"prices": [{"constraint": {"start_time": "00:30", "end_time": "16:30"}, "prices": {"input_mtok": 2}}]},
            "the hour of the day",
        ),
        ({"price_comments": "Imported from OpenRouter pricing; verify."}, "another seller"),
        ({"price_comments": 'Listed as "(Shut down)".'}, "no longer served"),
        ({"prices": {"input_mtok": 0, "output_mtok": 1}}, "a price of zero"),
        ({"prices": {"input_mtok": 0.1234567891, "output_mtok": 1}}, "finer than a nano-dollar"),
        ({"id": "claude-x", "prices": {"input_mtok": 1, "output_mtok": 1, "cache_write_mtok": 2}}, "one-hour cache"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_exactly_comes_with_its_obstacle(tmp_path: Path, model: dict[str, Any], said: str) -> None:
    """Thirteen reasons, none of them a guess."""
    found = listed(tmp_path, **model)

    assert said in found.obstacle
    assert () == found.rows or "zero" in said or "one-hour" in said


def test_names_are_exact_ones(tmp_path: Path) -> None:
    """No prefix, no expression, no other seller's spelling; Bedrock's regional entry is its model and the profiles."""
    others = [{"starts_with": "m-"}, {"equals": "m-1:free"}, {"equals": "x-ai/m-1"}]
    match = {"or": [{"equals": "m-1"}, {"ends_with": "m-1-2"}, *others]}
    plain = listed(tmp_path, match=match)
    regional = listed(
        tmp_path, provider="aws", id="regional.zai.glm-9",
        match={"or": [{"contains": "us.zai.glm-9"}, {"contains": "eu.zai.glm-9"}, {"equals": "glm-9"}]},
    )  # fmt: skip
    vertex = listed(tmp_path, provider="google", id="claude-x")

    assert ("model-x", ("m-1", "m-1-2")) == (plain.name, plain.aliases)
    assert ("zai.glm-9", ("eu.zai.glm-9", "us.zai.glm-9")) == (regional.name, regional.aliases)
    assert ("vertex", "vertex/claude-x", ()) == (vertex.provider, vertex.name, vertex.aliases)


@pytest.mark.parametrize("content", ["{", "{}", '[{"id": "openai"}]', '[{"id": "openai", "models": [{"id": "x"}]}]'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    """No JSON, no list, no models, no prices."""
    path = tmp_path / "data.json"
    path.write_text(content)

    with pytest.raises(InvalidInput, match=r"^data\.json: "):
        genai.read(path)


def test_the_installed_package_is_read_like_its_file() -> None:
    """Of 0.2.3: 447 models of nine providers, 328 of them without an obstacle."""
    found = genai.installed()

    assert (447, 328) == (len(found), sum(not one.obstacle for one in found))

    assert {"anthropic", "openai", "google", "mistral", "xai", "deepseek", "groq", "bedrock", "vertex"} == {
        one.provider for one in found
    }
    opus = next(one for one in found if one.name == "claude-opus-5-5")
    assert {"input": 4, "output": 20, "cache_write_5m": 5, "cache_write_1h": 8} == {
        column: amount // 10**9 for column, amount in opus.on(TODAY)[Section.ROWS][0].items() if amount % 10**9 == 0
    }
