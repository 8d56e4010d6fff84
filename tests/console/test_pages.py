"""The pages: every one for every role, forms that change one thing, errors that change nothing."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.test import Client, override_settings

from builders import DOLLAR, Aurora, aurora
from tokenpool.audit.models import AuditEvent
from tokenpool.compliance import activity
from tokenpool.kernel import clock
from tokenpool.kernel.period import Month
from tokenpool.limits import caps, overview
from tokenpool.limits.models import Account
from tokenpool.metering import report
from tokenpool.metering.models import DailyUsage, UsageEvent
from tokenpool.organizations import members, seats
from tokenpool.organizations.models import Member, Organization, Person
from tokenpool.organizations.roles import Principal

PAGES = {
    "/usage": {"primary_owner", "owner", "billing"},
    "/me": {"primary_owner", "owner", "admin", "billing", "member"},
    "/members": {"primary_owner", "owner", "admin"},
    "/groups": {"primary_owner", "owner", "admin"},
    "/limits": {"primary_owner", "owner"},
    "/requests": {"primary_owner", "owner", "admin", "billing", "member"},
    "/invoices": {"primary_owner", "owner", "billing"},
    "/prices": {"primary_owner", "owner", "admin", "billing", "member"},
    "/prices/what-if": {"primary_owner", "owner", "billing"},
    "/prices/claude-haiku-5-5": {"primary_owner", "owner", "admin", "billing", "member"},
    "/keys": {"primary_owner", "owner", "admin", "billing", "member"},
    "/alerts": {"primary_owner", "owner", "admin", "billing", "member"},
    "/audit": {"primary_owner", "owner"},
    "/settings": {"primary_owner", "owner"},
}


@pytest.fixture
def org(database: Path) -> Aurora:
    """Return the usual organization."""
    return aurora()


def browser(who: Principal, **headers: str) -> Client:
    """Return a signed-in browser."""
    client = Client(headers={"accept-language": "en", **headers})
    client.force_login(Person.objects.get(id=Member.objects.get(id=who.member_id).person_id))
    return client


@pytest.mark.parametrize("address", PAGES)
def test_a_page_opens_for_exactly_those_who_may(org: Aurora, address: str) -> None:
    """Everybody else is told whom to ask, or sent to their own usage."""
    for role, who in org.everybody().items():
        answer = browser(who).get(address)
        if role in PAGES[address]:
            assert (200, role) == (answer.status_code, role)
        elif address == "/usage":
            assert "/me" == answer["location"]
        else:
            assert (403, role) == (answer.status_code, role)
            assert b"ask" in answer.content


@pytest.mark.parametrize("address", PAGES)
def test_a_page_is_italian_for_italians(org: Aurora, address: str) -> None:
    """By the browser; the person's own choice goes before it."""
    italian = browser(org.ada, **{"accept-language": "it"}).get(address).content.decode()
    Person.objects.filter(email="ada@aurora.example").update(language="en")
    english = browser(org.ada, **{"accept-language": "it"}).get(address).content.decode()

    assert '<html lang="it"' in italian
    assert "Impostazioni" in italian
    assert '<html lang="en"' in english
    assert "Settings" in english


def test_nobody_gets_in_without_signing_in(org: Aurora) -> None:
    """And a stranger who signs in belongs nowhere."""
    assert Client().get("/usage")["location"].startswith("/accounts/login/")
    stranger = Person.objects.create(id="person_x", email="x@x.example", name="X", created_at="2026-01-01T00:00Z")
    client = Client()
    client.force_login(stranger)
    assert 403 == client.get("/members").status_code


def test_pages_carry_a_strict_policy_and_no_inline_code(org: Aurora) -> None:
    """Nothing inline, nothing from elsewhere."""
    for address in PAGES:
        answer = browser(org.ada).get(address)
        page = answer.content.decode()
        assert "script-src 'self'; style-src 'self'" in answer["content-security-policy"]
        assert " style=" not in page
        assert "onclick" not in page
        assert "<style" not in page
        assert "https://" not in page.replace("http://127.0.0.1", "")


def test_the_drop_down_saves_by_itself_and_can_be_undone(org: Aurora) -> None:
    """The field comes back as it stands now, with an undo to what it was."""
    client = browser(org.chiara, **{"hx-request": "true"})

    saved = client.post(f"/members/{org.farid.member_id}/seat", {"seat_type": "chat_claude_code"})

    page = saved.content.decode()
    assert (200, "chat_claude_code") == (saved.status_code, Member.objects.get(id=org.farid.member_id).seat_type)
    assert 'class="field saved"' in page
    undo = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.partition("toasts")[2]))
    assert {"seat_type": "chat", "expect": "chat_claude_code"} == undo


