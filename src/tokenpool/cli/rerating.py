"""`tokenpool prices rerate`: differences of a corrected price, organization by organization."""

import json
from dataclasses import asdict
from datetime import date

import typer

from tokenpool.cli.contracts import named
from tokenpool.invoicing import rerate as verb
from tokenpool.kernel.money import dollars
from tokenpool.organizations.models import Organization
from tokenpool.organizations.roles import operator
from tokenpool.pricing import load


def rerate(*, model: str, first: date, last: date, organization: str, dry_run: bool, by: str, as_json: bool) -> None:
    """Re-rate *model* from *first* to *last* and print what each organization's events differed by."""
    book, told = load.standard(), []
    own_name = book.history(model)[0].model
    for one in [named(organization)] if organization else list(Organization.objects.order_by("name")):
        principal = operator(one.id, by)
        length = verb.affected(by=principal, model=own_name, first=first, last=last).count()
        with typer.progressbar(length=length, label=f"{one.name}: rating again", hidden=as_json) as bar:
            done = verb.rerate(
                by=principal, book=book, model=own_name, first=first, last=last, dry_run=dry_run, progress=bar.update
            )
        told.append({"organization_id": one.id, **asdict(done), "difference": dollars(done.difference_nano)})
        if not as_json:
            typer.echo(_sentence(one.name, done, dry_run=dry_run))
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "model": own_name, "organizations": told}))


def _sentence(name: str, done: verb.Rerated, *, dry_run: bool) -> str:
    if not done.corrected:
        return f"{name}: {done.examined:,} events, all at the price that stands"
    months = ", ".join(f"{month} ${dollars(nano)}" for month, nano in sorted(done.by_invoice.items()))
    verb_text = "would be corrected" if dry_run else "corrected"
    return (
        f"{name}: {done.corrected:,} of {done.examined:,} events {verb_text}, ${dollars(done.difference_nano)} in all; "
        f"by invoice: {months}"
    )
