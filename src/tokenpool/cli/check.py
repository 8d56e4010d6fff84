"""`tokenpool verify` and `tokenpool close-month`: proof and invoices from the command line."""

import json
from dataclasses import asdict

import typer
from django.db.models import QuerySet

from tokenpool.compliance import verify as verification
from tokenpool.invoicing import close
from tokenpool.kernel.errors import Conflict, InvalidInput
from tokenpool.kernel.period import Month
from tokenpool.organizations.models import Organization
from tokenpool.organizations.roles import system
from tokenpool.pricing import load


def verify(*, month: str, as_json: bool) -> int:
    """Check every invariant and print the findings; return the exit code."""
    if month:
        Month.parse(month)
    names = dict(organizations().values_list("id", "name"))
    findings = []
    for finding in verification.check(book=load.standard(), month=month):
        findings.append(finding)
        if not as_json:
            mark = "ok    " if finding.holds else "BROKEN"
            typer.echo(f"{mark}  {names[finding.organization_id]}: {finding.invariant}. {finding.title}")
            if finding.broken:
                typer.echo(f"        {finding.broken}")
    if as_json:
        typer.echo(json.dumps([{**asdict(finding), "holds": finding.holds} for finding in findings]))
    return 0 if all(finding.holds for finding in findings) else 1


def close_month(*, month: str, dry_run: bool, as_json: bool) -> int:
    """Close *month* of every organization and print the documents; return the exit code."""
    wanted = Month.parse(month)
    documents, failed = [], False
    for organization in organizations():
        by = system(organization.id, "tokenpool close-month")
        try:
            if dry_run:
                document = close.preview(by=by, month=wanted)
            else:
                document = close.stored(close.close_month(by=by, month=wanted))
        except (Conflict, InvalidInput) as error:
            failed = True
            typer.echo(f"{organization.name}: {error.message}", err=True)
            continue
        documents.append(document)
        if not as_json:
            number = "preview" if document["number"] is None else f"invoice {document['number']}"
            typer.echo(f"{organization.name}: {wanted}, {number}, {document['currency']} {document['total']}")
    if as_json:
        typer.echo(json.dumps(documents, ensure_ascii=False))
    return 1 if failed else 0


def organizations() -> QuerySet[Organization]:
    """Return them; a mistyped --data is told instead of found to be in order."""
    found = Organization.objects.order_by("id")
    if not found:
        raise InvalidInput(
            "--data: there is no organization yet; name the folder of yours, or make one with `tokenpool init`.",
            field="data",
        )
    return found
