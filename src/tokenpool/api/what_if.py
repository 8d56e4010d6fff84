"""`POST price_what_if`: a past month at other prices, or under other limits; nothing is written.

One JSON document at the end; with `Accept: application/x-ndjson` lines of progress before it.
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from itertools import chain
from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from ninja import Router

from tokenpool.api import spend_limits
from tokenpool.api.access import KeyRequest, Strict
from tokenpool.api.usage import money
from tokenpool.kernel import steps
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.period import Month
from tokenpool.limits import caps
from tokenpool.limits import what_if as other_limits
from tokenpool.limits.hierarchy import Cap
from tokenpool.metering import what_if as other_prices
from tokenpool.organizations import own_prices
from tokenpool.organizations.roles import Principal
from tokenpool.pricing import load
from tokenpool.pricing.own import OwnRow, supposed

router = Router()
LINES = "application/x-ndjson"
MOST_ROWS = 1_000
Outcome = other_prices.Outcome | other_limits.Outcome


class Row(Strict):
    """A supposed own price: of a model, a provider, or all models."""

    model: str = ""
    provider: str = ""
    percent: str = "0"
    prices: dict[str, str] = {}


class Limit(Strict):
    """A supposed limit, as `POST spend_limits` sets one."""

    scope: spend_limits.Scope
    amount: str | None
    period: str = "monthly"
    basis: str | None = None


class Question(Strict):
    """The body: a month, and either prices or limits to try."""

    month: str
    rows: list[Row] | None = None
    base: str = other_prices.BILLED
    limits: list[Limit] | None = None


@router.post("price_what_if")
def ask(request: KeyRequest, body: Question) -> HttpResponseBase:
    """Answer what the month would have cost, or which of its requests would have been refused."""
    found, told = _steps(request.auth, body)
    outcome = next(found)  # grows with every step
    if LINES in request.headers.get("accept", ""):
        return StreamingHttpResponse(_lines(chain([outcome], found), told), content_type=LINES)
    deque(found, maxlen=0)
    return HttpResponse(json.dumps(told(outcome)), content_type="application/json")


def _steps(by: Principal, body: Question) -> tuple[Iterator[Outcome], Callable[[Any], dict[str, Any]]]:
    month, book = Month.parse(body.month), load.standard()
    if body.limits is not None:
        if body.rows is not None:
            raise InvalidInput("limits: ask about prices or about limits, not both at once.", field="limits")
        if len(body.limits) > MOST_ROWS:
            raise InvalidInput(f"limits: at most {MOST_ROWS:,}.", field="limits")
        tried = [_cap(by, limit) for limit in body.limits]
        own = own_prices.book_of(by.organization_id, book)
        return other_limits.limits(by=by, month=month, book=own, supposed=tried), lambda found: _limits(month, found)
    if len(body.rows or ()) > MOST_ROWS:
        raise InvalidInput(f"rows: at most {MOST_ROWS:,}.", field="rows")
    rows = [_row(row, month) for row in body.rows or ()]
    found = other_prices.prices(by=by, month=month, book=book, rows=rows, base=body.base)
    return found, lambda outcome: _prices(month, outcome)


async def _lines(every: Iterator[Outcome], told: Callable[[Any], dict[str, Any]]) -> AsyncIterator[str]:
    last = None
    async for last in steps.each(every):
        yield json.dumps({"type": "progress", "done": last.done, "of": last.of}) + "\n"
    yield json.dumps(told(last)) + "\n"


def _row(row: Row, month: Month) -> OwnRow:
    day = other_prices.last_day(month)
    return supposed(
        book=load.standard(), day=day, model=row.model, provider=row.provider, percent=row.percent, amounts=row.prices
    )


def _cap(by: Principal, limit: Limit) -> Cap:
    if limit.period not in spend_limits.WINDOWS:
        raise InvalidInput(f"period: must be one of {', '.join(spend_limits.WINDOWS)}.", field="period")
    return caps.supposed(
        by=by,
        scope=spend_limits.scope_text(limit.scope),
        basis=limit.basis or ("each" if limit.scope.type == "user" else "pool"),
        window=spend_limits.WINDOWS[limit.period],
        amount_nano=None if limit.amount is None else spend_limits.nano_of_cents(limit.amount),
    )


def _prices(month: Month, found: other_prices.Outcome) -> dict[str, Any]:
    def sums(one: other_prices.Sums) -> dict[str, Any]:
        amounts = {"actual": one.actual_nano, "what_if": one.supposed_nano, "difference": one.difference_nano}
        told: dict[str, Any] = {"requests": one.requests}
        for name, nano in amounts.items():
            told |= money(name, nano)
        return told

    return {
        "type": "price_what_if",
        "month": str(month),
        "currency": "USD",
        "total": sums(found.total),
        "members": [{"id": name, **sums(one)} for name, one in sorted(found.members.items())],
        "models": [{"model": name, **sums(one)} for name, one in sorted(found.models.items())],
    }


def _limits(month: Month, found: other_limits.Outcome) -> dict[str, Any]:
    def counts(one: other_limits.Counts) -> dict[str, Any]:
        told = {"requests": one.requests, "refused": one.refused, "cut": one.cut}
        return {**told, **money("actual", one.actual_nano), **money("what_if", one.supposed_nano)}

    return {
        "type": "limit_what_if",
        "month": str(month),
        "currency": "USD",
        "total": counts(found.total),
        "members": [{"id": name, **counts(one)} for name, one in sorted(found.members.items())],
        "refused": [{**asdict(one), **money("cost", one.cost_nano)} for one in found.refused],
        "has_more": found.total.refused > len(found.refused),
    }
