"""The Usage page: the pool, the seat types, spend per day, and the table of spend limits by member; live."""

import hashlib
from datetime import date
from functools import partial
from typing import Any

from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from tokenpool.console.access import PageRequest, page, show
from tokenpool.console.charts import daily_bars, shares
from tokenpool.console.csv_export import csv_file
from tokenpool.console.invoices import CLASSES
from tokenpool.console.query import Listing, every, listing, month_of
from tokenpool.kernel import clock
from tokenpool.kernel.money import dollars
from tokenpool.kernel.period import Month
from tokenpool.kernel.tokens import TOKEN_CLASSES
from tokenpool.limits import overview
from tokenpool.limits.models import Account, SpendLimit
from tokenpool.metering import report
from tokenpool.organizations import own_prices
from tokenpool.organizations.models import Gate, Group, Organization
from tokenpool.organizations.roles import Right
from tokenpool.pricing import load
from tokenpool.pricing.own import OwnBook

GROUP_CARDS = 6
STACKS = ("model", "product", "seat_type")
TOKENS_PER_PRICE = 1_000_000


def home(_: HttpRequest) -> HttpResponse:
    """Send people to the page that answers their morning question."""
    return redirect("usage")


@page()
def usage(request: PageRequest) -> HttpResponse:
    """Show the page; members without the right to see everybody's spend go to their own."""
    if not request.principal.may(Right.SEE_SPEND):
        return redirect("me")
    wanted = _wanted(request)
    if request.GET.get("format") == "csv":
        return _csv(request, wanted)
    return show(request, "console/usage.html", _facts(request, wanted))


@page(Right.SEE_SPEND)
def live(request: PageRequest) -> HttpResponse:
    """Return the figures again, or nothing (204) while they are what the page shows."""
    if request.GET.get("seen") == _fingerprint(request):
        return HttpResponse(status=204)
    wanted = _wanted(request)
    facts = _facts(request, wanted) | {"rights": {right.value: request.principal.may(right) for right in Right}}
    return render(request, "console/usage_live.html", facts)


def _wanted(request: PageRequest) -> Listing:
    return listing(request, sorts=tuple(overview.SORTS), default="spent", filters=("seat_type", "group"))


def _facts(request: PageRequest, wanted: Listing) -> dict[str, Any]:
    month = month_of(request)
    running = month == Month.of(clock.now())
    by = request.principal
    rows, found = overview.members(
        by=by,
        text=wanted.text,
        seat_type=wanted.filters.get("seat_type"),
        group=wanted.filters.get("group"),
        sort=wanted.sort,
        descending=wanted.descending,
        offset=wanted.offset,
        limit=wanted.size,
        month=month,
    )
    return {
        **wanted.facts(found),
        "month": month,
        "months": _months(by.organization_id),
        "running": running,
        "fingerprint": _fingerprint(request),
        "pool": overview.pool(by=by, month=None if running else month),
        "forecast_nano": _forecast(overview.pool(by=by).spent_nano) if running else None,
        "seat_types": overview.seat_types(by=by, month=None if running else month),
        **_groups(request, month, running=running),
        "rows": rows,
        **_chart(request, month),
    }


def _groups(request: PageRequest, month: Month, *, running: bool) -> dict[str, Any]:
    """Return the groups that spent most as cards, the others as rows, and what the table is narrowed to."""
    found = overview.groups(by=request.principal, month=None if running else month)
    found.sort(key=lambda one: -one.balance.spent_nano)
    return {"group_cards": found[:GROUP_CARDS], "more_groups": found[GROUP_CARDS:], "groups": found}


def _chart(request: PageRequest, month: Month) -> dict[str, Any]:
    """Return the chart of the month's days, the token mix, and what caching saved."""
    stack = request.GET.get("stack", STACKS[0])
    stack = stack if stack in STACKS else STACKS[0]
    sums = {
        (int(row["day"][8:]), row[stack]): row["cost_nano"]
        for row in report.grouped(by=request.principal, month=month, dimensions=("day", stack))
    }
    totals = report.month_totals(by=request.principal, month=month)
    mix = [(str(CLASSES[name]), totals[f"{name}_tokens"]) for name in TOKEN_CLASSES]
    per_day = report.grouped(by=request.principal, month=month, dimensions=("day", "model"))
    return {
        "chart": daily_bars(sums, days=month.days),
        "stack": stack,
        "stacks": [("model", _("Model")), ("product", _("Product")), ("seat_type", _("Seat type"))],
        "mix": shares(mix),
        "totals": totals,
        "saved_nano": _saved_by_cache(per_day, own_prices.book_of(request.principal.organization_id, load.standard())),
    }


def _saved_by_cache(rows: list[dict[str, Any]], book: OwnBook) -> int:
    """Return what cache reads would have cost more as plain input, less what writing cost more, at each day's price."""
    saved = 0
    for row in rows:
        rates = book.price(row["model"], date.fromisoformat(row["day"])).band(0)
        saved += row["cache_read_tokens"] * (rates.input - rates.cache_read)
        saved -= row["cache_write_5m_tokens"] * (rates.cache_write_5m - rates.input)
        saved -= row["cache_write_1h_tokens"] * (rates.cache_write_1h - rates.input)
    return saved // TOKENS_PER_PRICE


def _forecast(spent_nano: int) -> int:
    """Return the month's spend if its days go on like the past ones; exact integers, whole hours."""
    now = clock.now()
    month = Month.of(now)
    hours = max(1, (now - month.start).days * 24 + (now - month.start).seconds // 3600)
    return spent_nano * month.days * 24 // hours


def _fingerprint(request: PageRequest) -> str:
    """Return a text that changes whenever a figure of the page may have changed."""
    organization_id = request.principal.organization_id
    accounts = Account.objects.filter(organization_id=organization_id, scope="organization").order_by("window_key")
    groups = Group.objects.filter(organization_id=organization_id)
    facts = [
        groups.aggregate(Max("changed_at")),
        list(accounts.values_list("window_key", "spent_nano", "held_nano")),
        Gate.objects.values_list("version", flat=True).get(organization_id=organization_id),
        SpendLimit.objects.filter(organization_id=organization_id).order_by("-id").values_list("id", flat=True).first(),
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _months(organization_id: str) -> list[Month]:
    first = Month.of(Organization.objects.values_list("created_at", flat=True).get(id=organization_id))
    months, month = [], Month.of(clock.now())
    while month >= first:
        months.append(month)
        month = month.previous()
    return months


def _csv(request: PageRequest, wanted: Listing) -> HttpResponse:
    read = partial(
        overview.members,
        by=request.principal,
        text=wanted.text,
        seat_type=wanted.filters.get("seat_type"),
        group=wanted.filters.get("group"),
        sort=wanted.sort,
        descending=wanted.descending,
        month=month_of(request),
    )
    header = ("member_id", "name", "email", "seat_type", "spent_usd", "held_usd", "limit_usd", "left_usd")
    return csv_file(
        f"usage-{month_of(request)}",
        header,
        [
            (
                row.explanation.member.id,
                row.explanation.member.name,
                row.explanation.member.email,
                row.explanation.member.seat_type or "",
                dollars(row.explanation.spent_nano),
                dollars(row.explanation.held_nano),
                _or_empty(row.explanation.own.amount_nano if row.explanation.own else None),
                _or_empty(row.explanation.binding.left_nano if row.explanation.binding else None),
            )
            for row in every(lambda offset: read(offset=offset, limit=overview.MOST))
        ],
    )


def _or_empty(nano: int | None) -> str:
    return "" if nano is None else dollars(nano)