def test_a_seat_that_somebody_else_gave_meanwhile_is_shown_and_kept(org: Aurora) -> None:
    """Ada saw Chat and takes it away; Bruno had given Claude Code: 409, who did what, and the field as it stands."""
    seats.assign(by=org.bruno, member_id=org.farid.member_id, seat_type="chat_claude_code")
    client = browser(org.ada, **{"hx-request": "true"})

    late = client.post(f"/members/{org.farid.member_id}/seat", {"seat_type": "", "expect": "chat"})

    page = late.content.decode()
    assert (409, "chat_claude_code") == (late.status_code, Member.objects.get(id=org.farid.member_id).seat_type)
    assert "bruno@aurora.example gave Farid Haddad Chat + Claude Code in the meantime" in page
    assert '<option value="chat_claude_code" selected>' in page
    assert '<input type="hidden" name="expect" value="chat_claude_code">' in page


def test_a_seat_type_that_does_not_exist_keeps_the_old_one(org: Aurora) -> None:
    """The reason stands beside the field."""
    client = browser(org.ada, **{"hx-request": "true"})

    failed = client.post(f"/members/{org.farid.member_id}/seat", {"seat_type": "gold"})

    assert (400, "chat") == (failed.status_code, Member.objects.get(id=org.farid.member_id).seat_type)
    assert "there is no “gold”" in failed.content.decode()


def test_a_seat_type_that_cannot_be_is_told_without_javascript_too(org: Aurora) -> None:
    """As a page with the reason, not as if it had been saved."""
    failed = browser(org.ada).post(f"/members/{org.farid.member_id}/seat", {"seat_type": "gold"})

    assert 400 == failed.status_code
    assert "there is no “gold”" in failed.content.decode()


@pytest.mark.parametrize(
    ("language", "typed", "nano"),
    [
        ("en", "12.50", 12_500_000_000),
        ("it", "12,50", 12_500_000_000),
        ("it", "1.250,5", 1_250_500_000_000),
        ("en", "0", 0),
        ("en", "unlimited", None),
        ("it", "illimitato", None),
    ],
)
def test_a_limit_is_read_by_the_persons_locale(org: Aurora, language: str, typed: str, nano: int | None) -> None:
    """Comma or point, words and zero."""
    client = browser(org.ada, **{"hx-request": "true", "accept-language": language})

    client.post("/limits/set", {"scope": "organization", "basis": "pool", "amount": typed, "expect": "none"})

    assert [nano] == [row.amount_nano for row in caps.standing(org.organization_id)]


@pytest.mark.parametrize("typed", ["-1", "1e18", "NaN", "12,50", "a lot", "9223372037"])
def test_what_is_no_limit_comes_back_with_the_reason_and_what_was_typed(org: Aurora, typed: str) -> None:
    """Nothing is set."""
    client = browser(org.ada, **{"hx-request": "true"})

    answer = client.post("/limits/set", {"scope": "organization", "basis": "pool", "amount": typed})

    assert (400, []) == (answer.status_code, caps.standing(org.organization_id))
    assert f'value="{typed}"' in answer.content.decode()
    assert 'role="alert"' in answer.content.decode()


def test_a_conflict_is_shown_and_loses_nothing(org: Aurora) -> None:
    """Bruno had seen no limit; Ada has set one since."""
    org.limit("organization", 9)

    answer = browser(org.bruno, **{"hx-request": "true"}).post(
        "/limits/set", {"scope": "organization", "basis": "pool", "amount": "5", "expect": "none"}
    )

    assert 409 == answer.status_code
    assert "ada@aurora.example set this limit to 9.00 dollars" in answer.content.decode()
    assert [9 * DOLLAR] == [row.amount_nano for row in caps.standing(org.organization_id)]


def test_an_undo_does_not_take_back_what_somebody_else_set_since(org: Aurora) -> None:
    """Ada sets 5 instead of 9, Bruno sets 7, Ada's undo is a conflict."""
    org.limit("organization", 9)
    client = browser(org.ada, **{"hx-request": "true"})
    saved = client.post("/limits/set", {"scope": "organization", "basis": "pool", "amount": "5"}).content.decode()
    undo = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', saved.partition("toasts")[2]))
    caps.set_limit(by=org.bruno, scope="organization", basis="pool", amount_nano=7 * DOLLAR)

    answer = client.post("/limits/set", undo)

    assert ("9.00", 409) == (undo["amount"], answer.status_code)
    assert [7 * DOLLAR] == [row.amount_nano for row in caps.standing(org.organization_id)]


