"""Prices by HTTP: what the page shows, list and own."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from builders import Aurora, aurora
from past import MODEL, NOVEMBER
from tokenpool.kernel import clock
from tokenpool.organizations import api_keys, own_prices
from tokenpool.organizations.roles import operator
from tokenpool.pricing import load


@pytest.fixture
def org(database: Path) -> Aurora:
    """Return an organization that pays $18 for Opus 5.5's output and 10 % less for the rest, since 24 November 2026."""
    found = aurora()
    by = operator(found.organization_id, "Olga")
    facts: dict[str, Any] = {"by": by, "book": load.standard(), "effective_from": NOVEMBER.date(), "reason": "C 7"}
    with clock.standing_at(NOVEMBER):
        own_prices.set_price(**facts, ppm=-100_000)
        own_prices.set_price(**facts, model=MODEL, amounts={"output": "18"})
    return found


def get(org: Aurora, path: str, kind: str = "admin") -> tuple[int, Any]:
    """Ask with a new key and return status and body."""
    key = api_keys.mint(by=org.ada, kind=kind, name=kind)[1]
    with clock.standing_at(NOVEMBER):
        answer = Client(headers={"x-api-key": key}).get(f"/v1/tokenpool/{path}")
    return answer.status_code, json.loads(answer.content)


def test_a_price_has_the_own_one_beside_the_list(org: Aurora) -> None:
    """Integers of nano-dollars with dollars as text; none the day before."""
    _, today = get(org, f"prices?model={MODEL}")
    _, before = get(org, f"prices?model={MODEL}&on=2026-11-23")

    (price,) = today["data"]
    assert ("20.00", 18_000_000_000, "18.00", "4.00") == (
        price["bands"][0]["output_per_mtok"], price["own"]["bands"][0]["output_nano_per_mtok"],
        price["own"]["bands"][0]["output_per_mtok"], price["own"]["bands"][0]["input_per_mtok"],
    )  # fmt: skip
    assert (True, 950_000, "40.00") == (
        price["version"].startswith(f"{MODEL}@2026-09-22+"), price["cache_read_saves_ppm"],
        price["fast"][0]["output_per_mtok"],
    )  # fmt: skip
    assert (None, f"{MODEL}@2026-09-22") == (before["data"][0]["own"], before["data"][0]["version"])


def test_models_are_found_as_on_the_page(org: Aurora) -> None:
    """By text and provider."""
    _, found = get(org, "prices?text=haiku-5&provider=anthropic")
    _, nothing = get(org, "prices?provider=nobody")

    assert (["claude-haiku-5-5"], []) == ([one["model"] for one in found["data"]], nothing["data"])


def test_the_history_has_every_change(org: Aurora) -> None:
    """The release, and the day of the contract."""
    _, found = get(org, f"prices/history?model={MODEL}")

    assert [("2026-09-22", False), ("2026-11-24", True)] == [
        (one["from"], one["own"] is not None) for one in found["data"]
    ]
    assert (400, 400) == (get(org, "prices/history?model=gpt")[0], get(org, "prices/history")[0])


def test_what_was_agreed_is_read_by_who_sees_spend(org: Aurora) -> None:
    """Newest first, with who and why; a meter key may not, another organization has nothing."""
    there = aurora("Borealis", "borealis.example")

    _, found = get(org, "prices/own")

    assert [(f"model:{MODEL}", {"output": "18.00"}, "Olga", "C 7"), ("all", {}, "Olga", "C 7")] == [
        (one["scope"], one["prices"], one["set_by"], one["reason"]) for one in found["data"]
    ]
    assert (403, {"data": []}) == (get(org, "prices/own", "meter")[0], get(there, "prices/own")[1])


def test_claude_codes_setting_is_served_as_it_is_copied(org: Aurora) -> None:
    """Empty at list price."""
    there = aurora("Borealis", "borealis.example")

    _, found = get(org, "prices/model_pricing")

    row = found["modelPricing"]["overrides"][MODEL]
    assert {"input": 4.0, "output": 18.0, "cacheRead": 0.2, "cacheWrite": 5.0} == row
    assert {} == get(there, "prices/model_pricing")[1]
