"""The audit of prices that the operator takes over: an event in every organization, since each pays them."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db import transaction

from tokenpool.audit.actions import Action
from tokenpool.organizations import trail
from tokenpool.organizations.models import Gate, Organization
from tokenpool.organizations.roles import system
from tokenpool.pricing.apply import Change
from tokenpool.pricing.listed import cells_text
from tokenpool.pricing.reading import COLUMNS, NOTHING
from tokenpool.pricing.sheet import Section

BY = "tokenpool prices apply"


def record(confirmed: Iterable[Change], start: date, *, source: str) -> None:
    """Write down the *confirmed* changes, before the files that make them are put in force.

    Files and databases share no transaction. Should the process die between the two, the audit tells of
    a price that does not stand yet, and the next `apply` makes it stand; never the other way round.
    """
    told = [(change.model, _before(change), _after(change, start, source)) for change in confirmed]
    for organization_id in Organization.objects.order_by("id").values_list("id", flat=True):
        by = system(organization_id, BY)
        with transaction.atomic():
            Gate.objects.select_for_update().filter(organization_id=organization_id).first()
            for model, before, after in told:
                trail.note(by, Action.LIST_PRICE_ADDED, ("model", model), before=before, after=after)


def _before(change: Change) -> dict[str, Any] | None:
    """Return what stood in the places that change: dollars per million tokens in the columns' order."""
    price = change.ours
    if price is None:
        return None
    bands = {Section.ROWS: price.bands, Section.BATCH: price.batch, Section.FAST: price.fast}
    found: dict[str, Any] = {
        _place(section, band.above): cells_text({name: getattr(band.rates, name) for name in COLUMNS})
        for section in change.bands
        for band in bands[section]
    }
    if change.web_search_nano is not None:
        found["web_search_nano"] = price.web_search_nano
    return {"version": price.version, **found}


def _after(change: Change, start: date, source: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        _place(section, above): NOTHING if cells is None else cells_text(cells)
        for section, bands in change.bands.items()
        for above, cells in bands.items()
    }
    if change.web_search_nano is not None:
        found["web_search_nano"] = change.web_search_nano
    return {"from": start.isoformat(), "source": source, **found}


def _place(section: Section, above: int) -> str:
    return f"{section} above {above}" if above else str(section)
