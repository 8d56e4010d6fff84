"""Invoices: the running month as a preview, the closed months as documents, each line back to its requests."""

from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from tokenpool.console.access import PageRequest, page, show
from tokenpool.invoicing import close, render
from tokenpool.invoicing.document import Document, canonical
from tokenpool.kernel import clock
from tokenpool.kernel.errors import NotFound
from tokenpool.kernel.period import Month
from tokenpool.organizations.roles import Right

CLASSES = {
    "input": _("input"),
    "cache_read": _("cache read"),
    "cache_write_5m": _("cache write, 5 minutes"),
    "cache_write_1h": _("cache write, 1 hour"),
    "output": _("output"),
    "web_search": _("web searches"),
    "code_execution": _("code execution"),
}


@page(Right.SEE_SPEND)
def index(request: PageRequest) -> HttpResponse:
    """Show the preview's total and the closed invoices."""
    by, month = request.principal, Month.of(clock.now())
    facts = {
        "preview": close.preview(by=by, month=month),
        "invoices": close.listed(by=by),
        "parked": close.parked(by=by),
    }
    return show(request, "console/invoices.html", facts)


@page(Right.SEE_SPEND)
def preview(request: PageRequest, month: str) -> HttpResponse:
    """Show a month's document as it stands now."""
    document = close.preview(by=request.principal, month=Month.parse(month))
    return _document(request, document, None)


@page(Right.SEE_SPEND)
def detail(request: PageRequest, invoice_id: str) -> HttpResponse:
    """Show a closed invoice as it was issued, or send it as CSV or JSON."""
    invoice_id, _dot, form = invoice_id.partition(".")
    invoice = close.find(by=request.principal, invoice_id=invoice_id)
    if form == "json":
        return HttpResponse(invoice.document, content_type="application/json")
    document = close.stored(invoice)
    if form == "csv":
        return HttpResponse(render.as_csv(document), content_type="text/csv; charset=utf-8")
    if form:
        raise NotFound("There is no such form of an invoice; there are .csv and .json.")
    return _document(request, document, invoice.id, sha256=invoice.sha256)


def _document(request: PageRequest, document: Document, invoice_id: str | None, *, sha256: str = "") -> HttpResponse:
    people: dict[str, dict[str, Any]] = {}
    for row in document["annex"]:
        person = people.setdefault(row["member_id"], {"name": row["member"], "rows": [], "nano": 0, "cents": 0})
        person["rows"].append({**row, "class_name": CLASSES[row["usage_class"]]})
        person["nano"] += row["amount_nano"]
        person["cents"] += row["amount_cents"]
    lines = [{**line, "class_name": CLASSES.get(line["usage_class"], "")} for line in document["lines"]]
    facts = {
        "document": document,
        "lines": lines,
        "people": sorted(people.items(), key=lambda item: -item[1]["nano"]),
        "invoice_id": invoice_id,
        "sha256": sha256,
        "size": len(canonical(document)),
        "usage_cents": sum(line["amount_cents"] for line in lines if line["kind"] == "usage"),
    }
    return show(request, "console/invoice.html", facts)
