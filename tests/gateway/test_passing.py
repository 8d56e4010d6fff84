"""Other paths of a provider: refused with the reason, passed unchanged where the operator lists them."""

import asyncio
from typing import Any

import aiohttp
import anthropic
import pytest
from aiohttp import web

from tokenpool.gateway.provider_paths import WORDS, Cost, cost_of
from tokenpool.limits.models import Hold

from .conftest import Gate

FORMATS = ("anthropic", "openai")


async def ask(gate: Gate, method: str, path: str, data: Any = None, **headers: str) -> aiohttp.ClientResponse:
    """Ask for a path as it is written, and read the answer."""
    sent = {"x-api-key": gate.key, "anthropic-version": "2023-06-01", **headers}
    url = aiohttp.client.URL(gate.url + path, encoded=True)
    answer = await gate.session.request(method, url, data=data, headers=sent)
    await answer.read()
    return answer


def let_pass(gate: Gate, *words: str) -> None:
    """Let the operator have listed *words* for the provider."""
    gate.parts.upstreams.speaking("anthropic")[0].passes = words


@pytest.mark.parametrize("word", sorted(WORDS))
async def test_a_path_that_is_not_listed_is_refused_with_the_reason(gate: Gate, word: str) -> None:
    """In every method, at every depth, in the sentence of its kind; the provider is not asked."""
    let_pass(gate, "nothing")
    cost = next(cost for cost in (cost_of([word], one) for one in FORMATS) if cost is not Cost.UNKNOWN)

    for method, path in (("GET", f"{word}/x_1"), ("POST", f"{word}/a"), ("DELETE", word)):
        answer = await ask(gate, method, f"/v1/{path}?limit=1")
        error = (await answer.json())["error"]
        assert (404, "not_found_error", "false") == (answer.status, error["type"], answer.headers["x-should-retry"])
        assert f"{method} /v1/{path} is not served here: {cost.value}" == error["message"]
    assert [] == gate.provider.seen


async def test_a_listed_path_passes_unchanged(gate: Gate) -> None:
    """Method, rest of the path, query, body and its type; the provider's key instead of ours; nothing is held."""
    let_pass(gate, "files")

    async def script(request: web.Request) -> web.StreamResponse:
        headers = {"anthropic-organization-id": "o", "content-disposition": "attachment"}
        return web.Response(body=bytes(range(256)), content_type="application/x-own", status=201, headers=headers)

    gate.provider.script = script
    body = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n\x00\xff\r\n--x--\r\n'
    kind = "multipart/form-data; boundary=x"

    answer = await ask(
        gate, "POST", "/v1/files/file_01/content?beta=true&after_id=%20a", body,
        **{"content-type": kind, "anthropic-beta": "files-api-2025-04-14", "cookie": "c"},
    )  # fmt: skip

    path, headers, sent = gate.provider.seen[0]
    assert (201, bytes(range(256))) == (answer.status, await answer.read())
    assert ("application/x-own", "attachment") == (
        answer.headers["content-type"],
        answer.headers["content-disposition"],
    )
    assert answer.headers["request-id"].startswith("req_")
    assert "anthropic-organization-id" not in answer.headers
    assert ("/v1/files/file_01/content?beta=true&after_id=%20a", body) == (path, sent)
    assert (kind, "files-api-2025-04-14", "the provider's own key") == (
        headers["Content-Type"],
        headers["anthropic-beta"],
        headers["x-api-key"],
    )
    assert "Cookie" not in headers
    assert not Hold.objects.exists()


async def test_the_sdk_uploads_lists_and_deletes(gate: Gate) -> None:
    """2.12's own files resource."""
    let_pass(gate, "files")
    facts = {
        "id": "file_1", "type": "file", "filename": "a.txt", "mime_type": "text/plain", "size_bytes": 5,
        "created_at": "2026-11-24T00:00:00Z", "downloadable": False,
    }  # fmt: skip

    async def script(request: web.Request) -> web.StreamResponse:
        told = {"POST": facts, "GET": {"data": [facts], "has_more": False, "first_id": "file_1", "last_id": "file_1"}}
        return web.json_response(told.get(request.method, {"id": "file_1", "type": "file_deleted"}))

    gate.provider.script = script
    async with anthropic.AsyncAnthropic(base_url=gate.url, api_key=gate.key) as client:
        made = await client.beta.files.upload(file=("a.txt", b"Hello", "text/plain"))
        listed = [one async for one in client.beta.files.list()]
        gone = await client.beta.files.delete("file_1")

    assert ("file_1", ["file_1"], "file_1") == (made.id, [one.id for one in listed], gone.id)
    assert b"Hello" in gate.provider.seen[0][2]


