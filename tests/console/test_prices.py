"""The Prices page: search, provider, day, own beside list, history as a chart, CSV, Claude Code, and what-if."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient, Client

from builders import Aurora, aurora
from past import DOLLAR, LISTED, MILLION, MODEL, NOVEMBER, OLD, Past, october
from tokenpool.console import what_if as page_of_what_if
from tokenpool.console.charts import price_steps
from tokenpool.kernel import clock
from tokenpool.metering import what_if
from tokenpool.organizations import groups, own_prices
from tokenpool.organizations.models import Member, Person
from tokenpool.organizations.roles import Principal, operator
from tokenpool.pricing import load
from tokenpool.pricing.book import PriceBook


@pytest.fixture
def org(database: Path) -> Iterator[Aurora]:
    """Return the usual organization at noon of 24 November 2026."""
    with clock.standing_at(NOVEMBER):
        yield aurora()


def page(who: Principal, address: str, language: str = "en", status: int = 200) -> str:
    """Return a page as *who* sees it."""
    client = Client(headers={"accept-language": language})
    client.force_login(Person.objects.get(id=Member.objects.get(id=who.member_id).person_id))
    answer = client.get(address)
    assert status == answer.status_code
    return answer.content.decode()


def agree(org: Aurora, **more: Any) -> None:
    """Set an own price from today on."""
    by = operator(org.organization_id, "Olga")
    facts = {"effective_from": NOVEMBER.date(), "reason": "Contract 7", "confirmed": True, **more}
    own_prices.set_price(by=by, book=load.standard(), **facts)


def models(text: str) -> list[str]:
    """Return the models of the page's table."""
    return re.findall(r'<td class="lead"><div><a href="/prices/([^"]+)"', text)


def test_models_are_found_by_text_provider_and_day(org: Aurora) -> None:
    """What was released later is not there yet; a model without a price on the day neither."""
    anthropic = [price for price in load.standard().models(NOVEMBER.date()) if price.provider == "anthropic"]
    assert ["claude-opus-5-5", "claude-opus-5"] == models(page(org.farid, "/prices?q=OPUS-5&provider=anthropic"))
    assert ["claude-opus-5"] == models(page(org.farid, "/prices?q=opus-5&on=2026-08-01"))
    assert [price.model for price in anthropic] == models(page(org.farid, "/prices?provider=anthropic"))
    assert [price.model for price in anthropic] == models(page(org.farid, "/prices"))[: len(anthropic)]
    assert "No model matches" in page(org.farid, "/prices?provider=nobody")
    page(org.farid, "/prices?on=soon", status=400)
    page(org.farid, "/prices?sort=surprise", status=400)


def test_the_table_sorts_by_what_one_pays(org: Aurora) -> None:
    """A contract moves its model."""
    agree(org, model=MODEL, amounts={"input": "0.01"})

    assert MODEL == models(page(org.farid, "/prices?sort=input&order=asc"))[0]
    found = models(page(org.farid, "/prices?sort=model&order=desc"))
    assert found == sorted(found, reverse=True)


def test_own_prices_stand_beside_the_list(org: Aurora) -> None:
    """Everybody sees the price; who may see spend also why; another organization nothing of it."""
    there = aurora("Borealis", "borealis.example")
    agree(org, model=MODEL, amounts={"output": "18"})

    mine, owners = page(org.farid, "/prices?own=yes"), page(org.dieter, "/prices")

    assert [MODEL] == models(mine)
    assert (True, True) == ("$18.00" in mine, "list $20.00" in mine)
    assert (True, False) == ("Contract 7" in owners, "Contract 7" in mine)
    assert "list $20.00" not in page(there.ada, "/prices")
    assert "18,00 $" in page(org.farid, "/prices?own=yes", "it")


def test_the_csv_has_every_line_with_list_and_own_amounts(org: Aurora) -> None:
    """Bands and fast mode too; what a cache read saves in percent."""
    agree(org, ppm=-100_000)
    client = Client()
    client.force_login(Person.objects.get(email="farid@aurora.example"))

    rows = list(
        csv.DictReader(io.StringIO(client.get("/prices?q=haiku-5-5&provider=anthropic&format=csv").content.decode()))
    )

    columns = ("mode", "above_prompt_tokens", "list_input_usd_per_mtok", "own_input_usd_per_mtok")
    assert [
        ("standard", "0", "0.10", "0.09"), ("standard", "100000", "0.50", "0.45"),
        ("batch", "0", "0.05", "0.045"), ("batch", "100000", "0.25", "0.225"),
    ] == [tuple(row[name] for name in columns) for row in rows]  # fmt: skip
    assert {"90.0"} == {row["cache_read_saves_percent"] for row in rows}
    assert rows[0]["version"].startswith("claude-haiku-5-5@2026-10-07+")


