"""Claude Code itself, headless, through the gateway: opt-in (`pytest -m claude_code`); npm installs 380 MB for it."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from tokenpool.limits.models import Hold

from .conftest import Gate, events

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".cache" / "claude-code"
BINARY = FOLDER / "node_modules" / "@anthropic-ai" / "claude-code-linux-x64" / "claude"
VERSION = "2.1.330"
pytestmark = pytest.mark.claude_code


@pytest.fixture(scope="module")
def claude() -> Path:
    """Return the binary, installing it when it is not there."""
    if not BINARY.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        install = ["npm", "i", "--ignore-scripts", "--force", "--no-audit", f"@anthropic-ai/claude-code@{VERSION}"]
        subprocess.run(install, cwd=FOLDER, check=True)
    return BINARY


async def say_hi(claude: Path, gate: Gate, home: Path) -> tuple[int, str]:
    """Run it once; return its exit code and what a person sees."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": gate.url,
        "ANTHROPIC_AUTH_TOKEN": gate.key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    process = await asyncio.create_subprocess_exec(
        str(claude), "-p", "hi", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env=environment, cwd=home,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def test_claude_code_gets_its_answer(claude: Path, gate: Gate, tmp_path: Path) -> None:
    """128,000 tokens, thinking, its beta list: one request, one event, its session on it."""
    gate.provider.streams(events("Hello there"))

    code, said = await say_hi(claude, gate, tmp_path)

    assert (0, "Hello there") == (code, said.strip())
    hold = Hold.objects.get()
    assert ("settled", 128_000, 36) == (hold.state, hold.max_output, len(hold.session_id))


async def test_claude_code_stops_at_a_limit_after_one_attempt(claude: Path, gate: Gate, tmp_path: Path) -> None:
    """It shows our sentence and asks nobody again."""
    gate.org.limit("organization", 0)

    code, said = await say_hi(claude, gate, tmp_path)

    assert 1 == code
    assert "Spending is blocked: your organization's monthly spend limit is $0. Ask Ada Rossi" in said
    assert [] == gate.provider.seen
