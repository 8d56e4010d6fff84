"""The official SDKs, unchanged but for the base URL: what they are given, what they ask again, what they are refused.

`make test` has the present version and the oldest one; `pytest -m sdks` installs every version of the matrix.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tokenpool.metering.models import UsageEvent

from . import anthropic_provider
from .conftest import BODY, COST, Gate

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
SPEAKS = Path(__file__).parent / "sdks"
PRESENT, OLDEST = "2.12.0", "0.40.0"
PYTHON = (OLDEST, "0.75.0", "1.17.0", PRESENT)
TYPESCRIPT = "1.12.0"
HELLO = ["Hello there", "end_turn", 12, 7]
SENTENCE = "Spending is blocked: your organization's monthly spend limit is $0."
SERVED = {
    "whole": [HELLO, 1],
    "streamed": [HELLO, 1],
    "tool": [["weather", {"city": "Trento", "days": 3}, "tool_use", "Hello there"], 2],
    "tool, streamed": [["weather", {"city": "Trento", "days": 3}, "tool_use", "Hello there"], 2],
    "count_tokens": [9, 1],
    "models": [["claude-opus-5-5", "claude-haiku-5-5"], 1],
    "overloaded once": [HELLO, 2],
    "overloaded once, streamed": [HELLO, 2],
    "bad request": [[400, "messages.0: the provider's own words"], 1],
    "stream that breaks": [[200, "Overloaded"], 1],
}
BILLED = 8  # exactly: two hellos, two uses of a tool with their results, two after an overload


def folder_of(version: str) -> Path:
    """Return the folder that has a version of the Python SDK, installing it there when it is not."""
    folder = CACHE / f"sdk-{version}"
    if not (folder / "anthropic").exists():
        wanted = [f"anthropic=={version}"]
        if version == OLDEST:
            wanted = ["--require-hashes", "-r", str(ROOT / "requirements" / "sdk-0.40.txt")]
        install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--target", str(folder), *wanted]
        subprocess.run(install, check=True)
    return folder


def python(version: str) -> tuple[list[str], dict[str, str]]:
    """Return the program that speaks with a version of the Python SDK, and its environment."""
    path = {} if version == PRESENT else {"PYTHONPATH": str(folder_of(version))}
    return [sys.executable, str(SPEAKS / "speaks.py")], path


def typescript(version: str) -> tuple[list[str], dict[str, str]]:
    """Return the same of the TypeScript SDK."""
    folder = CACHE / f"sdk-ts-{version}"
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "i", "--ignore-scripts", "--no-audit", "--no-fund", f"@anthropic-ai/sdk@{version}"]
        subprocess.run(install, cwd=folder, check=True)
    return ["node", str(SPEAKS / "speaks.mjs"), str(folder)], {}


async def told(
    program: tuple[list[str], dict[str, str]], gate: Gate, what: str, **more: str
) -> tuple[str, dict[str, Any]]:
    """Run *program* against the gateway and return the SDK's version and what it was told."""
    command, environment = program
    process = await asyncio.create_subprocess_exec(
        *command, gate.url, gate.key, what, stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **environment, **more},
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    version, found = json.loads(out)
    return version, found


def versions() -> list[Any]:
    """Return the matrix; what `make test` does not install is opt-in."""
    kept = [pytest.param(python, version, id=version) for version in (OLDEST, PRESENT)]
    more = [(python, version, version) for version in PYTHON if version not in (OLDEST, PRESENT)]
    more.append((typescript, TYPESCRIPT, f"TypeScript {TYPESCRIPT}"))
    return kept + [pytest.param(*one, id=name, marks=pytest.mark.sdks) for *one, name in more]


@pytest.mark.parametrize(("program", "version"), versions())
async def test_every_sdk_is_served_and_stops_after_one_refusal(gate: Gate, program: Any, version: str) -> None:
    """Stream, whole, tools, counting, models, retries and errors as at the provider; a limit ends it at once."""
    anthropic_provider.obeying(gate.provider)

    served = await told(program(version), gate, "served")
    billed = sorted(UsageEvent.objects.values_list("flags", flat=True))
    exact = sum(UsageEvent.objects.filter(flags="").values_list("cost_nano", flat=True))
    gate.org.limit("organization", 0)
    before = len(gate.provider.seen)
    _, refused = await told(program(version), gate, "refused")

    assert (version, SERVED) == served
    assert ([""] * BILLED + ["estimated upstream_error"], BILLED * COST) == (billed, exact)
    assert [[429, 1], [429, 1], [9, 1]] == [
        [refused["whole"][0][0], refused["whole"][1]],
        [refused["streamed"][0][0], refused["streamed"][1]],
        refused["count_tokens"],
    ]
    assert all(refused[name][0][1].startswith(SENTENCE) for name in ("whole", "streamed"))
    assert before + 1 == len(gate.provider.seen)
    assert gate.account()[1] == 0


async def test_the_present_sdk_is_told_the_limits_code_and_numbers(gate: Gate) -> None:
    """A RateLimitError whose details a program can read."""
    gate.org.limit("organization", 0)
    async with anthropic.AsyncAnthropic(base_url=gate.url, auth_token=gate.key) as client:
        with pytest.raises(anthropic.RateLimitError) as refused:
            await client.messages.create(**BODY)

    body = refused.value.body
    assert isinstance(body, dict)
    assert ("tokenpool_organization_limit_reached", "0.00", "0.00") == tuple(
        body["error"]["details"][name] for name in ("error_code", "limit", "left")
    )


def test_what_was_tried_stands_in_the_docs() -> None:
    """Every version of the matrix has its row."""
    text = (ROOT / "docs" / "gateway.md").read_text()

    assert [] == [version for version in (*PYTHON, TYPESCRIPT) if f"| {version} | yes | yes | yes |" not in text]
