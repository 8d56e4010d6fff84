"""Prices: what a million tokens cost per model and class, today or on a chosen day."""

from datetime import date

from django.http import HttpResponse

from tokenpool.console.access import PageRequest, page, show
from tokenpool.console.csv_export import csv_file
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.money import dollars
from tokenpool.pricing import load

CLASSES = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")


@page()
def index(request: PageRequest) -> HttpResponse:
    """Show the table."""
    day, text = _day(request.GET.get("on", "")), request.GET.get("q", "").strip()[:80]
    found = [price for price in load.standard().models(day) if text.lower() in price.model]
    if request.GET.get("format") == "csv":
        header = ("model", "effective_from", "above_prompt_tokens", *(f"{name}_usd_per_mtok" for name in CLASSES))
        rows = [
            (price.model, price.effective_from, band.above, *(dollars(getattr(band.rates, name)) for name in CLASSES))
            for price in found
            for band in price.bands
        ]
        return csv_file(f"prices-{day}", header, rows)
    facts = {
        "rows": [(price, position == 0, band) for price in found for position, band in enumerate(price.bands)],
        "day": day,
        "today": clock.now().date(),
        "text": text,
        "found": len(found),
    }
    return show(request, "console/prices.html", facts)


@page()
def history(request: PageRequest, model: str) -> HttpResponse:
    """Show every version of one model's price."""
    versions = load.standard().history(model)
    facts = {"model": versions[0].model, "versions": list(reversed(versions)), "latest": versions[-1]}
    return show(request, "console/price_history.html", facts)


def _day(text: str) -> date:
    if not text:
        return clock.now().date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("on: must be a day like 2026-11-24.", field="on") from error