def test_the_history_is_a_chart_and_a_table(org: Aurora) -> None:
    """Two steps of the cache price, then the own price; the list's dashed beside it; what caching saves in words."""
    before = page(org.farid, "/prices/claude-sonnet-5-5")
    agree(org, ppm=-100_000)

    after = page(org.farid, "/prices/claude-sonnet-5-5")

    assert (["listed_input", "listed_output"], ["own_input", "own_output", "listed_input", "listed_output"]) == tuple(
        re.findall(r'<path class="step (\w+)"', text) for text in (before, after)
    )
    days = re.findall(r'<td class="lead nowrap">([\d-]+)(?: <span class="badge good">own price</span>)?</td>', after)
    assert ["2026-11-24", "2026-10-07", "2026-09-28"] == list(dict.fromkeys(days))
    assert "costs $0.10 a million instead of $2.00" in before
    assert '<div class="stat">95 %</div>' in before
    page(org.farid, "/prices/nothing", status=400)


def test_the_fragment_for_claude_code_can_be_copied(org: Aurora) -> None:
    """Nothing to set at list price; one percentage is a multiplier."""
    assert "there is nothing to set" in page(org.farid, "/prices")
    agree(org, ppm=-150_000)

    text = page(org.farid, "/prices")

    shown = re.search(r'<pre id="model-pricing"[^>]*>(.*?)</pre>', text, re.DOTALL)
    assert shown is not None
    assert {"modelPricing": {"multiplier": 0.85}} == json.loads(shown[1].replace("&quot;", '"'))


