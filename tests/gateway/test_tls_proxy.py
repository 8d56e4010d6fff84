"""Real clients behind a TLS proxy: a small one of the tests' own, and nginx as docs/deployment.md sets it up."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import httpx2
import openai
import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright, expect

from installation import OWNER, PASSWORD, Browser, Installation, free_port, installed
from tls_proxy import BARE, Papers, nginx, relay
from tokenpool.metering.models import UsageEvent

from . import anthropic_provider, openai_provider
from .conftest import BODY, COST, Gate, Provider, events
from .openai_provider import CHAT_BODY
from .test_claude_code import claude, say_hi
from .test_sdk import BILLED, PRESENT, SERVED, TYPESCRIPT, python, told, typescript

__all__ = ["claude"]
PROXIES = {"relay": relay, "nginx": nginx, "nginx, bare": partial(nginx, server=BARE)}
RELAY, DOCUMENTED, UNTOLD = "relay", "nginx", "nginx, bare"


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Return a certificate for this machine."""
    return Papers(tmp_path_factory.mktemp("tls") / "papers")


@pytest.fixture(params=[RELAY, DOCUMENTED])
async def address(request: pytest.FixtureRequest, gate: Gate, papers: Papers) -> AsyncIterator[str]:
    """Return the gateway's address behind a proxy."""
    port = free_port()
    async with PROXIES[request.param](gate.url, papers, port):
        yield f"https://localhost:{port}"


@pytest.fixture
async def sdk(gate: Gate, address: str, papers: Papers) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Return Anthropic's SDK at that address; it asks once."""
    http = anthropic.DefaultAsyncHttpxClient(verify=papers.trusting)
    async with anthropic.AsyncAnthropic(base_url=address, api_key=gate.key, max_retries=0, http_client=http) as found:
        yield found


async def test_anthropics_sdk_is_served_whole_and_streamed(gate: Gate, sdk: anthropic.AsyncAnthropic) -> None:
    """Two answers, two bills of the same cost."""
    gate.provider.answers()
    whole = await sdk.messages.create(**BODY)
    gate.provider.streams(events())
    async with sdk.messages.stream(**BODY) as stream:
        streamed = await stream.get_final_message()

    assert ["Hello there"] * 2 == [message.content[0].text for message in (whole, streamed)]  # type: ignore[union-attr]
    assert [COST] * 2 == list(UsageEvent.objects.values_list("cost_nano", flat=True))


@pytest.mark.sdks
@pytest.mark.parametrize("program", [(python, PRESENT), (typescript, TYPESCRIPT)], ids=["Python", "TypeScript"])
async def test_the_sdks_are_served_as_without_a_proxy(gate: Gate, address: str, papers: Papers, program: Any) -> None:
    """Everything that `test_sdk` asks of them: tools, counting, models, an overload, errors, a stream that breaks."""
    anthropic_provider.obeying(gate.provider)
    trusting = {"SSL_CERT_FILE": str(papers.authority), "NODE_EXTRA_CA_CERTS": str(papers.authority)}

    assert SERVED == (await told(program[0](program[1]), replace(gate, url=address), "served", **trusting))[1]
    assert ([COST] * BILLED) == list(UsageEvent.objects.filter(flags="").values_list("cost_nano", flat=True))


@pytest.mark.claude_code
async def test_claude_code_is_served(claude: Path, gate: Gate, address: str, papers: Papers, tmp_path: Path) -> None:
    """In print mode, with a key; its long prompt passes and its session is on the hold."""
    gate.provider.streams(events("Hello there"))
    trusting = {"ANTHROPIC_BASE_URL": address, "NODE_EXTRA_CA_CERTS": str(papers.authority)}

    code, said = await say_hi(claude, gate, tmp_path, **trusting)

    assert (0, "Hello there") == (code, said.strip())
    assert 36 == len((await gate.at_rest()).session_id)


async def test_openais_sdk_is_served_whole_and_streamed(bilingual: Gate, address: str, papers: Papers) -> None:
    """The same in the other format."""
    http = openai.DefaultAsyncHttpxClient(verify=papers.trusting)
    base = f"{address}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key=bilingual.key, max_retries=0, http_client=http) as client:
        whole = await client.chat.completions.create(**CHAT_BODY)
        stream = await client.chat.completions.create(**CHAT_BODY, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]

    assert ("Hello there", "Hello there") == (whole.choices[0].message.content, "".join(pieces))
    assert [openai_provider.COST] * 2 == list(UsageEvent.objects.values_list("cost_nano", flat=True))


