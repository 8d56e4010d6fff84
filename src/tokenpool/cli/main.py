"""The commands, `tokenpool demo` and its like. The outermost room: it starts the rest.

Errors are one line on standard error; exit code 2 is bad input, 1 a verification that failed.
"""

import fcntl
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tokenpool.cli import own_prices, price_book
from tokenpool.cli.prepare import DATA, Data, Json, lock_file, prepare
from tokenpool.kernel.errors import Conflict, InvalidInput, TokenpoolError

app = typer.Typer(
    help="Meter, cap and bill an organization's LLM usage from one shared pool.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
DEMO = "demo"  # a file in the data folder that a demo began, so that --fresh throws nobody's books away
Port = Annotated[int, typer.Option("--port", min=1, max=65535)]
price_book.app.add_typer(own_prices.contract, name="contract")
price_book.app.command()(own_prices.rerate)
app.add_typer(price_book.app, name="prices")


def run() -> None:
    """Run the command line."""
    try:
        app()
    except TokenpoolError as error:
        sys.stderr.write(f"tokenpool: {error.message}\n")
        raise SystemExit(2) from None


def write_access(folder: Path, access: dict[str, Any]) -> None:
    """Write DATA/access.json for its owner's eyes only."""
    path = folder / "access.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(access, file, indent=2, ensure_ascii=False)


@contextmanager
def running_lock(folder: Path, kind: int) -> Iterator[None]:
    """Hold the data folder's lock: shared while serving, exclusive to throw the data away.

    Raises:
        Conflict: somebody serves from this folder.
    """
    with lock_file(folder, "running.lock") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"A Tokenpool is running on {folder}; stop it first, or use another --data.") from error
        yield


def throw_away(folder: Path) -> None:
    """Remove what a demo made in *folder*, and nothing else.

    Raises:
        Conflict: its database is not a demo's.
    """
    if (folder / "tokenpool.sqlite3").exists() and not (folder / DEMO).exists():
        raise Conflict(f"{folder} was not begun by `tokenpool demo`; --fresh leaves it alone. Use another --data.")
    for name in ("tokenpool.sqlite3", "tokenpool.sqlite3-wal", "tokenpool.sqlite3-shm", "access.json"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "mail", ignore_errors=True)


@app.command()
def serve(
    data: Data = DATA,
    host: str = "127.0.0.1",
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, show_default="8787")] = None,
) -> None:
    """Serve the gateway, the console and the API from one process."""
    settings = prepare(data, **({"port": str(port)} if port else {}))
    if not settings.upstreams:
        raise InvalidInput("Set TOKENPOOL_UPSTREAM_URL: without it no model answers.", field="upstream_url")
    if settings.upstream_url and not settings.upstream_api_key:
        raise InvalidInput("Set TOKENPOOL_UPSTREAM_API_KEY: without it no model answers.", field="upstream_api_key")
    port = int(settings.port)
    check_port(host, port)
    from tokenpool.cli import check  # noqa: PLC0415 - its rooms need the prepared settings

    check.organizations()
    typer.echo(f"Listening on {host}, port {port}; people open {settings.public_url} (TOKENPOOL_PUBLIC_URL).")
    with running_lock(settings.folder, fcntl.LOCK_SH):
        listen(host, port)


def check_port(host: str, port: int) -> None:
    """Find out before any work whether this process can listen there.

    Raises:
        InvalidInput: it cannot.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InvalidInput(
                f"--port: {host}, port {port} cannot be listened on ({error.strerror}); name another.",
                field="port",
            ) from error


def listen(host: str, port: int) -> None:
    """Run the web process until it is stopped."""
    import uvicorn  # noqa: PLC0415 - other commands do not need it

    from tokenpool.config import listening  # noqa: PLC0415 - the same

    uvicorn.run("tokenpool.config.asgi:application", host=host, port=port, **listening.options())


@app.command()
def init(
    organization: Annotated[str, typer.Option(help="The organization's name.")],
    owner_email: Annotated[str, typer.Option(help="The primary owner's e-mail address.")],
    owner_password_file: Annotated[Path, typer.Option(help="A file with the primary owner's password.")],
    owner_name: Annotated[str, typer.Option(help="The primary owner's name.")] = "",
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Make the database and the first organization with its primary owner and keys."""
    settings = prepare(data)
    from tokenpool.cli import begin  # noqa: PLC0415 - its rooms need the prepared settings

    access = begin.first_organization(
        settings,
        name=organization,
        owner_email=owner_email,
        owner_name=owner_name or owner_email.partition("@")[0],
        owner_password=begin.read_password(owner_password_file),
    )
    (settings.folder / DEMO).unlink(missing_ok=True)
    write_access(settings.folder, access)
    typer.echo(json.dumps(access, ensure_ascii=False) if as_json else begin.summary(access, settings.folder))


