"""How an installation begins: the first organization, or the demo's, and what is printed about it."""

import json
import secrets
import sys
from pathlib import Path
from typing import Any

import typer

from tokenpool.config import wiring
from tokenpool.config.environment import Environment
from tokenpool.demo import people, seed
from tokenpool.kernel.errors import Conflict, InvalidInput
from tokenpool.organizations import api_keys, founding, seats
from tokenpool.organizations.models import Member, Organization
from tokenpool.organizations.roles import Principal, system
from tokenpool.pricing import load

Access = dict[str, Any]
ASKED = "Write a poem about a shared pool"  # the simulated provider's answer to it costs a cent: it is seen to move


def read_password(path: Path) -> str:
    """Return the first line of *path*.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        return path.read_text("utf-8").partition("\n")[0].removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InvalidInput(
            f"--owner-password-file: {path} cannot be read ({why}).", field="owner_password_file"
        ) from error


def first_organization(
    settings: Environment, *, name: str, owner_email: str, owner_name: str, owner_password: str
) -> Access:
    """Found the first organization and mint its admin, meter and compliance keys.

    Raises:
        Conflict: this data folder has an organization already.
    """
    if existing := Organization.objects.first():
        raise Conflict(f"{settings.folder} has an organization already ({existing.name}); use another --data folder.")
    organization, _ = founding.found(
        name=name, owner_email=owner_email, owner_name=owner_name, owner_password=owner_password
    )
    owner = {"email": owner_email, "password": owner_password}
    return _access(settings, system(organization.id), owner=owner, members=[])


def demo_organization(settings: Environment, *, traces: Path | None, quiet: bool) -> Access:
    """Return the demo's access, seeding its organization first when the folder is new.

    Raises:
        InvalidInput: a folder of traces that does not exist.
    """
    known = settings.folder / "access.json"
    if Organization.objects.exists():
        access: Access = json.loads(known.read_text()) if known.exists() else {"members": []}
        if not access["members"]:
            raise Conflict(
                f"{settings.folder} was not finished, or is no demo's; start with --fresh or another --data."
            )
        return {**access, "url": settings.public_url}
    if traces is not None and not traces.is_dir():
        raise InvalidInput(f"--traces: {traces} is not a folder.", field="traces")
    password = secrets.token_urlsafe(12)
    with typer.progressbar(length=seed.REQUESTS, label="Replaying three months of requests", hidden=quiet) as bar:
        seeded = seed.seed(
            open_ledger=lambda: wiring.ledger_of(settings),
            book=load.standard(),
            owner_password=password,
            recorded=traces,
            progress=bar.update,
        )
    owner = {"email": people.OWNER[1], "password": password}
    return _access(settings, seeded.owner, owner=owner, members=_demo_members(seeded.owner))


def _demo_members(by: Principal) -> list[Member]:
    """Return the members who get a key: two with Claude Code, one with Chat, the near and the full one."""
    rows = Member.objects.filter(organization_id=by.organization_id)
    named = ["elena.marino", "farid.haddad", "umberto.galli", "giulia.ferrari", "luca.moretti"]
    return [rows.get(email=f"{name}@aurora.example") for name in named]


def _access(settings: Environment, by: Principal, *, owner: dict[str, str], members: list[Member]) -> Access:
    keys = {
        kind: api_keys.mint(by=by, kind=kind, name=f"First {kind} key")[1] for kind in ("admin", "meter", "compliance")
    }
    return {
        "url": settings.public_url,
        "organization_id": by.organization_id,
        "owner": owner,
        **{f"{kind}_key": secret for kind, secret in keys.items()},
        "members": [_with_key(by, member) for member in members],
    }


def _with_key(by: Principal, member: Member) -> Access:
    opened = next(one.products for one in seats.types(by.organization_id) if one.key == member.seat_type)
    product = "claude_code" if "claude_code" in opened else "chat"
    _, secret = api_keys.mint(by=by, product=product, member_id=member.id, name="Demo")
    return {
        "id": member.id,
        "email": member.email,
        "seat_type": member.seat_type,
        "key": secret,
        "product": product,
    }


def summary(access: Access, folder: Path) -> str:
    """Return what `tokenpool init` prints."""
    return (
        f"Organization {access['organization_id']} is ready in {folder}.\n"
        f"Its owner signs in as {access['owner']['email']}; the keys are in {folder / 'access.json'}.\n"
        f"Start it: TOKENPOOL_UPSTREAM_URL=https://… TOKENPOOL_UPSTREAM_API_KEY=… {sys.argv[0]} serve --data {folder}"
    )


def demo_summary(access: Access, folder: Path) -> str:
    """Return what `tokenpool demo` prints: where to look, how to sign in, what to paste."""
    url, owner, member = access["url"], access["owner"], access["members"][0]
    return f"""
Tokenpool is at {url}

  Sign in     {owner["email"]}
  Password    {owner["password"]}
  A member    {member["email"]} ({member["seat_type"]}, same password)
  Their key   {member["key"]}

Paste for curl:

  curl {url}/v1/messages -H 'x-api-key: {member["key"]}' -H 'content-type: application/json' \\
    -d '{{"model": "claude-fable-5-1", "max_tokens": 500, "messages": [{{"role": "user", "content": "{ASKED}"}}]}}'

Paste for Claude Code:

  ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={member["key"]} claude

Paste for what speaks OpenAI's format:

  curl {url}/v1/chat/completions -H 'authorization: Bearer {member["key"]}' -H 'content-type: application/json' \\
    -d '{{"model": "gpt-5", "max_completion_tokens": 200, "messages": [{{"role": "user", "content": "Hello"}}]}}'
  OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={member["key"]}

Everything else is in {folder / "access.json"}. Stop with Ctrl-C.
"""