def test_the_live_region_is_silent_until_a_figure_changes(org: Aurora) -> None:
    """204 while nothing moved, the figures again after a change."""
    client = browser(org.ada, **{"hx-request": "true"})
    page = client.get("/usage/live").content.decode()
    seen = page.split("seen=")[1].split('"')[0]
    quiet = client.get(f"/usage/live?seen={seen}").status_code
    org.limit("organization", 42)

    changed = client.get(f"/usage/live?seen={seen}")

    assert (204, 200) == (quiet, changed.status_code)
    assert "$42.00" in changed.content.decode()


def test_a_past_months_table_and_file_show_that_month(org: Aurora) -> None:
    """Farid's $3 of last month, not his $5 of this one; and no limit is set in the past."""
    month = Month.of(clock.now())
    for window, dollars in ((month.previous(), 3), (month, 5)):
        Account.objects.create(
            organization_id=org.organization_id, scope=f"member:{org.farid.member_id}", window_key=str(window),
            spent_nano=dollars * DOLLAR,
        )  # fmt: skip
    address = f"/usage?month={month.previous()}&sort=spent"

    page = browser(org.ada).get(address).content.decode().split('id="members"')[1]
    file = browser(org.ada).get(f"{address}&format=csv").content.decode().splitlines()

    assert '<data value="3000000000"' in page
    assert '<data value="5000000000"' not in page
    assert 'name="amount"' not in page
    assert f"{org.farid.member_id},Farid Haddad,farid@aurora.example,chat,3.00,0.00,," == file[1]


def test_what_caching_saved_is_rated_day_by_day_and_less_every_write(org: Aurora) -> None:
    """Sonnet 5.5: reads at 0.20 on 6 and 0.10 on 7 October instead of 2.00; an hour's write at 4.00: 3.70 - 2.00."""
    for day, counts in (
        ("2026-10-06", {"cache_read_tokens": 1_000_000}),
        ("2026-10-07", {"cache_read_tokens": 1_000_000, "cache_write_1h_tokens": 1_000_000}),
    ):
        DailyUsage.objects.create(
            organization_id=org.organization_id, day=day, member_id=org.elena.member_id, seat_type="chat_claude_code",
            product="claude_code", model="claude-sonnet-5-5", requests=1, **counts,
        )  # fmt: skip

    page = browser(org.ada).get("/usage?month=2026-10").content.decode()

    assert "$1.70" in page.partition("What caching saved")[2].partition("</section>")[0]


def test_a_member_sees_nobody_elses_requests(org: Aurora) -> None:
    """Neither in the list, nor by filter, nor by address."""
    at_us = clock.timestamp(Month(2026, 11).start)
    UsageEvent.objects.create(
        organization_id=org.organization_id, id="evt_elena", request_id="req_elena", member_id=org.elena.member_id,
        seat_type="chat_claude_code", product="claude_code", model="claude-opus-5-5",
        price_version="claude-opus-5-5@2026-09-22", month="2026-11", admitted_at_us=at_us, settled_at_us=at_us,
    )  # fmt: skip
    client = browser(org.farid)

    assert b"evt_elena" not in client.get(f"/requests?month=2026-11&member={org.elena.member_id}").content
    assert 404 == client.get("/requests/evt_elena").status_code
    assert 403 == client.get(f"/limits/explain/{org.elena.member_id}").status_code
    assert b"evt_elena" in browser(org.dieter).get("/requests?month=2026-11").content


def test_another_organizations_pages_are_not_found(org: Aurora) -> None:
    """Like missing ones."""
    there = aurora("Borealis", "borealis.example")
    client = browser(org.ada)

    for address in (f"/limits/explain/{there.farid.member_id}", "/requests/evt_x", "/invoices/inv_x"):
        assert 404 == client.get(address).status_code
    assert 404 == client.post(f"/members/{there.farid.member_id}/seat", {"seat_type": ""}).status_code
    assert "chat" == Member.objects.get(id=there.farid.member_id).seat_type


