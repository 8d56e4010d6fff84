"""Claude Code itself, headless, through the gateway: opt-in (`pytest -m claude_code`); npm installs 380 MB for it."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from builders import DOLLAR
from tokenpool.limits.models import Hold
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import device_tokens

from .conftest import Gate, events, sse
from .test_gateway_mode import signed_in

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


async def say_hi(claude: Path, gate: Gate, home: Path, **more: str) -> tuple[int, str]:
    """Run it once; return its exit code and what a person sees."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": gate.url,
        "ANTHROPIC_AUTH_TOKEN": gate.key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        **more,
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


@pytest.mark.parametrize(("limit", "served"), [(1, 5), (5, 31)])
async def test_clamping_keeps_the_last_dollars_usable(
    claude: Path, gate: Gate, tmp_path: Path, limit: int, served: int
) -> None:
    """It asks for $3.11 a time and uses $0.15: one is served at $0.38 left, the next refused at $0.23."""
    scope = f"member:{gate.org.elena.member_id}"
    gate.org.limit(scope, limit, "each")
    usage = {"input_tokens": 500, "cache_read_input_tokens": 9_500, "output_tokens": 7_500}
    cost = 500 * 4_000 + 9_500 * 200 + 7_500 * 20_000
    gate.provider.streams(events("Hello there", usage))
    for _ in range(served - 5):  # the first dollars need no process each
        assert 200 == (await gate.post({"max_tokens": 7_500, "stream": True})).status

    said = [await say_hi(claude, gate, tmp_path) for _ in range(6)]

    asked = [json.loads(body)["max_tokens"] for _, _, body in gate.provider.seen[-5:]]
    assert [(0, "Hello there")] * 5 == [(code, words.strip()) for code, words in said[:5]]
    assert 1 == said[5][0]
    assert f"your own monthly spend limit of ${limit}.00: $" in said[5][1]
    assert served == UsageEvent.objects.count() == len(gate.provider.seen)
    assert (served * cost, 0) == gate.account(scope)
    assert limit * DOLLAR - served * cost < 0.32 * DOLLAR
    assert 1_024 <= asked[4] < asked[3] < 128_000


async def test_a_broken_stream_is_asked_again_and_both_are_billed(claude: Path, gate: Gate, tmp_path: Path) -> None:
    """It repeats silently without streaming: two attempts, two bills, the first one by its evidence."""
    whole = [*events("Hello there")[:3], sse("error", error={"type": "overloaded_error", "message": "Overloaded"})]
    gate.provider.streams(whole)
    broken = gate.provider.script
    gate.provider.answers()
    good = gate.provider.script

    async def script(request: web.Request) -> web.StreamResponse:
        assert broken is not None
        assert good is not None
        return await (broken if json.loads(gate.provider.seen[-1][2]).get("stream") else good)(request)

    gate.provider.script = script

    code, said = await say_hi(claude, gate, tmp_path)

    assert (0, "Hello there") == (code, said.strip())
    assert [True, False] == [bool(json.loads(body).get("stream")) for _, _, body in gate.provider.seen]
    assert ["estimated upstream_error", ""] == list(UsageEvent.objects.order_by("id").values_list("flags", flat=True))
    assert gate.account()[1] == 0


async def test_signed_in_a_person_reads_our_sentence_alone(claude: Path, gate: Gate, tmp_path: Path) -> None:
    """A device's token is served, refused without a prefix, and over once revoked: one attempt each."""
    gate.provider.streams(events("Hello there"))
    token = signed_in(gate).access_token
    mode = {"CLAUDE_CODE_USE_GATEWAY": "1", "ANTHROPIC_AUTH_TOKEN": token}

    served = await say_hi(claude, gate, tmp_path, **mode)
    gate.org.limit("organization", 0)
    refused = await say_hi(claude, gate, tmp_path, **mode)
    device_tokens.sign_out(token)
    ended = await say_hi(claude, gate, tmp_path, **mode)

    assert (0, "Hello there") == (served[0], served[1].strip())
    sentence = "Spending is blocked: your organization's monthly spend limit is $0. Ask Ada Rossi"
    assert (1, True) == (refused[0], refused[1].strip().startswith(sentence))
    assert (1, True) == (ended[0], "This sign-in has ended or has expired" in ended[1])
    assert 1 == len(gate.provider.seen)
