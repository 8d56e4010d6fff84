"""The official SDKs, unchanged but for the base URL: stream, whole, and a refusal after exactly one attempt."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import anthropic
import pytest

from .conftest import BODY, COST, Gate, events

ROOT = Path(__file__).parent.parent.parent
OLD = ROOT / ".cache" / "sdk-0.40"
SCRIPT = """
import anthropic, json, sys
client = anthropic.Anthropic(base_url=sys.argv[1], api_key=sys.argv[2])
body = json.loads(sys.argv[3])
whole = client.messages.create(**body)
with client.messages.stream(**body) as stream:
    text = stream.get_final_text()
print(json.dumps([anthropic.__version__, whole.content[0].text, text]))
"""
REFUSED = """
import anthropic, json, sys
client = anthropic.Anthropic(base_url=sys.argv[1], api_key=sys.argv[2])
try:
    client.messages.create(**json.loads(sys.argv[3]))
except anthropic.RateLimitError as error:
    print(json.dumps([error.status_code, error.body["error"]["message"]]))
"""


def by_body(gate: Gate) -> None:
    """Let the provider stream when asked to and answer whole otherwise."""
    gate.provider.answers()
    whole = gate.provider.script
    gate.provider.streams(events())
    streamed = gate.provider.script
    assert whole is not None
    assert streamed is not None

    async def script(request: object) -> object:
        wants = json.loads(gate.provider.seen[-1][2]).get("stream")
        return await (streamed if wants else whole)(request)  # type: ignore[arg-type]

    gate.provider.script = script  # type: ignore[assignment]


async def test_the_present_sdk_streams_and_asks(gate: Gate) -> None:
    """2.12: bearer token and the newest API version."""
    by_body(gate)
    async with anthropic.AsyncAnthropic(base_url=gate.url, api_key=gate.key) as client:
        whole = await client.messages.create(**BODY)
        async with client.messages.stream(**BODY) as stream:
            final = await stream.get_final_message()

    assert ("Hello there", "Hello there", 7) == (
        whole.content[0].text,
        final.content[0].text,
        final.usage.output_tokens,
    )
    assert (2 * COST, 0) == gate.account()


async def test_the_present_sdk_stops_after_one_refusal(gate: Gate) -> None:
    """A RateLimitError with our sentence, our code and our numbers; no retry although there were two allowed."""
    gate.org.limit("organization", 0)
    asked = []
    async with anthropic.AsyncAnthropic(base_url=gate.url, api_key=gate.key) as client:
        client._client.event_hooks["request"].append(lambda request: _note(asked, request))
        with pytest.raises(anthropic.RateLimitError) as refused:
            await client.messages.create(**BODY)

    assert 1 == len(asked)
    assert "Spending is blocked: your organization's monthly spend limit is $0" in refused.value.message
    body = refused.value.body
    assert isinstance(body, dict)
    assert "tokenpool_organization_limit_reached" == body["error"]["details"]["error_code"]


async def _note(asked: list[object], request: object) -> None:
    asked.append(request)


async def test_an_old_sdk_streams_asks_and_is_refused_once(gate: Gate) -> None:
    """0.40: x-api-key and the first API version; installed beside the environment, from its own locked list."""
    if not (OLD / "anthropic").exists():
        install = [sys.executable, "-m", "uv", "pip", "install", "-q", "--require-hashes", "--target", str(OLD)]
        locked = str(ROOT / "requirements" / "sdk-0.40.txt")
        subprocess.run([*install, "-r", locked], check=True)  # noqa: ASYNC221 - nothing else runs yet
    by_body(gate)

    told = await _old(SCRIPT, gate)
    gate.org.limit("organization", 0)
    before = len(gate.provider.seen)
    refused = await _old(REFUSED, gate)

    assert ["0.40.0", "Hello there", "Hello there"] == told
    assert (2 * COST, 0) == gate.account()
    assert 429 == refused[0]
    assert refused[1].startswith("Spending is blocked")
    assert before == len(gate.provider.seen)


async def _old(script: str, gate: Gate) -> list[str]:
    """Run *script* with the old SDK and return what it printed."""
    body = json.dumps({name: value for name, value in BODY.items() if name != "inference_geo"})  # it is too new
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(OLD)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, gate.url, gate.key, body,
        stdout=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip
    out, _ = await process.communicate()
    found: list[str] = json.loads(out)
    return found