def test_hostile_names_stay_text(org: Aurora) -> None:
    """On every page that shows them, and in the CSV."""
    Member.objects.filter(id=org.farid.member_id).update(name='=1+1"><script>alert(1)</script>')
    client = browser(org.ada)

    for address in ("/usage", "/members", f"/limits/explain/{org.farid.member_id}"):
        assert b"<script>alert" not in client.get(address).content
    assert "'=1+1" in client.get("/members?format=csv").content.decode()


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/members/add", {"email": "nobody", "name": "N"}),
        ("/settings/change", {"refusal_status": "403"}),
        ("/settings/change", {"name": "Evil", "clamping": "off", "refusal_status": "403"}),
        ("/settings/hipaa", {"confirmation": "wrong"}),
        ("/keys/mint", {"name": "", "product": "chat"}),
        ("/me/choose", {"language": "tlh"}),
        ("/me/choose", {"theme": "pink"}),
    ],
)
def test_bad_forms_change_nothing(org: Aurora, address: str, form: dict[str, str]) -> None:
    """400, a reason, and not one audit event."""
    client = browser(org.ada)
    before = AuditEvent.objects.count()

    answer: Any = client.post(address, form)

    assert (400, before) == (answer.status_code, AuditEvent.objects.count())


@pytest.mark.parametrize("page", ["0", "-1", "x", "1000001", "000000001" + "9" * 30, "1" * 5000])
def test_a_page_that_cannot_be_is_refused(org: Aurora, page: str) -> None:
    """Named, never 500."""
    for address in ("/usage", "/usage/live", "/members"):
        answer = browser(org.ada).get(address, {"page": page})
        assert (400, True) == (answer.status_code, b"page: must be a positive number" in answer.content)


