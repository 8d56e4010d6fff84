"""`tokenpool prices contract` and `rerate`: an organization's own prices, and a wrong price put right."""

import getpass
from datetime import datetime
from typing import Annotated

import typer

from tokenpool.cli.prepare import DATA, Data, Json, prepare

contract = typer.Typer(help="Own prices of one organization: dated rows, added and never edited.", no_args_is_help=True)

Day = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first UTC day, like 2026-12-01.")]
Organization = Annotated[str, typer.Option(help="The organization's id or name; not needed when there is one.")]
Model = Annotated[str, typer.Option(help="A model of the price book.")]
Provider = Annotated[str, typer.Option(help="A provider of the price book; without it and --model: all models.")]
Reason = Annotated[str, typer.Option(help="Why: it stands in the audit and in the history.")]
By = Annotated[str, typer.Option(help="Who sets it; else the name of the account on this machine.")]
Past = Annotated[bool, typer.Option("--in-the-past", help="The day is past and meant so: re-rate afterwards.")]


@contract.command("set")
def set_price(
    effective_from: Day,
    reason: Reason,
    organization: Organization = "",
    model: Model = "",
    provider: Provider = "",
    percent: Annotated[str, typer.Option(help="On the list price: -15 is a discount, 2.5 a markup.")] = "0",
    price: Annotated[list[str] | None, typer.Option(help="COMPONENT=DOLLARS per million tokens; repeatable.")] = None,
    by: By = "",
    in_the_past: Past = False,
    yes: Annotated[bool, typer.Option("--yes", help="An amount moves by more than half and is meant so.")] = False,
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Set the own price of a model, a provider or all models from a day on; it replaces that level's row as a whole."""
    prepare(data)
    from tokenpool.cli import contracts  # noqa: PLC0415 - its rooms need the prepared settings

    contracts.set_price(
        organization=organization, by=by or getpass.getuser(), as_json=as_json, percent=percent, prices=price or [],
        effective_from=effective_from.date(), reason=reason, model=model, provider=provider,
        in_the_past=in_the_past, confirmed=yes,
    )  # fmt: skip


@contract.command("end")
def end_price(
    effective_from: Day,
    reason: Reason,
    organization: Organization = "",
    model: Model = "",
    provider: Provider = "",
    by: By = "",
    in_the_past: Past = False,
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """End the own price of a model, a provider or all models with a day: the wider level decides, or the list."""
    prepare(data)
    from tokenpool.cli import contracts  # noqa: PLC0415 - its rooms need the prepared settings

    contracts.end_price(
        organization=organization, by=by or getpass.getuser(), as_json=as_json,
        effective_from=effective_from.date(), reason=reason, model=model, provider=provider, in_the_past=in_the_past,
    )  # fmt: skip


@contract.command("list")
def list_prices(organization: Organization = "", data: Data = DATA, as_json: Json = False) -> None:
    """Print every own price ever set, newest first: who, when and why."""
    prepare(data)
    from tokenpool.cli import contracts  # noqa: PLC0415 - its rooms need the prepared settings

    contracts.list_prices(organization=organization, as_json=as_json)


def rerate(
    model: Model,
    first: Day,
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last UTC day.")],
    organization: Annotated[str, typer.Option(help="One organization's id or name; else every one.")] = "",
    dry_run: Annotated[bool, typer.Option(help="Print the differences and write nothing.")] = False,
    by: By = "",
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Bring past usage of a model to the price that stands for its day now: differences alone, never an edit."""
    prepare(data)
    from tokenpool.cli import rerating  # noqa: PLC0415 - its rooms need the prepared settings

    rerating.rerate(
        model=model, first=first.date(), last=last.date(), organization=organization, dry_run=dry_run,
        by=by or getpass.getuser(), as_json=as_json,
    )  # fmt: skip