def test_four_hundred_models_of_eight_providers_stay_usable(org: Aurora, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty a page, a provider chosen in one step, a search across all."""
    many = [
        replace(LISTED, model=f"p{n % 8}-model-{n:03d}", provider=f"provider-{n % 8}", version=f"m{n}@2026-09-22")
        for n in range(400)
    ]
    monkeypatch.setattr(load, "standard", lambda: PriceBook(many, {}))

    first = page(org.farid, "/prices")

    assert (50, 8) == (len(models(first)), first.count('<option value="provider-'))
    assert "1 to 50 of 400" in first
    assert 50 == len(models(page(org.farid, "/prices?page=8")))
    assert ["p3-model-003"] == models(page(org.farid, "/prices?q=-model-003&provider=provider-3"))
    assert 50 == len(models(page(org.farid, "/prices?q=provider-5")))


def test_a_chart_ends_at_the_present_or_at_what_is_agreed_for_later() -> None:
    """One step, from the first day to the right edge; days that would cover each other are left out."""
    days = [(date(2026, 10, 1), 10 * DOLLAR), (date(2026, 10, 2), 8 * DOLLAR)]

    chart = price_steps({"own_input": days}, until=date(2026, 10, 21))

    assert [("own_input", "M64 8 H83 V34 H480")] == chart.paths
    assert ([(136, 0), (72, 5 * DOLLAR), (8, 10 * DOLLAR)], [(64, date(2026, 10, 1))]) == (chart.scale, chart.days)
    assert 1 == len(price_steps({"own_input": days[:1]}, until=date(2026, 10, 1)).paths)


@pytest.fixture
async def past(database: Path, monkeypatch: pytest.MonkeyPatch) -> Past:
    """Return an organization with two requests in October."""
    with clock.standing_at(datetime(2026, 9, 1, tzinfo=UTC)):
        found = Past(aurora(), database)
    await found.spend((found.org.farid, october(9), MILLION), (found.org.giulia, october(11), MILLION))
    monkeypatch.setattr(load, "standard", lambda: OLD)
    return found


async def asked(past: Past, query: str, language: str = "en", status: int = 200) -> str:
    """Return the answer of the what-if page as Dieter reads it, all of its stream."""
    await sync_to_async(connections.close_all)()  # of an earlier test's database, in the thread that serves this one
    client = AsyncClient()
    person = await Person.objects.aget(email="dieter@aurora.example")
    await client.aforce_login(person)
    with clock.standing_at(NOVEMBER):
        answer = await client.get(f"/prices/what-if?{query}", headers={"accept-language": language})
        assert status == answer.status_code
        if not answer.streaming:
            return answer.content.decode()
        parts = [part async for part in answer]  # type: ignore[attr-defined]
    return b"".join(parts).decode()


async def test_other_prices_are_answered_by_member(past: Past) -> None:
    """15 % less of $40.00, in English and Italian; the forms keep what was typed."""
    text = await asked(past, "kind=prices&month=2026-10&whose=all&percent=-15&base=billed")
    italian = await asked(past, "kind=prices&month=2026-10&whose=all&percent=-2,5&base=billed", "it")

    assert (True, True) == ("$34.00" in text, 'value="-15"' in text)
    assert [">-$3.00<"] * 2 == re.findall(r">-\$3\.00<", text)
    assert (True, True) == ("39,00 $" in italian, "Differenza" in italian)


async def test_amounts_of_one_model_are_tried(past: Past) -> None:
    """Output at $15 instead of $20."""
    text = await asked(past, f"kind=prices&month=2026-10&model={MODEL}&prices=output%3D15&base=billed")

    assert "$30.00" in text


async def test_another_limit_names_what_it_would_have_refused(past: Past) -> None:
    """$20.00 for all together let Farid's request through, not Giulia's; a member's own is found by e-mail."""
    text = await asked(past, "kind=limit&month=2026-10&scope=organization+pool&window=month&amount=20")
    group = groups.create(by=past.org.ada, name="Press")
    empty = await asked(past, f"kind=limit&month=2026-10&scope=group:{group.id}+pool&window=month&amount=0")
    own = await asked(past, "kind=limit&month=2026-10&who=farid@aurora.example&window=month&amount=19.99")

    words = re.sub(r"<[^>]+>", "", text)
    assert ("1 request refused" in words, "$20.00 would have been spent instead of $40.00" in words) == (True, True)
    assert ("1 request refused" in own, "0 requests refused" in empty, "Press, " in empty) == (True, True, True)


async def test_a_long_answer_tells_how_far_it_is(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """In tenths, before the answer, in the same document."""
    monkeypatch.setattr(what_if, "AT_ONCE", 1)
    monkeypatch.setattr(page_of_what_if.other_prices, "AT_ONCE", 1)

    text = await asked(past, "kind=prices&month=2026-10&whose=all&percent=-15")

    assert ["0 %", "50 %", "100 %"] == re.findall(r"\d+ %", text.split("ticks")[1])[:3]
    assert text.index("100 %") < text.index("$34.00") < text.index("</html>")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("kind=prices&month=2026-10&percent=x", "is not a percentage"),
        ("kind=prices&month=2026-10&model=gpt", "has no price"),
        ("kind=prices&month=2026-10&whose=nobody-else", "provider: there is no"),
        ("kind=prices&month=2026-10&model=claude-opus-5-5&prices=output", "must be a component and an amount"),
        ("kind=prices&month=2026-12", "has not begun"),
        ("kind=limit&month=2026-10&scope=organization+pool&amount=-1", "cannot be negative"),
        ("kind=limit&month=2026-10&scope=organization+pool&amount=", "is not an amount"),
        ("kind=limit&month=2026-10&scope=planet+pool&amount=1", "scope: must be"),
        ("kind=limit&month=2026-10&scope=organization+pool&amount=1&window=hour", "window: must be"),
    ],
)
async def test_what_is_no_question_is_told_beside_the_forms(past: Past, query: str, said: str) -> None:
    """With its status, and the forms as they were."""
    assert said in await asked(past, query, status=400)


async def test_what_if_is_for_who_sees_spend(past: Past) -> None:
    """And nobody's member is not found."""
    page(past.org.farid, "/prices/what-if", status=403)
    assert 'class="stack answer"' not in page(past.org.dieter, "/prices/what-if")
    assert "What if" not in page(past.org.farid, "/prices")
    await asked(past, "kind=limit&month=2026-10&who=x@y.example&amount=1", status=404)
