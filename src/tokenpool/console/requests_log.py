"""Requests: the usage events behind every number, and each one's sum."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from django.http import HttpResponse

from tokenpool.console.access import PageRequest, page, show
from tokenpool.console.csv_export import csv_file
from tokenpool.console.invoices import CLASSES
from tokenpool.console.query import month_of
from tokenpool.kernel import clock, ids
from tokenpool.kernel.money import dollars
from tokenpool.kernel.tokens import TOKEN_CLASSES
from tokenpool.limits import batched
from tokenpool.limits.models import Hold
from tokenpool.metering import correct, record, report
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import groups, own_prices
from tokenpool.organizations.models import Member
from tokenpool.organizations.roles import Right
from tokenpool.pricing import load
from tokenpool.pricing.cost import COST_CLASSES, rates_for

PAGE = 50
CSV_COLUMNS = (
    "id",
    "request_id",
    "member_id",
    "seat_type",
    "product",
    "project",
    "model",
    "price_version",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "flags",
)
BATCH_COLUMNS = ("batch_id", "custom_id")


@page()
def index(request: PageRequest) -> HttpResponse:
    """Show the events, newest first; members see their own alone."""
    by, month = request.principal, month_of(request)
    member_id = request.GET.get("member") or None
    if not by.may(Right.SEE_SPEND):
        member_id = by.member_id
    model, product = request.GET.get("model", ""), request.GET.get("product", "")
    events = partial(report.events, by=by, member_id=member_id, month=month, model=model, product=product)
    after_id = request.GET.get("after", "")
    if request.GET.get("format") == "csv":
        return _csv(by.organization_id, _pages(events, after_id))
    rows, more = events(after_id=after_id, limit=PAGE)
    people = Member.objects.filter(organization_id=by.organization_id).order_by("name")
    names = dict(people.values_list("id", "name"))
    facts = {
        "rows": [(row, names.get(row.member_id, row.member_id)) for row in rows],
        "more": more,
        "month": month,
        "member": member_id or "",
        "member_name": names.get(member_id or "", ""),
        "people": people if by.may(Right.SEE_SPEND) else [],
        "model": model,
        "product": product,
        "models": sorted(
            {row["model"] for row in report.grouped(by=by, month=month, dimensions=("model",), member_id=member_id)}
        ),
    }
    return show(request, "console/requests.html", facts)


@page()
def detail(request: PageRequest, event_id: str) -> HttpResponse:
    """Show one event: tokens times price per class, the price row, the hold it ran on, and its corrections."""
    event = report.event(by=request.principal, event_id=event_id)
    price = own_prices.book_of(event.organization_id, load.standard()).by_version(event.price_version)
    rates = rates_for(price, _prompt(event), fast=event.fast, batch=event.batch)
    classes = [
        (CLASSES[name], getattr(event, f"{name}_tokens"), getattr(rates, name), getattr(event, f"{name}_nano"))
        for name in COST_CLASSES
        if name in TOKEN_CLASSES
    ]
    hold_id = ids.twin("hold", event.request_id)
    hold = Hold.objects.filter(organization_id=event.organization_id, id=hold_id).first()
    member = Member.objects.filter(organization_id=event.organization_id, id=event.member_id).first()
    facts = {
        "event": event,
        "classes": classes,
        "price": price,
        "hold": hold,
        "in_batch": batched.of_requests(event.organization_id, [event.request_id]).get(event.request_id),
        "member": member,
        "took_ms": (event.settled_at_us - event.admitted_at_us) // 1000,
        "flags": event.flags.split(),
        "groups": sorted(groups.names(event.organization_id, event.group_ids.split()).values()),
        **_corrections(event),
    }
    return show(request, "console/request.html", facts)


def _corrections(event: UsageEvent) -> dict[str, object]:
    """Return the corrections of an event, what it costs with them, and what was told in place of an estimate."""
    found = correct.earlier(event.organization_id, [event.id]).get(event.id, [])
    taken_back = correct.was_taken_back(found)
    return {
        "corrections": found,
        "corrected_nano": event.cost_nano + sum(one.cost_nano for one in found),
        "taken_back": taken_back,
        "takes_back": event.flags == correct.TAKEN_BACK,
        "told_late": correct.late_of(event) if taken_back else [],
        "estimate_id": record.event_id(ids.twin("hold", event.request_id), 0) if correct.is_late(event) else "",
    }


def _prompt(event: UsageEvent) -> int:
    """Return the prompt's tokens; those that were taken back had their price too."""
    return abs(event.input_tokens + event.cache_read_tokens + event.cache_write_5m_tokens + event.cache_write_1h_tokens)


def _pages(events: Callable[..., tuple[list[UsageEvent], bool]], after_id: str) -> Iterator[list[UsageEvent]]:
    """Yield all events after *after_id*, a page at a time."""
    more = True
    while more:
        rows, more = events(after_id=after_id, limit=report.MOST_EVENTS)
        yield rows
        after_id = rows[-1].id if rows else ""


def _csv(organization_id: str, pages: Iterable[list[UsageEvent]]) -> HttpResponse:
    header = ("admitted_at", *CSV_COLUMNS, *BATCH_COLUMNS, "cost_usd")
    return csv_file("requests", header, _lines(organization_id, pages))


def _lines(organization_id: str, pages: Iterable[list[UsageEvent]]) -> Iterator[tuple[object, ...]]:
    for rows in pages:
        named = batched.of_requests(organization_id, [row.request_id for row in rows])
        for row in rows:
            in_batch = named.get(row.request_id)
            yield (
                clock.from_timestamp(row.admitted_at_us).isoformat(),
                *(getattr(row, name) for name in CSV_COLUMNS),
                *(getattr(in_batch, name, "") for name in BATCH_COLUMNS),
                dollars(row.cost_nano),
            )