@pytest.mark.parametrize("address", [RELAY, DOCUMENTED, UNTOLD], indirect=True)
async def test_every_event_leaves_at_once(gate: Gate, sdk: anthropic.AsyncAnthropic) -> None:
    """The provider writes its next event when the client has read the one before; so does an nginx that buffers."""
    read = [asyncio.Event() for _ in events()]

    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event, is_read in zip(events(), read, strict=True):
            await response.write(event)
            await asyncio.wait_for(is_read.wait(), 5)
        return response

    gate.provider.script = script
    number = 0
    async for _ in await sdk.messages.create(**BODY, stream=True):
        read[number].set()
        number += 1

    assert len(read) == number
    assert [COST] == list(UsageEvent.objects.values_list("cost_nano", flat=True))


async def test_who_leaves_a_stream_closes_the_provider(gate: Gate, sdk: anthropic.AsyncAnthropic) -> None:
    """While nothing more comes; the hold ends with an estimate of what had come."""
    closed = asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events()[:3]:
            await response.write(event)
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - tells nobody
            await asyncio.sleep(0.01)
        closed.set()
        return response

    gate.provider.script = script
    stream = await sdk.messages.create(**BODY, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await asyncio.wait_for(closed.wait(), 5)

    assert "settled" == (await gate.at_rest()).state
    assert ["estimated client_gone"] == list(UsageEvent.objects.values_list("flags", flat=True))
    assert 0 == gate.account()[1]


async def test_a_stream_that_breaks_does_not_look_whole(gate: Gate, sdk: anthropic.AsyncAnthropic) -> None:
    """The client is told by the connection, as without a proxy."""
    gate.provider.streams(events()[:3], then="reset")

    with pytest.raises(httpx2.RemoteProtocolError):
        _ = [event async for event in await sdk.messages.create(**BODY, stream=True)]

    assert ["estimated upstream_lost"] == list(UsageEvent.objects.values_list("flags", flat=True))


async def test_a_long_prompt_passes(gate: Gate, sdk: anthropic.AsyncAnthropic) -> None:
    """Five million bytes, which nginx by itself refuses with a page."""
    gate.provider.answers()
    prompt: Any = [{"role": "user", "content": "long " * 1_000_000}]

    await sdk.messages.create(**{**BODY, "messages": prompt})

    assert 5_000_000 < len(gate.provider.seen[0][2])


@pytest.mark.parametrize("address", [DOCUMENTED], indirect=True)
async def test_what_is_too_large_is_refused_in_our_words(gate: Gate, sdk: anthropic.AsyncAnthropic) -> None:
    """33 MiB: our envelope instead of nginx's page; 9 KiB of the provider's headers pass."""
    prompt: Any = [{"role": "user", "content": "x" * 33 * 2**20}]
    with pytest.raises(anthropic.APIStatusError, match=r"larger than 32 MiB") as refused:
        await sdk.messages.create(**{**BODY, "messages": prompt})
    gate.provider.answers(**{"x-long": "x" * 9_216})
    answer = await sdk.messages.with_raw_response.create(**BODY)

    assert (413, 9_216) == (refused.value.status_code, len(answer.headers["x-long"]))


async def test_the_body_may_wait_for_a_hundred(gate: Gate, address: str, papers: Papers) -> None:
    """`Expect: 100-continue`, as curl sends it before large bodies."""
    gate.provider.answers()
    async with papers.session() as session:
        headers = {"x-api-key": gate.key, "content-type": "application/json"}
        url = f"{address}/v1/messages"
        async with session.post(url, data=json.dumps(BODY).encode(), headers=headers, expect100=True) as answer:
            assert 200 == answer.status


@pytest.fixture(params=[RELAY, DOCUMENTED])
async def site(
    request: pytest.FixtureRequest, provider: Provider, papers: Papers, tmp_path: Path
) -> AsyncIterator[tuple[Installation, str]]:
    """Return a whole installation, and its public address behind a proxy."""
    port = free_port()
    public = f"https://localhost:{port}"
    async with (
        installed(tmp_path / "site", provider.url, TOKENPOOL_PUBLIC_URL=public) as found,
        PROXIES[request.param](found.url, papers, port),
    ):
        yield found, public


async def ask_for_a_code(session: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    """Ask as a device does, telling a false address; return the status and the answer."""
    told = {"x-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.9", "forwarded": "for=203.0.113.9"}
    form = {"content-type": "application/x-www-form-urlencoded", **told}
    async with session.post(f"{url}/oauth/device_authorization", data=b"client_id=x", headers=form) as answer:
        return answer.status, await answer.json()


async def test_the_console_and_its_addresses(site: tuple[Installation, str], papers: Papers) -> None:
    """A form passes from the public origin alone, cookies are for TLS, the audit has the true address."""
    installation, public = site
    async with papers.session("127.0.0.7") as session:
        status, device = await ask_for_a_code(session, public)
        browser = Browser(public, session)
        await browser.sign_in()
        page = f"/device?user_code={device['user_code']}"
        decision = {"user_code": device["user_code"], "decision": "deny"}
        stranger = {"origin": "https://localhost:1", "referer": "https://localhost:1/"}
        async with session.post(f"{public}/device/decide", data=decision, headers=stranger) as refused:
            assert 403 == refused.status
        done = await browser.submit("/device/decide", decision, of=page)
        cookies = {cookie.key: bool(cookie["secure"]) for cookie in session.cookie_jar}

    path = "/v1/compliance/activities"
    noted = [
        one for one in (await installation.call("GET", path, kind="compliance"))["data"] if "127.0.0.7" in str(one)
    ]
    assert (200, 200) == (status, done.status)
    assert device["verification_uri"] == f"{public}/device"
    assert {"sessionid": True, "csrftoken": True} == cookies
    assert 1 == len(noted)
    assert "203.0.113.9" not in str(noted)


async def test_what_an_address_may_do_goes_by_the_true_one(site: tuple[Installation, str], papers: Papers) -> None:
    """A hundred codes wait for one address, whatever it says of itself, with and without proxy; another is served."""
    installation, public = site
    async with papers.session("127.0.0.7") as one, papers.session("127.0.0.8") as other:
        asked = [(await ask_for_a_code(one, public))[0] for _ in range(101)]
        answered = (await ask_for_a_code(other, public))[0]
        past_it = (await ask_for_a_code(one, installation.url))[0]

    assert [200] * 100 + [429] == asked
    assert (200, 429) == (answered, past_it)


async def test_pages_of_a_host_of_our_own_ask_for_https_for_a_year(provider: Provider, tmp_path: Path) -> None:
    """When they came by https, as the proxy says; a page that did not cannot ask."""
    public = "https://tokenpool.example.com"
    async with installed(tmp_path / "site", provider.url, TOKENPOOL_PUBLIC_URL=public) as site:
        asked = []
        for scheme in ("https", "http"):
            headers = {"host": "tokenpool.example.com", "x-forwarded-proto": scheme}
            async with site.session.get(f"{site.url}/accounts/login/", headers=headers) as page:
                asked.append((page.status, page.headers.get("strict-transport-security")))

    assert [(200, "max-age=31536000"), (200, None)] == asked


@pytest.mark.browser
async def test_a_browser_signs_in_changes_a_seat_type_and_sees_a_request(
    site: tuple[Installation, str], provider: Provider, papers: Papers
) -> None:
    """Chromium: a form, a choice that saves itself, and the Usage page's figure while it is open."""
    installation, public = site
    provider.answers()
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await (await chromium.new_context(ignore_https_errors=True, locale="en-US")).new_page()
        await sign_in_and_take_a_seat(page, public)
        seats = (await installation.call("GET", "/v1/tokenpool/members"))["data"]
        keys = f"/v1/tokenpool/members/{seats[0]['id']}/keys"
        key = (await installation.call("POST", keys, {"product": "claude_code", "name": "Laptop"}))["key"]
        await page.goto(f"{public}/usage")
        figure = page.locator(f'[data-member="{OWNER}"]').locator("data").first
        before = await figure.get_attribute("value") or ""
        async with (
            papers.session() as session,
            session.post(f"{public}/v1/messages", json=BODY, headers={"x-api-key": key}) as answer,
        ):
            assert 200 == answer.status
        await expect(figure).not_to_have_attribute("value", before, timeout=5_000)
        await chromium.close()

    assert "chat_claude_code" == seats[0]["seat_type"]


async def sign_in_and_take_a_seat(page: Page, public: str) -> None:
    """Sign in as the owner and choose a seat type on the Members page."""
    await page.goto(f"{public}/usage")
    await page.fill("[name=login]", OWNER)
    await page.fill("[name=password]", PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("h1")).to_have_text("Usage")
    await page.goto(f"{public}/members")
    await page.locator(f'[data-member="{OWNER}"] [name=seat_type]').select_option("chat_claude_code")
    await expect(page.locator(".toast").last).to_be_visible()
