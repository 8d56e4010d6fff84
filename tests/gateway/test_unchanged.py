"""What clients may send in more than one way, and what passes as it is: every byte, in both directions."""

import io
import json
from itertools import product
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tokenpool.metering.models import UsageEvent

from .conftest import BODY, COST, MESSAGE, USAGE, Gate, events, sse

# Written by nobody's JSON library: spaces, escapes, fields of tomorrow at the top and inside.
ODD = (
    b'{ "model":"claude-opus-5-5",  "max_tokens" : 100,"tomorrow":{"\\u00e8": [1e2, null]},\n'
    b'\t"inference_geo": "global", "messages": [{"role": "user", "content": [{"type": "text", "text": '
    b'"Perch\\u00e9 \xf0\x9f\x98\x80", "mood": "curious"}]}], "stream" : %s }\r\n'
)
SENT: dict[str, dict[str, str]] = {
    "api key": {"x-api-key": "{}"},
    "bearer": {"authorization": "Bearer {}"},
    "bearer in small letters": {"Authorization": "bearer {}"},
}
VERSIONS = ("2023-01-01", "2023-06-01")
PINGED = [
    events()[0],
    sse("ping"),
    b": a comment that keeps the connection open\n\n",
    *events()[1:3],
    b'event: ping\r\ndata: {"type": "ping"}\r\n\r\n',
    b'event: tomorrow\ndata: {"type": "tomorrow", "usage_like": {"output_tokens": 9000}}\n\n',
    *events()[3:],
]


async def ask(gate: Gate, body: bytes, *, query: str = "", headers: dict[str, str]) -> tuple[int, bytes]:
    """Send *body* as it is; return the status and the bytes of the answer."""
    sent = {"content-type": "application/json", **headers}
    async with gate.session.post(f"{gate.url}/v1/messages{query}", data=io.BytesIO(body), headers=sent) as answer:
        return answer.status, await answer.read()


@pytest.mark.parametrize(("how", "version", "query"), [*product(SENT, VERSIONS, ("", "?beta=true"))])
async def test_both_credentials_both_versions_and_beta_in_every_combination(
    gate: Gate, how: str, version: str, query: str
) -> None:
    """Whole and streamed: the body byte by byte, version and query as sent, one bill each."""
    headers = {name: value.format(gate.key) for name, value in SENT[how].items()}
    whole = b' {"usage" :' + json.dumps(USAGE).encode() + b', "id":"msg_1","type":"message", "tomorrow": [ ] }\n'

    async def script(request: web.Request) -> web.StreamResponse:
        return web.Response(body=whole, content_type="application/json")

    gate.provider.script = script
    told = [await ask(gate, ODD % b"false", query=query, headers={**headers, "anthropic-version": version})]
    gate.provider.streams(events())
    told.append(await ask(gate, ODD % b"true", query=query, headers={**headers, "anthropic-version": version}))

    assert [(200, whole), (200, b"".join(events()))] == told
    for (path, seen, body), stream in zip(gate.provider.seen, (b"false", b"true"), strict=True):
        assert (f"/v1/messages{query}", version, ODD % stream) == (path, seen["anthropic-version"], body)
        assert "the provider's own key" == seen["x-api-key"]
        assert gate.key not in str(seen)
    assert [COST, COST] == list(UsageEvent.objects.values_list("cost_nano", flat=True))


async def test_a_client_that_names_no_version_is_given_the_newest(gate: Gate) -> None:
    """As curl: the provider asks for one."""
    gate.provider.answers()

    assert 200 == (await gate.post()).status
    assert "2023-06-01" == gate.provider.seen[0][1]["anthropic-version"]


async def test_any_list_of_betas_goes_along_in_its_order(gate: Gate) -> None:
    """Known and unknown, in one header or in several."""
    gate.provider.answers()
    headers = [("x-api-key", gate.key), ("anthropic-beta", "claude-code-20250219,tomorrow-2027-01-01")]
    headers += [("anthropic-beta", "context-management-2025-06-27"), ("content-type", "application/json")]

    async with gate.session.post(f"{gate.url}/v1/messages", json=BODY, headers=headers) as answer:
        assert 200 == answer.status

    expected = "claude-code-20250219,tomorrow-2027-01-01, context-management-2025-06-27"
    assert expected == gate.provider.seen[0][1]["anthropic-beta"]


async def test_pings_comments_and_events_of_tomorrow_pass_and_cost_nothing(gate: Gate) -> None:
    """Byte by byte, and the bill is the answer's."""
    gate.provider.streams(PINGED, pause=0.002)

    told = await ask(gate, ODD % b"true", headers={"x-api-key": gate.key})

    assert (200, b"".join(PINGED)) == told
    assert (COST, "") == (UsageEvent.objects.get().cost_nano, UsageEvent.objects.get().flags)


async def test_a_ping_leaves_when_it_comes(gate: Gate) -> None:
    """Long before there is anything to read: the client sees it while the provider still thinks."""
    gate.provider.streams([events()[0], sse("ping")], then="stall")
    headers = {"x-api-key": gate.key}

    answer: aiohttp.ClientResponse = await gate.session.post(
        f"{gate.url}/v1/messages", json={**BODY, "stream": True}, headers=headers
    )
    heard = await answer.content.readuntil(b'"ping"}\n\n')

    assert events()[0] + sse("ping") == heard
    answer.close()
    await gate.at_rest()


@pytest.mark.parametrize("field", ["tomorrow", "store", "n"])
@pytest.mark.parametrize("value", [None, 7, "x", [1], {"a": {"b": []}}])
async def test_a_field_that_nobody_knows_passes_with_any_value(gate: Gate, field: str, value: Any) -> None:
    """Also beside the blocks and in the answer."""
    told = {**MESSAGE, "usage": {**USAGE, field: value}, field: value}

    async def script(_: web.Request) -> web.StreamResponse:
        return web.json_response(told)

    gate.provider.script = script
    answer = await gate.post({field: value})

    assert (200, told) == (answer.status, await answer.json())
    assert value == json.loads(gate.provider.seen[0][2])[field]
