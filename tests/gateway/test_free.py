"""What costs nothing: whoever asks for models gets those of the format that they speak, of all its providers."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tokenpool.gateway.origins import Origin
from tokenpool.gateway.upstream import Upstream
from tokenpool.gateway.upstreams import Upstreams

from .conftest import Gate

ANTHROPIC = {"anthropic-version": "2023-06-01"}


def told(*names: str) -> list[dict[str, Any]]:
    """Return models as a provider tells them."""
    return [{"id": name, "object": "model"} for name in names]


LISTS = {
    "/claude/v1/models?limit=1000": told("claude-opus-5-5", "gpt-5"),
    "/fable/v1/models?limit=1000": told("claude-fable-5", "claude-opus-5-5"),
    "/openai/v1/models": told("gpt-5", "o3", "davinci"),
    "/ours/v1/models": told("our-model", "gpt-5"),
}


@pytest.fixture
def four(gate: Gate) -> Gate:
    """Return a gateway with two providers of each format."""

    async def script(request: web.Request) -> web.StreamResponse:
        if request.path_qs not in LISTS:
            return web.json_response({"path": request.path_qs, "id": "one"})
        return web.json_response({"data": LISTS[request.path_qs]})

    def upstream(name: str, speaks: str, *models: str) -> Upstream:
        base = f"{gate.provider.url}/{name}{'/v1' if speaks == 'openai' else ''}"
        return Upstream(name=name, url=base, api_key="k", speaks=speaks, models=models)

    gate.provider.script = script
    gate.parts.upstreams = Upstreams(
        [
            upstream("fable", "anthropic", "claude-fable-*"),
            upstream("claude", "anthropic", "claude-*"),
            upstream("openai", "openai", "gpt-*", "o[0-9]*"),
            upstream("ours", "openai", "our-*"),
        ]
    )
    return gate


async def get(gate: Gate, path: str, **headers: str) -> aiohttp.ClientResponse:
    """Ask with a bearer token, as both SDKs now do."""
    answer = await gate.session.get(gate.url + path, headers={"authorization": f"Bearer {gate.key}", **headers})
    await answer.read()
    return answer


async def test_the_lists_of_a_format_are_one(four: Gate) -> None:
    """By the version header that Anthropic's SDK sends; each model once, of the provider that would serve it."""
    anthropic, openai = await get(four, "/v1/models", **ANTHROPIC), await get(four, "/v1/models")

    claude = ["claude-fable-5", "claude-opus-5-5"]
    ends = {"has_more": False, "first_id": claude[0], "last_id": claude[1]}
    assert {"data": told(*claude), **ends} == await anthropic.json()
    assert {"object": "list", "data": told("gpt-5", "o3", "our-model")} == await openai.json()
    assert anthropic.headers["request-id"] != openai.headers["x-request-id"]


async def test_a_provider_that_does_not_answer_is_left_out(four: Gate) -> None:
    """Also one that answers nonsense; when nobody answers, 502."""
    for one in four.parts.upstreams._upstreams:
        if one.name == "openai":
            one.origin = Origin("http://127.0.0.1:1/v1", internal=False)
    assert told("our-model") == (await (await get(four, "/v1/models")).json())["data"]

    for text, status in (("[7", 200), ('{"data": 7}', 200), ("[]", 200), ("{}", 500)):

        async def script(_: web.Request, text: str = text, status: int = status) -> web.StreamResponse:
            return web.Response(text=text, status=status)

        four.provider.script = script
        answered = await get(four, "/v1/models")
        assert (502, "No provider told its models.") == (answered.status, (await answered.json())["error"]["message"])


async def test_one_model_is_told_by_its_provider(four: Gate) -> None:
    """In either format; the path below the base address is the format's."""
    for model, headers, path in (
        ("claude-fable-5", ANTHROPIC, "/fable/v1/models/claude-fable-5"),
        ("claude-opus-5-5", {}, None),
        ("gpt-5", {}, "/openai/v1/models/gpt-5"),
        ("our-model", ANTHROPIC, None),
    ):
        answer = await get(four, f"/v1/models/{model}", **headers)
        assert (200 if path else 400) == answer.status
        if path:
            assert path == (await answer.json())["path"]


async def test_the_only_list_passes_as_it_is(gate: Gate) -> None:
    """With its query, whoever asks: there is one format then."""

    async def script(request: web.Request) -> web.StreamResponse:
        return web.json_response({"path": request.path_qs, "more": True})

    gate.provider.script = script

    for headers in (ANTHROPIC, {}):
        answer = await get(gate, "/v1/models?limit=7&after_id=x", **headers)
        assert {"path": "/v1/models?limit=7&after_id=x", "more": True} == await answer.json()


async def test_counting_goes_to_the_provider_of_the_model(four: Gate) -> None:
    """400 with the field when there is no model, or none that serves it."""

    async def count(body: dict[str, Any]) -> aiohttp.ClientResponse:
        answer = await four.session.post(
            f"{four.url}/v1/messages/count_tokens", json=body, headers={"x-api-key": four.key}
        )
        await answer.read()
        return answer

    fine, none, other = await count({"model": "claude-fable-5"}), await count({}), await count({"model": "gpt-5"})

    assert "/fable/v1/messages/count_tokens" == (await fine.json())["path"]
    assert [200, 400, 400] == [fine.status, none.status, other.status]
    assert "model: must be the name of a model." == (await none.json())["error"]["message"]
    assert json.dumps({"model": "claude-fable-5"}).encode() == four.provider.seen[0][2]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/claude-opus-5-5"])
async def test_head_is_answered_without_a_body(gate: Gate, path: str) -> None:
    """The provider is asked with GET: behind a HEAD a length would announce a body that never comes."""

    async def script(request: web.Request) -> web.StreamResponse:
        return web.json_response({"method": request.method})

    gate.provider.script = script
    async with asyncio.timeout(3), gate.session.head(gate.url + path, headers={"x-api-key": gate.key}) as answer:
        assert (200, str(len('{"method": "GET"}'))) == (answer.status, answer.headers["content-length"])
        assert b"" == await answer.read()
