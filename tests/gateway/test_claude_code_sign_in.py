"""Claude Code in gateway mode on a terminal: in by `/login`, near the limit, at it, out by `/logout`."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from installation import OWNER, Browser, Installation, free_port, installed
from terminal import ENTER, ESCAPE, UP, Terminal
from tls_proxy import Papers, nginx

from .anthropic_provider import obeying
from .conftest import Provider
from .test_claude_code import claude

pytestmark = pytest.mark.claude_code
__all__ = ["claude"]


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    """Return a certificate for this machine."""
    return Papers(tmp_path / "papers")


@pytest.fixture(params=["plain", "nginx"])
async def site(
    request: pytest.FixtureRequest, provider: Provider, papers: Papers, tmp_path: Path
) -> AsyncIterator[Installation]:
    """Return a served installation, itself and behind TLS; its owner has a seat with Claude Code and a limit of $50."""
    obeying(provider)
    async with AsyncExitStack() as stack:
        settings, port = {}, free_port()
        if request.param == "nginx":
            settings["TOKENPOOL_PUBLIC_URL"] = f"https://localhost:{port}"
        found = await stack.enter_async_context(installed(tmp_path / "site", provider.url, **settings))
        if request.param == "nginx":
            await stack.enter_async_context(nginx(found.url, papers, port))
            session = await stack.enter_async_context(papers.session())
            found = replace(found, url=settings["TOKENPOOL_PUBLIC_URL"], session=session)
        seat = f"/v1/tokenpool/members/{await found.owner_id()}/seat"
        await found.call("PUT", seat, {"seat_type": "chat_claude_code"})
        await limited(found, "5000")
        yield found


async def limited(site: Installation, cents: str) -> None:
    """Set the owner's own limit."""
    scope = {"type": "user", "user_id": await site.owner_id()}
    await site.call("POST", "/v1/organizations/spend_limits", {"scope": scope, "amount": cents})


async def spend(site: Installation, dollars: int) -> None:
    """Let the owner spend elsewhere, at $20 per million tokens."""
    output = dollars * 50_000
    wanted = {"member": await site.owner_id(), "product": "claude_code", "model": "claude-opus-5-5"}
    bounds = {"max_tokens": output, "input_tokens_bound": 0}
    hold = await site.call("POST", "/v1/tokenpool/holds", {**wanted, **bounds}, kind="meter")
    await site.call("POST", f"/v1/tokenpool/holds/{hold['id']}/settle", {"usage": {"output": output}}, kind="meter")


@pytest.fixture
async def terminal(claude: Path, site: Installation, papers: Papers, tmp_path: Path) -> AsyncIterator[Terminal]:
    """Return Claude Code as somebody has just installed it, on a machine that is told which gateway to use."""
    work = tmp_path / "home" / "work"
    (tmp_path / "home" / ".claude").mkdir(parents=True)
    work.mkdir()
    gateway = {"forceLoginMethod": "gateway", "forceLoginGatewayUrl": site.url}
    (tmp_path / "home" / ".claude" / "settings.json").write_text(json.dumps(gateway))
    known = {"theme": "dark", "projects": {str(work): {"hasTrustDialogAccepted": True}}}
    (tmp_path / "home" / ".claude.json").write_text(json.dumps(known))
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home"), "TERM": "xterm-256color", "DISABLE_AUTOUPDATER": "1",
        "BROWSER": "/bin/true", "NODE_EXTRA_CA_CERTS": str(papers.authority),
    }  # fmt: skip
    found = Terminal([str(claude)], environment=environment, folder=work)
    yield found
    await found.close()


async def test_a_person_signs_in_is_warned_refused_and_signs_out(
    site: Installation, terminal: Terminal, provider: Provider, papers: Papers, tmp_path: Path
) -> None:
    """A code let in on the console, an answer, 82 % of $50, the dollars, our sentence alone; 401 after `/logout`."""
    await sign_in(terminal, site, papers)
    token = json.loads((tmp_path / "home" / ".claude" / ".credentials.json").read_text())["enterpriseGateway"]["jwt"]
    await terminal.enters("one")
    await terminal.shows("Hello there")
    await spend(site, 41)
    await terminal.enters("two")
    await terminal.shows("You've used 82% of your usage credits · resets", "12am (UTC)")
    await terminal.enters("/usage")
    await terminal.shows("82% used", "$41.00 / $50.00 spent this month")
    terminal.types(ESCAPE)
    await terminal.shows("shift+tab to cycle")
    await limited(site, "0")
    await terminal.enters("four")
    await terminal.shows("●Spending is blocked: your own monthly spend limit is $0.")
    asked = len(provider.seen)

    assert 200 == await status(site, token)
    await terminal.enters("/logout")
    async with asyncio.timeout(20):
        while await status(site, token) == 200:  # noqa: ASYNC110 - the client tells nobody
            await asyncio.sleep(0.2)
    assert (401, asked) == (await status(site, token), len(provider.seen))


async def status(site: Installation, token: str) -> int:
    """Ask for the dollars as the client does; return the status."""
    headers = {"authorization": f"Bearer {token}"}
    async with site.session.get(f"{site.url}/api/oauth/usage", headers=headers) as answer:
        return answer.status


async def sign_in(terminal: Terminal, site: Installation, papers: Papers) -> str:
    """Walk through `/login`: trust the gateway, let its code in on the console, confirm who it is."""
    await terminal.shows("Choose the text style")
    terminal.types(ENTER)
    await terminal.shows(f"Gateway: {site.url}", "Enter to connect")
    terminal.types(ENTER)
    await terminal.shows(f"Trust gateway {urlsplit(site.url).hostname}?", "No, cancel login")
    terminal.types(UP + ENTER)
    screen = await terminal.shows("confirm this code on the verification page", f"{site.url}/device")
    code = re.search(r"Code:([A-Z]{4}-[A-Z]{4})", screen)
    assert code is not None
    async with papers.session() as session:
        browser = Browser(site.url, session)
        await browser.sign_in()
        page = f"/device?user_code={code[1]}"
        done = await browser.submit("/device/decide", {"user_code": code[1], "decision": "allow"}, of=page)
        assert "The device is signed in" in await done.text()
    await terminal.shows(f"Signed in to Cloud gateway as {OWNER}", "No, cancel login")
    terminal.types(UP + ENTER)
    await terminal.shows("Connected to Cloud gateway")
    terminal.types(ENTER)
    await terminal.shows("Security notes", "Press Enter")
    terminal.types(ENTER)
    return await terminal.shows("Cloud gateway", "/effort")
