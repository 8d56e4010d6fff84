"""The story in a real browser: a seat type changed, three limits set, a refusal explained, the invoice read.

Told in English and in Italian against the real process with its simulated provider; every step
leaves a picture in test-artifacts/.
"""

import json
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from installation import free_port, running

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "test-artifacts"
CHROMIUM = shutil.which("chromium") or ""
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = pytest.mark.browser
ELENA = '[data-member="elena.marino@aurora.example"]'

WORDS = {
    "en": {
        "sign_in": "Sign in", "usage": "Usage", "saved": "Elena Marino: seat type saved.", "limit": "912.50",
        "read_back": "912.50", "spent": "spent", "explain": "Last refusal", "total": "Total", "binds": "binds",
        "undo": "Undo", "bad": "-1", "reason": "cannot be negative",
        "make": "Make the group", "add": "Add", "each": "Group Night shift, each member",
        "added": "1 member was added.", "delete": "Delete…", "really": "Delete the group", "goes": "Its 1 limit ends",
    },
    "it": {
        "sign_in": "Accedi", "usage": "Utilizzo", "saved": "Elena Marino: tipo di utente salvato.", "limit": "912,50",
        "read_back": "912,50", "spent": "spesi", "explain": "Ultimo rifiuto", "total": "Totale", "binds": "vincolante",
        "undo": "Annulla", "bad": "12.50", "reason": "1.250,50",
        "make": "Crea il gruppo", "add": "Aggiungi", "each": "Gruppo Night shift, ogni membro",
        "added": "1 membro aggiunto.", "delete": "Elimina…", "really": "Elimina il gruppo",
        "goes": "Il suo 1 limite cessa",
    },
}  # fmt: skip


@dataclass
class Demo:
    """A running demo."""

    url: str
    access: dict[str, Any]

    def ask(self, member: int) -> tuple[int, dict[str, Any]]:
        """Send a message with a member's key."""
        body = {"model": "claude-opus-5-5", "max_tokens": 300, "messages": [{"role": "user", "content": "Hello"}]}
        request = urllib.request.Request(
            self.url + "/v1/messages", json.dumps(body).encode(), {"x-api-key": self.access["members"][member]["key"]}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Return a demo for the whole story."""
    folder, port = tmp_path_factory.mktemp("demo"), free_port()
    url = f"http://127.0.0.1:{port}"
    with running("demo", "--port", str(port), "--data", str(folder), url=url):
        yield Demo(url, json.loads((folder / "access.json").read_text()))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Return Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def signed_in(chromium: Browser, demo: Demo, language: str, **looks: Any) -> Page:
    """Return a page of the owner's, signed in; a page error or a refused resource fails the test."""
    context = chromium.new_context(
        locale={"en": "en-US", "it": "it-IT"}[language], **{"viewport": {"width": 1280, "height": 900}, **looks}
    )
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"page error: {error}"))
    page.on("console", lambda message: _quiet(message.type, message.text))
    page.goto(demo.url + "/usage")
    page.fill("[name=login]", demo.access["owner"]["email"])
    page.fill("[name=password]", demo.access["owner"]["password"])
    page.get_by_role("button", name=WORDS[language]["sign_in"]).click()
    expect(page.locator("h1")).to_have_text(WORDS[language]["usage"])
    return page


def _quiet(kind: str, text: str) -> None:
    """Fail on what the content policy refuses; answers to bad input are expected to be logged by the browser."""
    assert kind != "error" or "Content Security Policy" not in text, text


def picture(page: Page, name: str) -> None:
    """Keep a screenshot."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=str(ARTIFACTS / f"{name}.png"))


@pytest.mark.parametrize("language", ["en", "it"])
def test_an_owners_morning(demo: Demo, chromium: Browser, language: str) -> None:
    """The whole story, step by step, in one sitting."""
    page = signed_in(chromium, demo, language)
    picture(page, f"usage-{language}")
    see_a_request_arrive(page, demo)
    set_a_limit_at_each_level(page, demo, WORDS[language])
    picture(page, f"limits-set-{language}")
    see_the_refusal_explained(page, demo, WORDS[language])
    picture(page, f"explained-{language}")
    be_told_what_is_no_amount(page, demo, WORDS[language])
    raise_the_limit_again(page, demo, WORDS[language])
    change_a_seat_type_and_undo_it(page, demo, WORDS[language])
    picture(page, f"members-{language}")
    keep_a_group(page, demo, WORDS[language])
    read_the_invoice(page, demo, WORDS[language])
    picture(page, f"invoice-{language}")
    page.context.close()


def own_limit(page: Page) -> Locator:
    """Return Elena's limit field."""
    return page.locator(f"{ELENA} [name=amount]")