@app.command()
def demo(
    port: Port = 8787,
    data: Data = DATA,
    fresh: Annotated[bool, typer.Option(help="Throw the demo's data away first.")] = False,
    traces: Annotated[Path | None, typer.Option(help="A folder of recorded traces to replay as history.")] = None,
    as_json: Json = False,
) -> None:
    """Start everything in one process with a simulated provider and an organization that has a past."""
    folder = data.expanduser()
    with running_lock(folder, fcntl.LOCK_EX if fresh else fcntl.LOCK_SH):
        if fresh:
            throw_away(folder)
        if not (folder / "tokenpool.sqlite3").exists():
            (folder / DEMO).touch()
    check_port("127.0.0.1", port)
    url = f"http://127.0.0.1:{port}"
    settings = prepare(data, demo="yes", public_url=url)
    from tokenpool.cli import begin  # noqa: PLC0415 - its rooms need the prepared settings

    access = begin.demo_organization(settings, traces=traces, quiet=as_json)
    write_access(settings.folder, access)
    typer.echo(json.dumps(access, ensure_ascii=False) if as_json else begin.demo_summary(access, settings.folder))
    with running_lock(settings.folder, fcntl.LOCK_SH):
        listen("127.0.0.1", port)


@app.command()
def verify(
    month: Annotated[str, typer.Option(help="One month, like 2026-11; else everything.")] = "",
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Check every invariant of the money on the stored data; exit 1 if one is broken."""
    prepare(data)
    from tokenpool.cli import check  # noqa: PLC0415 - its rooms need the prepared settings

    raise typer.Exit(check.verify(month=month, as_json=as_json))


@app.command()
def prove(
    minutes: Annotated[float, typer.Option(min=0.05, max=10_000, help="How long to try.")] = 10,
    rounds: Annotated[int, typer.Option(min=0, help="So many rounds of each instead; the long form is 1000.")] = 0,
    database_url: Annotated[str, typer.Option(help="An empty PostgreSQL database to try on; else SQLite.")] = "",
    as_json: Json = False,
) -> None:
    """Try to break the ledger on a scratch database of this machine, and print the figures."""
    with tempfile.TemporaryDirectory(prefix="tokenpool-prove-") as folder:
        settings = prepare(Path(folder), database_url=database_url)
        from tokenpool.cli import prove as proving  # noqa: PLC0415 - its rooms need the prepared settings
        from tokenpool.organizations.models import Organization  # noqa: PLC0415

        if Organization.objects.exists():
            raise InvalidInput(
                "database_url: it has an organization in it; name an empty database.", field="database_url"
            )
        address = database_url or str(settings.database_path)
        raise typer.Exit(
            proving.prove(address, folder=settings.folder, minutes=minutes, rounds=rounds, as_json=as_json)
        )


@app.command("close-month")
def close_month(
    month: Annotated[str, typer.Option(help="The month to close, like 2026-10.")],
    dry_run: Annotated[bool, typer.Option(help="Show the documents and close nothing.")] = False,
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Close a month of every organization: one invoice each."""
    prepare(data)
    from tokenpool.cli import check  # noqa: PLC0415 - its rooms need the prepared settings

    raise typer.Exit(check.close_month(month=month, dry_run=dry_run, as_json=as_json))
