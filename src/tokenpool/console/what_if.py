"""What if: a past month at other prices or under another limit; the answer comes with its progress, without script.

The page is sent as far as the question, then how far the work is, then the answer: so it works
without JavaScript, and nothing waits in silence.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.loader import render_to_string
from django.utils import translation

from tokenpool.console.access import PageRequest, page, show
from tokenpool.console.query import month_of
from tokenpool.console.templatetags.tokenpool import language
from tokenpool.kernel import clock, steps
from tokenpool.kernel.errors import InvalidInput, TokenpoolError
from tokenpool.kernel.money import parse_dollars
from tokenpool.kernel.period import Month
from tokenpool.limits import caps
from tokenpool.limits import what_if as other_limits
from tokenpool.limits.hierarchy import ORGANIZATION, Cap, group_scope, member_scope, seat_type_scope
from tokenpool.metering import what_if as other_prices
from tokenpool.organizations import groups, own_prices, seats
from tokenpool.organizations.models import Member
from tokenpool.organizations.roles import Principal, Right
from tokenpool.pricing import load
from tokenpool.pricing.own import OwnRow, supposed

HERE = "<!-- the answer -->"
LONGEST = 400
Outcome = other_prices.Outcome | other_limits.Outcome


@page(Right.SEE_SPEND)
def index(request: PageRequest) -> HttpResponseBase:
    """Show the two forms; below them the answer to the one that was sent."""
    by, kind = request.principal, request.GET.get("kind", "")
    facts = _forms(request)
    if kind not in ("prices", "limit"):
        return show(request, "console/what_if.html", facts)
    try:
        found = _prices(request) if kind == "prices" else _limit(request)
    except TokenpoolError as error:
        return show(request, "console/what_if.html", {**facts, "problem": error.message}, status=error.status)
    before, after = _page(request, facts).split(HERE)
    render = partial(_rendered, kind=kind, month=str(facts["month"]), by=by, spoken=language())
    answer = _answer(found, render)
    return StreamingHttpResponse(_sent(before, answer, after), content_type="text/html; charset=utf-8")


def _page(request: PageRequest, facts: dict[str, Any]) -> str:
    response: HttpResponse = show(request, "console/what_if.html", {**facts, "answer_here": HERE})
    return response.content.decode()


async def _sent(before: str, answer: AsyncIterator[str], after: str) -> AsyncIterator[str]:
    yield before
    async for part in answer:
        yield part
    yield after


async def _answer(found: Iterator[Outcome], render: Callable[[Outcome], str]) -> AsyncIterator[str]:
    """Yield how far the work is whenever another tenth of a long one is done, then the answer."""
    told = -1
    yield '<p class="ticks soft small">'
    async for outcome in steps.each(found):
        tenth = outcome.done * 10 // outcome.of if outcome.of else 10
        if outcome.of > other_prices.AT_ONCE and tenth > told:
            yield f"{tenth * 10} % "
            told = tenth
    yield "</p>" + await sync_to_async(render)(outcome)


def _rendered(found: Outcome, *, kind: str, month: str, by: Principal, spoken: str) -> str:
    names = dict(Member.objects.filter(organization_id=by.organization_id).values_list("id", "name"))
    members = [(names.get(key, key), key, one) for key, one in found.members.items()]
    members.sort(key=lambda row: -row[2].actual_nano)
    with translation.override(spoken):
        facts = {"found": found, "kind": kind, "month": month, "members": members}
        return render_to_string("console/pieces/what_if_answer.html", facts)


def _prices(request: PageRequest) -> Iterator[Outcome]:
    given, month = request.GET, month_of(request)
    base = given.get("base", other_prices.BILLED)
    rows = [_row(request, month)] if given.get("whose", "") != "nobody" else []
    found = other_prices.prices(by=request.principal, month=month, book=load.standard(), rows=rows, base=base)
    return chain([next(found)], found)


def _row(request: PageRequest, month: Month) -> OwnRow:
    given = request.GET
    day = other_prices.last_day(month)
    percent, model = given.get("percent", "").strip() or "0", given.get("model", "").strip()[:LONGEST]
    amounts: dict[str, str] = {}
    for word in given.get("prices", "")[:LONGEST].split():
        name, equals, amount = word.partition("=")
        if not equals or name in amounts:
            raise InvalidInput(f"prices: “{word[:40]}” must be a component and an amount, like output=15.")
        amounts[name] = amount
    provider = "" if model else given.get("whose", "").removeprefix("all")[:LONGEST]
    if language().startswith("it"):
        percent = percent.replace(",", ".")
    return supposed(book=load.standard(), day=day, model=model, provider=provider, percent=percent, amounts=amounts)


def _limit(request: PageRequest) -> Iterator[Outcome]:
    by, month = request.principal, month_of(request)
    book = own_prices.book_of(by.organization_id, load.standard())
    found = other_limits.limits(by=by, month=month, book=book, supposed=[_cap(request)])
    return chain([next(found)], found)


def _cap(request: PageRequest) -> Cap:
    by, given = request.principal, request.GET
    amount = parse_dollars(given.get("amount", "")[:LONGEST], field="amount", decimal_comma=language().startswith("it"))
    who, (scope, _, basis) = given.get("who", "").strip(), given.get("scope", "").partition(" ")
    if who:
        member = Member.objects.filter(organization_id=by.organization_id, email=who.lower()[:LONGEST]).first()
        scope, basis = member_scope(member.id if member else who[:LONGEST]), "each"
    return caps.supposed(by=by, scope=scope, basis=basis, window=given.get("window", "month"), amount_nano=amount)


def _forms(request: PageRequest) -> dict[str, Any]:
    """Return what the forms offer, and what was typed into them."""
    by, given = request.principal, request.GET
    month = month_of(request) if "month" in given else Month.of(clock.now()).previous()
    names = ("kind", "whose", "model", "percent", "prices", "base", "scope", "who", "window", "amount")
    return {
        "month": month,
        "typed": {name: given.get(name, "")[:LONGEST] for name in names},
        "providers": sorted({price.provider for price in load.standard().models(clock.now().date())}),
        "models": [price.model for price in load.standard().models(clock.now().date())],
        "scopes": [
            (f"{scope} {basis}", name, basis)
            for scope, name in (
                (ORGANIZATION, ""),
                *((seat_type_scope(one.key), one.name) for one in seats.types(by.organization_id)),
                *((group_scope(one.id), one.name) for one in groups.present(by.organization_id)),
            )
            for basis in ("pool", "each")
        ],
    }
