"""`tokenpool prices contract`: the operator sets, ends and lists an organization's own prices."""

import json
from collections.abc import Sequence
from typing import Any

import typer

from tokenpool.kernel.errors import Conflict, InvalidInput
from tokenpool.kernel.money import dollars
from tokenpool.organizations import own_prices
from tokenpool.organizations.models import Organization, OwnPrice
from tokenpool.organizations.roles import operator
from tokenpool.pricing import load
from tokenpool.pricing.own import PARTS, ppm_from_percent


def named(text: str) -> Organization:
    """Return the organization with this id or name, or the only one.

    Raises:
        InvalidInput: none, or more than one; names them.
    """
    rows = Organization.objects.order_by("name")
    found = list(rows.filter(id=text) | rows.filter(name=text) if text else rows)
    if len(found) != 1:
        known = ", ".join(f"{one.name} ({one.id})" for one in rows[:10])
        raise InvalidInput(f"--organization: name one of {known or 'none, there is no organization'}.")
    return found[0]


def set_price(*, organization: str, by: str, as_json: bool, percent: str, prices: Sequence[str], **facts: Any) -> None:  # noqa: ANN401 - the verb's own arguments
    """Set an own price and print it."""
    found, amounts = named(organization), {}
    for text in prices:
        name, equals, amount = text.partition("=")
        if not equals or name in amounts:
            raise InvalidInput(f"--price: “{text[:60]}” must be COMPONENT=DOLLARS, each component once.", field="price")
        amounts[name] = amount
    facts |= {"ppm": ppm_from_percent(percent), "amounts": amounts, "book": load.standard()}
    try:
        row = own_prices.set_price(by=operator(found.id, by), **facts)
    except Conflict as error:
        raise Conflict(f"{error.message} (--yes)") from error
    _print([(found, row)], as_json=as_json)


def end_price(*, organization: str, by: str, as_json: bool, **facts: Any) -> None:  # noqa: ANN401 - the verb's own arguments
    """End an own price and print the row that does."""
    found = named(organization)
    row = own_prices.end_price(by=operator(found.id, by), book=load.standard(), **facts)
    _print([(found, row)], as_json=as_json)


def list_prices(*, organization: str, as_json: bool) -> None:
    """Print the own prices of one organization, or of all."""
    found = [named(organization)] if organization else list(Organization.objects.order_by("name"))
    rows = [(one, row) for one in found for row in own_prices.history(by=operator(one.id, "tokenpool"))]
    _print(rows, as_json=as_json)


def _print(rows: Sequence[tuple[Organization, OwnPrice]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([_facts(row) for _, row in rows], ensure_ascii=False))
        return
    for organization, row in rows:
        typer.echo(f"{organization.name}: {row.scope} from {row.effective_from}: {_sentence(row)}")
        typer.echo(f"    {row.set_by}, {row.set_at:%Y-%m-%d %H:%M} UTC: {row.reason}")


def _sentence(row: OwnPrice) -> str:
    if row.ended:
        return "ended"
    parts = [f"{name} ${dollars(nano)}" for name, nano in row.amounts.items()]
    if row.ppm or not parts:
        parts.append(f"{'the rest ' if parts else ''}list price {row.ppm * 100 / PARTS:+g} %")
    return ", ".join(parts)


def _facts(row: OwnPrice) -> dict[str, object]:
    names = ("organization_id", "id", "scope", "effective_from", "ppm", "ended", "set_by", "reason")
    amounts = {name: dollars(nano) for name, nano in row.amounts.items()}
    set_at = f"{row.set_at:%Y-%m-%dT%H:%M:%SZ}"
    return {**{name: getattr(row, name) for name in names}, "prices": amounts, "set_at": set_at}