def say(field: Locator, text: str) -> None:
    """Type into a field that saves itself."""
    field.fill(text)
    field.press("Enter")


def see_a_request_arrive(page: Page, demo: Demo) -> None:
    """A request just made is on the page by itself, within two polls; what was unfolded stays so."""
    spent = page.locator(ELENA).locator("data").first
    before = spent.get_attribute("value") or ""
    page.locator("#chart-table summary").click()
    page.locator("h1").click()
    assert demo.ask(0)[0] == 200
    expect(spent).not_to_have_attribute("value", before, timeout=4500)
    expect(page.locator("#chart-table")).to_have_attribute("open", "")


def set_a_limit_at_each_level(page: Page, demo: Demo, words: dict[str, str]) -> None:
    """Organization, seat type and member, in the person's own way of writing amounts."""
    page.goto(demo.url + "/limits")
    for scope in ("organization", "seat_type:chat_claude_code"):
        say(page.locator(f'form.field:has([value="{scope}"]):has([value="pool"]) [name=amount]').first, words["limit"])
        expect(page.locator(".toast").last).to_be_visible()
    page.goto(demo.url + "/limits")
    field = page.locator('form.field:has([value="organization"]):has([value="pool"]) [name=amount]').first
    expect(field).to_have_value(words["limit"])
    say(field, "5")
    page.get_by_role("button", name=words["undo"]).click()
    expect(field).to_have_value(words["limit"])
    page.goto(demo.url + "/usage?q=elena")
    say(own_limit(page), "0")
    expect(page.locator(".toast").last).to_be_visible()


def see_the_refusal_explained(page: Page, demo: Demo, words: dict[str, str]) -> None:
    """The next request is refused; the panel says by which limit."""
    status, refusal = demo.ask(0)
    assert (429, "tokenpool_member_limit_reached") == (status, refusal["error"]["details"]["error_code"])
    page.goto(demo.url + "/usage?q=elena")
    page.locator(f"{ELENA} td a[hx-get]").click()
    panel = page.locator("dialog[open]")
    for text in (words["explain"], "claude-opus-5-5", words["binds"]):
        expect(panel).to_contain_text(text)


def be_told_what_is_no_amount(page: Page, demo: Demo, words: dict[str, str]) -> None:
    """It comes back with its reason, and the next request is refused as before."""
    page.keyboard.press("Escape")
    say(own_limit(page), words["bad"])
    expect(page.locator(".field.failed .error").first).to_contain_text(words["reason"])
    assert demo.ask(0)[0] == 429


def raise_the_limit_again(page: Page, demo: Demo, words: dict[str, str]) -> None:
    """The next request passes."""
    page.goto(demo.url + "/usage?q=elena")
    say(own_limit(page), words["limit"])
    expect(page.locator(".toast").last).to_be_visible()
    assert demo.ask(0)[0] == 200


def change_a_seat_type_and_undo_it(page: Page, demo: Demo, words: dict[str, str]) -> None:
    """Saved by itself, said so, undone; the key follows each time."""
    page.goto(demo.url + "/members?q=elena")
    seat = page.locator(f"{ELENA} select[name=seat_type]")
    seat.select_option("chat")
    expect(page.locator(".toast")).to_contain_text(words["saved"])
    assert demo.ask(0)[0] == 403
    page.get_by_role("button", name=words["undo"]).click()
    expect(seat).to_have_value("chat_claude_code")
    assert demo.ask(0)[0] == 200