async def test_what_nobody_has_looked_at_below_a_listed_path_is_refused(gate: Gate) -> None:
    """An address that runs an agent would be billed, and no SDK has it yet."""
    let_pass(gate, "agents")

    answer = await ask(gate, "POST", "/v1/agents/a_1/run", b"{}")

    sentence = "POST /v1/agents/a_1/run is not served here: it is not known whether it can be billed."
    assert (404, sentence) == (answer.status, (await answer.json())["error"]["message"])
    assert [] == gate.provider.seen


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/%2e%2e/messages",
        "/v1/files%2f..%2fmessages",
        "/v1/files/..%2fmessages",
        "/v1/files/.%2e/messages",
        "/v1/files//messages",
        "/v1/files/",
        "/v1/files/a%00b",
        "/v1/files/a%20b",
        "/v1/files/a%3fb",
        "/v1/files/a%5c..%5cb",
        "/v1/files/" + "a" * 1_000,
    ],
)
async def test_no_path_leads_out_of_what_is_listed(gate: Gate, path: str) -> None:
    """Neither up, nor sideways, nor by another spelling: not found, and the provider is not asked."""
    let_pass(gate, "files")

    answer = await ask(gate, "GET", path)

    assert 404 == answer.status
    assert [] == gate.provider.seen


async def test_a_listed_path_needs_a_members_key_and_its_errors_hide_the_account(gate: Gate) -> None:
    """401 without; the provider's error in its words; 502 when it is gone."""
    let_pass(gate, "skills")

    async def script(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no such skill in org-9f8e7d6c5b4a3210"}}, status=404)

    gate.provider.script = script

    nobody = await ask(gate, "GET", "/v1/skills", **{"x-api-key": "tp-chat-nobody"})
    missing = await ask(gate, "GET", "/v1/skills/s_1")

    assert (401, 404) == (nobody.status, missing.status)
    assert "no such skill in org-..." == (await missing.json())["error"]["message"]
    assert 1 == len(gate.provider.seen)


async def test_an_answer_comes_as_it_is_written_and_its_break_is_noticed(gate: Gate) -> None:
    """The first piece is here before the second is written; a reset ends the answer unfinished."""
    let_pass(gate, "files")
    more = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await more.wait()
        assert request.transport is not None
        request.transport.abort()
        return response

    gate.provider.script = script
    answer = await gate.session.get(f"{gate.url}/v1/files/f/content", headers={"x-api-key": gate.key})

    assert b"first" == await answer.content.readexactly(5)
    more.set()
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.content.read()
    answer.close()


async def test_where_both_formats_list_a_path_the_spoken_one_answers(bilingual: Gate) -> None:
    """OpenAI's files at its base address, Anthropic's at its own; one listed alone answers everybody."""

    async def script(request: web.Request) -> web.StreamResponse:
        return web.json_response({"auth": "authorization" in request.headers})

    bilingual.provider.script = script
    headers = {"authorization": f"Bearer {bilingual.key}"}
    told = []
    for words in ("files",), ():
        let_pass(bilingual, *words)
        bilingual.parts.upstreams.speaking("openai")[0].passes = ("files",)
        async with bilingual.session.get(f"{bilingual.url}/v1/files", headers=headers) as answer:
            told.append((await answer.json())["auth"])
        told.append((await (await ask(bilingual, "GET", "/v1/files")).json())["auth"])
    async with bilingual.session.post(f"{bilingual.url}/v1/images/generations", headers=headers) as refused:
        error = (await refused.json())["error"]

    assert [True, False, True, True] == told
    assert (404, "not_found_error", None) == (refused.status, error["type"], error["param"])
    assert Cost.BILLED.value in error["message"]
