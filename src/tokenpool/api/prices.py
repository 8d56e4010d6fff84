"""Prices for machines: the list beside the organization's own, on a day and over time; nothing is set here."""

from datetime import date
from typing import Any

from django.http import HttpResponse
from ninja import Router

from tokenpool.api.access import KeyRequest
from tokenpool.api.usage import money
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import dollars
from tokenpool.organizations import own_prices
from tokenpool.organizations.models import OwnPrice
from tokenpool.organizations.roles import Principal
from tokenpool.pricing import catalog, claude_code, load
from tokenpool.pricing.book import Band, ModelPrice
from tokenpool.pricing.catalog import Offer
from tokenpool.pricing.own import OwnBook

router = Router()
CLASSES = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")


@router.get("prices")
def prices(request: KeyRequest, model: str = "", on: str = "", provider: str = "", text: str = "") -> dict[str, Any]:
    """List the prices in force on a day, or one model's."""
    day, book = _day(on), _book(request.auth)
    if model:
        listed = book.book.price(model, day)
        found = [Offer(listed, book.own.on(listed, day))]
    else:
        found = catalog.offers(book, day, text=text, provider=provider)
    return {"on": day.isoformat(), "currency": "USD", "data": [_as_offer(offer) for offer in found]}


@router.get("prices/history")
def history(request: KeyRequest, model: str) -> dict[str, Any]:
    """List every change of a model's list price and own price, oldest first."""
    found = catalog.timeline(_book(request.auth), model)
    data = [{"from": day.isoformat(), **_as_offer(offer)} for day, offer in found]
    return {"model": found[-1][1].listed.model, "currency": "USD", "data": data}


@router.get("prices/own")
def own(request: KeyRequest) -> dict[str, Any]:
    """List what was agreed with the organization, newest first: every row, who set it and why."""
    return {"data": [_as_row(row) for row in own_prices.history(by=request.auth)]}


@router.get("prices/model_pricing")
def model_pricing(request: KeyRequest) -> HttpResponse:
    """Return the managed setting of Claude Code that shows these prices; an empty object at list price."""
    text = claude_code.model_pricing(_book(request.auth), clock.now().date()) or "{}"
    return HttpResponse(text, content_type="application/json")


def _book(by: Principal) -> OwnBook:
    return own_prices.book_of(by.organization_id, load.standard())


def _as_offer(offer: Offer) -> dict[str, Any]:
    listed, saved = offer.listed, catalog.saving(offer.own.bands[0].rates)
    return {
        "model": listed.model,
        "provider": listed.provider,
        "version": offer.own.version,
        "effective_from": listed.effective_from.isoformat(),
        "retired": listed.retired.isoformat() if listed.retired else None,
        **_amounts(listed),
        "own": _amounts(offer.own) if offer.is_own else None,
        "cache_read_saves_ppm": saved.read_ppm if saved else None,
    }


def _amounts(price: ModelPrice) -> dict[str, Any]:
    found = {mode: [_band(band) for band in bands] for mode, bands in catalog.modes(price).items()}
    return {"bands": found.pop("standard"), **found, **money("web_search", price.web_search_nano)}


def _band(band: Band) -> dict[str, Any]:
    told: dict[str, Any] = {"above_prompt_tokens": band.above}
    for name in CLASSES:
        nano = getattr(band.rates, name)
        told |= {f"{name}_nano_per_mtok": nano, f"{name}_per_mtok": dollars(nano)}
    return told


def _as_row(row: OwnPrice) -> dict[str, Any]:
    names = ("id", "scope", "effective_from", "ppm", "ended", "set_by", "reason")
    set_at = clock.text(row.set_at)
    amounts = {name: dollars(nano) for name, nano in row.amounts.items()}
    return {**{name: getattr(row, name) for name in names}, "prices": amounts, "set_at": set_at}


def _day(on: str) -> date:
    try:
        return date.fromisoformat(on) if on else clock.now().date()
    except ValueError as error:
        raise InvalidInput("on: must be a day like 2026-11-24.", field="on") from error
