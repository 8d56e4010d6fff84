"""Prices: what a million tokens cost, by the list and for the organization, on a day and over time."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from django.http import HttpResponse

from tokenpool.console.access import PageRequest, page, show
from tokenpool.console.charts import price_steps
from tokenpool.console.csv_export import csv_file
from tokenpool.console.query import Listing, listing
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import dollars
from tokenpool.organizations import own_prices
from tokenpool.organizations.roles import Principal, Right
from tokenpool.pricing import catalog, claude_code, load
from tokenpool.pricing.catalog import Offer
from tokenpool.pricing.own import OwnBook

CLASSES = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
SORTS = ("provider", "newest", "model", "input", "output", "cache_read")


@page()
def index(request: PageRequest) -> HttpResponse:
    """Show the models of a day, or send them as CSV."""
    by, book = request.principal, _book(request.principal)
    wanted = listing(request, sorts=SORTS, default="provider", filters=("provider",))
    day, own_only = _day(request.GET.get("on", "")), request.GET.get("own") == "yes"
    found = catalog.offers(book, day, text=wanted.text, provider=wanted.filters.get("provider", ""))
    found = _sorted([offer for offer in found if offer.is_own or not own_only], wanted)
    if request.GET.get("format") == "csv":
        return _csv(found, day)
    facts = {
        **wanted.facts(len(found)),
        "rows": [_row(offer) for offer in found[wanted.offset : wanted.offset + wanted.size]],
        "day": day,
        "providers": sorted({price.provider for price in book.book.models(day)}),
        "has_own": bool(book.own.rows),
        "own_only": own_only,
        "agreed": own_prices.history(by=by) if by.may(Right.SEE_SPEND) else [],
        "model_pricing": claude_code.model_pricing(book, clock.now().date()),
    }
    return show(request, "console/prices.html", facts)


@page()
def history(request: PageRequest, model: str) -> HttpResponse:
    """Show every price of one model, the list's and the organization's."""
    changes = catalog.timeline(_book(request.principal), model)
    today = clock.now().date()
    past = [offer for day, offer in changes if day <= today]
    now = past[-1] if past else changes[-1][1]
    facts = {
        "model": now.listed.model,
        "now": now,
        "saving": catalog.saving(now.own.bands[0].rates),
        "chart": price_steps(_series(changes), until=today),
        "versions": [(day, offer, list(catalog.lines(offer))) for day, offer in reversed(changes)],
        "has_own": any(offer.is_own for _, offer in changes),
    }
    return show(request, "console/price_history.html", facts)


def _book(by: Principal) -> OwnBook:
    return own_prices.book_of(by.organization_id, load.standard())


def _row(offer: Offer) -> dict[str, Any]:
    """Return what the table shows of a model: its first line, how many more there are, and what the cache saves."""
    lines = list(catalog.lines(offer))
    return {"offer": offer, "line": lines[0], "more": len(lines) - 1, "saving": catalog.saving(lines[0].own)}


def _sorted(offers: list[Offer], wanted: Listing) -> list[Offer]:
    if wanted.sort == "newest":
        return offers[::-1] if wanted.descending else offers
    if wanted.sort in CLASSES:
        return sorted(offers, key=lambda o: getattr(o.own.bands[0].rates, wanted.sort), reverse=wanted.descending)
    return sorted(offers, key=lambda offer: getattr(offer.listed, wanted.sort), reverse=wanted.descending)


def _series(changes: list[tuple[date, Offer]]) -> dict[str, list[tuple[date, int]]]:
    """Return input and output over time; the list's beside the own ones where there are any."""
    found = {
        f"{whose}_{name}": [(day, getattr(getattr(offer, whose).bands[0].rates, name)) for day, offer in changes]
        for whose in ("own", "listed")
        for name in ("input", "output")
    }
    return found if any(offer.is_own for _, offer in changes) else {name: found[name] for name in list(found)[2:]}


def _csv(offers: list[Offer], day: date) -> HttpResponse:
    facts = ("provider", "model", "version", "effective_from", "mode", "above_prompt_tokens")
    amounts = (f"{whose}_{name}_usd_per_mtok" for whose in ("list", "own") for name in CLASSES)
    header = (*facts, *amounts, "cache_read_saves_percent")
    return csv_file(f"prices-{day}", header, (row for offer in offers for row in _rows(offer)))


def _rows(offer: Offer) -> Iterator[tuple[object, ...]]:
    for line in catalog.lines(offer):
        saved = catalog.saving(line.own)
        yield (
            offer.listed.provider,
            offer.listed.model,
            offer.own.version,
            offer.listed.effective_from,
            line.mode,
            line.above,
            *(dollars(getattr(rates, name)) for rates in (line.listed, line.own) for name in CLASSES),
            f"{saved.read_ppm // 10_000}.{saved.read_ppm % 10_000 // 1000}" if saved else "",
        )


def _day(text: str) -> date:
    if not text:
        return clock.now().date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("on: must be a day like 2026-11-24.", field="on") from error