def keep_a_group(page: Page, demo: Demo, words: dict[str, str]) -> None:
    """Make it, add Elena, block it: her next request is refused by its name; delete it, and the next one passes."""
    page.goto(demo.url + "/groups")
    page.locator(".form [name=name]").fill("Night shift")
    page.get_by_role("button", name=words["make"]).click()
    expect(page.locator("h1")).to_have_text("Night shift")
    page.locator("textarea").fill("Elena Marino <elena.marino@aurora.example>")
    page.get_by_role("button", name=words["add"], exact=True).click()
    expect(page.locator(".toast")).to_contain_text(words["added"])
    say(page.locator('form.field:has([value="each"]) [name=amount]').first, "0")
    expect(page.locator(".field.saved")).to_have_count(1)
    status, refusal = demo.ask(0)
    assert (429, "tokenpool_group_limit_reached") == (status, refusal["error"]["details"]["error_code"])
    assert "the Night shift group's per-member monthly spend limit is $0" in refusal["error"]["message"]
    group = page.url
    page.goto(demo.url + "/usage?q=elena")
    page.locator(f"{ELENA} td a[hx-get]").click()
    expect(page.locator("dialog[open]")).to_contain_text(words["each"])
    page.goto(group)
    page.get_by_role("link", name=words["delete"]).click()
    expect(page.locator("dialog[open]")).to_contain_text(words["goes"])
    page.get_by_role("button", name=words["really"]).click()
    expect(page.locator('[data-group="Night shift"]')).to_have_count(0)
    assert demo.ask(0)[0] == 200


def read_the_invoice(page: Page, demo: Demo, words: dict[str, str]) -> None:
    """Lines, total, annex."""
    page.goto(demo.url + "/invoices")
    page.locator("tbody a").first.click()
    expect(page.locator("tfoot")).to_contain_text(words["total"])
    expect(page.locator("details")).not_to_have_count(0)


PAGES = (
    "usage", "members", "groups", "limits", "requests", "invoices", "prices", "keys", "alerts", "audit", "settings",
    "me",
)  # fmt: skip
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 380, "height": 800}},
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_fits_its_window(demo: Demo, chromium: Browser, look: str) -> None:
    """Light, dark, and 380 pixels wide without sideways scrolling."""
    page = signed_in(chromium, demo, "en", **LOOKS[look])
    for name in PAGES:
        page.goto(f"{demo.url}/{name}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= LOOKS[look].get("viewport", {"width": 1280})["width"], name
        picture(page, f"{name}-{look}")
    page.context.close()


def test_a_form_has_an_end_whoever_sends_it(demo: Demo) -> None:
    """2,621,441 bytes that are told are 413 and not waited for."""
    with socket.create_connection(("127.0.0.1", urlsplit(demo.url).port or 0), timeout=10) as client:
        client.sendall(b"POST /oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2621441\r\n\r\n")

        assert b"HTTP/1.1 413 " == client.recv(13)


def test_the_keyboard_reaches_content_and_rows(demo: Demo, chromium: Browser) -> None:
    """The first stop skips the navigation; arrows walk the table."""
    page = signed_in(chromium, demo, "en")
    page.goto(demo.url + "/members")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("tbody tr").first.focus()
    page.keyboard.press("ArrowDown")

    assert page.evaluate("document.activeElement.dataset.member") == page.locator("tbody tr").nth(1).get_attribute(
        "data-member"
    )
    page.context.close()


def test_prices_are_found_while_typing_and_tried_without_script(demo: Demo, chromium: Browser) -> None:
    """The search answers in place; a model's history is drawn; what-if needs no JavaScript."""
    page = signed_in(chromium, demo, "en")
    page.goto(demo.url + "/prices")
    page.get_by_role("searchbox").press_sequentially("opus-5-5")
    rows = page.locator("#prices tbody tr")
    expect(rows.filter(has_text="claude-sonnet-5-5")).to_have_count(0)
    page.get_by_label("Provider").select_option("anthropic")
    expect(rows).to_have_count(1)
    rows.get_by_role("link").click()
    expect(page.locator("svg.steps path.step")).to_have_count(2)
    state = page.context.storage_state()
    page.context.close()
    plain = chromium.new_context(storage_state=state, java_script_enabled=False, locale="en-US").new_page()
    plain.goto(demo.url + "/prices/what-if")
    form = plain.locator("form", has=plain.locator('[value="prices"]'))
    form.get_by_label("Change in percent").fill("-20")
    form.get_by_role("button").click()
    expect(plain.get_by_text("the difference is")).to_be_visible()
    expect(plain.locator("p.ticks")).to_be_hidden()
    picture(plain, "what-if")
    plain.context.close()