def test_a_file_has_every_row_however_many_there_are(org: Aurora, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven members, five requests and all of the audit, read two by two."""
    month = Month.of(clock.now())
    for number in range(5):
        at_us = clock.timestamp(month.start) + number
        UsageEvent.objects.create(
            organization_id=org.organization_id, id=f"evt_{number}", request_id=f"req_{number}", month=str(month),
            member_id=org.elena.member_id, seat_type="chat_claude_code", product="claude_code", model="claude-opus-5-5",
            price_version="claude-opus-5-5@2026-09-22", admitted_at_us=at_us, settled_at_us=at_us,
        )  # fmt: skip
    for module, name in ((members, "MOST"), (overview, "MOST"), (report, "MOST_EVENTS"), (activity, "MOST")):
        monkeypatch.setattr(module, name, 2)
    client = browser(org.ada)

    rows = {
        address: client.get(f"{address}?format=csv").content.decode().splitlines()[1:]
        for address in ("/members", "/usage", "/requests")
    }
    audited = client.get("/audit?format=ndjson").content.decode().splitlines()

    assert {"/members": 7, "/usage": 7, "/requests": 5} == {address: len(set(found)) for address, found in rows.items()}
    assert list(range(len(audited), 0, -1)) == [json.loads(line)["sequence"] for line in audited]


def test_a_form_acts_on_the_organization_whose_page_it_stands_on(org: Aurora) -> None:
    """Not on the one chosen in another tab since, nor on the first one after a removal from this one."""
    there = aurora("Borealis", "borealis.example")
    place = members.add(by=there.ada, email="ada@aurora.example", name="Ada", role="owner")
    client = browser(org.ada)
    client.post("/me/choose", {"organization": there.organization_id})
    page = client.get("/settings").content.decode()
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.partition('id="content"')[2]))
    headers = json.loads(html.unescape(page.partition("hx-headers='")[2].partition("'")[0]))

    client.post("/me/choose", {"organization": org.organization_id})
    plain = client.post("/settings/change", {**form, "name": "Not here"})
    client.post("/me/choose", {"organization": there.organization_id})
    members.remove(by=there.ada, member_id=place.id)
    by_htmx = client.post("/settings/change", {"name": "Not here"}, headers={**headers, "hx-request": "true"})

    assert (409, 409) == (plain.status_code, by_htmx.status_code)
    assert {"Aurora Ltd", "Borealis"} == set(Organization.objects.values_list("name", flat=True))


def test_a_form_from_another_site_is_refused(org: Aurora) -> None:
    """No token, no change."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(Person.objects.get(email="ada@aurora.example"))

    assert 403 == client.post("/settings/change", {"name": "Evil"}).status_code
    assert "Aurora Ltd" == Organization.objects.get().name


def test_a_limit_that_cannot_be_has_no_history(org: Aurora) -> None:
    """No page without a name for an address that was cut or mistyped."""
    asked = ("", "?scope=organization", "?scope=foo&basis=pool", "?scope=organization&basis=pool")

    answers = [browser(org.ada).get(f"/limits/history{words}").status_code for words in asked]

    assert [404, 404, 404, 200] == answers


def test_a_new_key_comes_with_the_lines_of_its_clients(org: Aurora) -> None:
    """Claude Code's with a key for it alone; whoever has no seat is not told to make one."""
    client = browser(org.ada)
    shown = {
        product: client.post("/keys/mint", {"name": "k", "product": product}).content.decode()
        for product in ("claude_code", "api")
    }

    assert [True, False] == ["ANTHROPIC_AUTH_TOKEN=" in page for page in shown.values()]
    assert [True, True] == ["OPENAI_BASE_URL=http" in page for page in shown.values()]
    assert "Make one above" not in browser(org.dieter).get("/keys").content.decode()


def test_ones_own_page_names_the_limit_that_its_bar_shows(org: Aurora) -> None:
    """What the organization has spent is not read as one's own."""
    caps.set_limit(by=org.ada, scope="organization", basis="pool", amount_nano=100 * DOLLAR)

    card = browser(org.farid).get("/me").content.decode().partition('<svg class="bar')[0]

    assert "<span>Organization, all together</span>" in card


def test_the_way_back_stays_here(org: Aurora) -> None:
    """An address of another site is not followed."""
    answer = browser(org.ada).post("/me/choose", {"theme": "dark", "next": "//evil.example/"})

    assert "/" == answer["location"]


def test_signing_in_is_written_down_and_so_is_failing(org: Aurora) -> None:
    """In the audit of the person's organization."""
    client = Client()
    client.post("/accounts/login/", {"login": "ada@aurora.example", "password": "wrong"})
    client.post("/accounts/login/", {"login": "ada@aurora.example", "password": "quiet exact fast 26"})

    actions = list(AuditEvent.objects.order_by("-sequence").values_list("action", "actor_name")[:2])
    assert [("signed_in", "ada@aurora.example"), ("sign_in_failed", "ada@aurora.example")] == actions
    assert 200 == client.get("/usage").status_code


def test_nobody_signs_up(org: Aurora) -> None:
    """Members are added by their organization."""
    Client().post("/accounts/signup/", {"email": "new@x.example", "password1": "quiet exact fast 26"})

    assert not Person.objects.filter(email="new@x.example").exists()


def test_a_password_is_chosen_through_the_mail_and_is_then_ones_own(org: Aurora) -> None:
    """Link, new password, sign-in; no admin knows it any more."""
    with override_settings(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend"):
        mail.outbox = []
        client = Client()
        client.post("/accounts/password/reset/", {"email": "farid@aurora.example"})
        link = re.search(r"https?://[^/]+(/\S+)", mail.outbox[0].body)
        assert link is not None
        form = client.get(link[1])
        client.post(form["location"], {"password1": "my very own words", "password2": "my very own words"})

    person = Person.objects.get(email="farid@aurora.example")
    assert ("", True) == (person.password_given_by, person.check_password("my very own words"))


def test_the_way_to_a_password_speaks_as_the_console_does(org: Aurora) -> None:
    """Its pages and its mail are ours, in both languages; a stranger's address gets the same page and no mail."""
    with override_settings(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend"):
        mail.outbox = []
        client = Client(headers={"accept-language": "it"})
        answers = [
            client.post("/accounts/password/reset/", {"email": email}, follow=True).content.decode()
            for email in ("nobody@elsewhere.example", "farid@aurora.example")
        ]

    assert [("[Tokenpool] Scelga la Sua password", ["farid@aurora.example"])] == [
        (sent.subject, sent.to) for sent in mail.outbox
    ]
    assert ["<h1>Guardi nella Sua casella di posta</h1>" in answer for answer in answers] == [True, True]
    assert "<h1>Choose a password</h1>" in Client().get("/accounts/password/reset/").content.decode()


def test_a_link_to_a_password_that_was_used_says_so(org: Aurora) -> None:
    """And leads to another one."""
    page = Client().get("/accounts/password/reset/key/person-x/").content.decode()

    assert "<h1>This link is not valid any more</h1>" in page
    assert 'href="/accounts/password/reset/"' in page


def test_mail_never_carries_a_strangers_host(org: Aurora) -> None:
    """A forged Host header gets nothing."""
    answer = Client().post(
        "/accounts/password/reset/", {"email": "farid@aurora.example"}, headers={"host": "evil.example"}
    )

    assert 400 == answer.status_code
