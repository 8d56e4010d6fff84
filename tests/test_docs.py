"""What is documented is so: settings, commands, refusals, audit actions, dependencies, rights, the version."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer import Typer

import tokenpool
from tokenpool.audit.actions import Action
from tokenpool.cli.main import app
from tokenpool.config.environment import NAMES
from tokenpool.config.upstreams import KEYS
from tokenpool.gateway.openai.parameters import CHAT, EMBEDDINGS, RESPONSES
from tokenpool.gateway.parameters import PARAMETERS, Class
from tokenpool.organizations.roles import RIGHTS_OF_KEY, RIGHTS_OF_ROLE, Right

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_changelogs() -> None:
    """One version in three places."""
    newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert newest is not None
    assert {PROJECT["version"]} == {newest[1], tokenpool.__version__}


@pytest.mark.parametrize("setting", sorted(NAMES))
def test_a_setting_is_documented(setting: str) -> None:
    """In docs/settings.md, by its name in the environment."""
    assert f"`TOKENPOOL_{setting.upper()}`" in (DOCS / "settings.md").read_text()


def test_every_setting_of_a_provider_is_documented() -> None:
    """In the table of `[upstreams.NAME]`."""
    text = (DOCS / "settings.md").read_text()

    assert [] == [key for key in sorted(KEYS) if f"| `{key}`" not in text]


def test_every_command_is_documented() -> None:
    """In docs/commands.md."""
    text = (DOCS / "commands.md").read_text()

    assert [] == [called for called in called_by(app) if f"## `tokenpool {called}" not in text]


def called_by(group: Typer, before: str = "") -> Iterator[str]:
    """Yield the names of a group's commands and of those of the groups within it."""
    for command in group.registered_commands:
        yield before + (command.name or (command.callback.__name__ if command.callback else ""))
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from called_by(inner.typer_instance, f"{before}{inner.name} ")


def test_every_audit_action_is_documented() -> None:
    """In docs/api.md, where the feed is."""
    text = (DOCS / "api.md").read_text()

    assert [] == [action for action in Action if f"`{action}`" not in text]


def test_every_refused_parameter_is_documented() -> None:
    """In docs/gateway.md, with the others' treatment."""
    text = (DOCS / "gateway.md").read_text()

    tables = (PARAMETERS, CHAT, RESPONSES, EMBEDDINGS)
    refused = [name for table in tables for name, kind in table.items() if kind is Class.REFUSED]
    assert [] == [name for name in refused if f"`{name}`" not in text]


def test_every_dependency_has_its_reason() -> None:
    """docs/decisions/dependencies.md and pyproject.toml name the same; at most twenty."""
    wanted = {re.split(r"[><=;\[ ]", one)[0] for one in PROJECT["dependencies"]}
    told = set(re.findall(r"^\| `([a-z0-9-]+)` \|", (DOCS / "decisions" / "dependencies.md").read_text(), re.MULTILINE))

    assert wanted == told
    assert len(wanted) <= 20


def test_the_table_of_rights_is_the_one_in_the_code() -> None:
    """docs/roles.md shows the data that every page and endpoint asks."""
    columns = {role.value: rights for role, rights in RIGHTS_OF_ROLE.items()}
    columns |= {f"{kind} key": rights for kind, rights in RIGHTS_OF_KEY.items()}
    head = f"| right | {' | '.join(columns)} |"
    rows = [
        f"| {right.value} | {' | '.join('x' if right in rights else ' ' for rights in columns.values())} |"
        for right in Right
    ]
    text = (DOCS / "roles.md").read_text()

    assert head in text
    assert [] == [row for row in rows if row not in text]


def test_links_of_the_documents_lead_somewhere() -> None:
    """Every relative link in the Markdown exists."""
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "src").rglob("README.md")]
    links = [(page, target) for page in pages for target in re.findall(r"\]\(([^)#]+)", page.read_text())]

    assert [] == [
        f"{page.relative_to(ROOT)}: {target}"
        for page, target in links
        if "://" not in target and not (page.parent / target).exists()
    ]
