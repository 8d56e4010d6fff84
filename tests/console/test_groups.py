"""The pages of groups: who sees and does what, many at once, hostile names, and what a deletion says first."""

import csv
import io
import re
from pathlib import Path

import pytest
from django.test import Client

from builders import DOLLAR, Aurora, aurora
from tokenpool.audit.models import AuditEvent
from tokenpool.console import groups as console
from tokenpool.kernel import clock
from tokenpool.kernel.period import Month
from tokenpool.limits import caps
from tokenpool.limits.models import Account, LastRefusal
from tokenpool.metering.models import UsageEvent
from tokenpool.organizations import groups, members, memberships
from tokenpool.organizations.models import Group, Member, Person
from tokenpool.organizations.roles import Principal

MONTH = str(Month.of(clock.now()))
MISSING = "grp_00000000000000000000000000"


@pytest.fixture
def org(database: Path) -> Aurora:
    """Return the usual organization."""
    return aurora()


@pytest.fixture
def research(org: Aurora) -> str:
    """Return the id of a group with Farid and Elena in it, which has spent four dollars of ten."""
    group = groups.create(by=org.ada, name="Research", description="In Turin")
    memberships.add(by=org.ada, group_id=group.id, members=["farid@aurora.example", "elena@aurora.example"])
    Account.objects.create(
        organization_id=org.organization_id, scope=f"group:{group.id}", window_key=MONTH, spent_nano=4 * DOLLAR
    )
    org.limit(f"group:{group.id}", 10)
    return group.id


def browser(who: Principal, **headers: str) -> Client:
    """Return a signed-in browser."""
    client = Client(headers={"accept-language": "en", **headers})
    client.force_login(Person.objects.get(id=Member.objects.get(id=who.member_id).person_id))
    return client


def changes() -> int:
    """Return how many things were changed; signing in changes nothing."""
    return AuditEvent.objects.exclude(action="signed_in").count()


def of(org: Aurora, group_id: str) -> set[str]:
    """Return the first names of a group's members."""
    return {one.name.split()[0] for one in members.search(by=org.ada, group=group_id)[0]}


def test_a_group_is_made_named_filled_emptied_and_deleted(org: Aurora) -> None:
    """By an admin, form by form; each says what it did."""
    client = browser(org.chiara)
    address = client.post("/groups/create", {"name": "Research", "description": "In Turin"})["location"]
    client.post(f"{address}/change", {"name": "Studies", "description": ""})
    pasted = "Farid Haddad <farid@aurora.example>,\r\n elena@aurora.example;\n\n" + org.giulia.member_id
    added = client.post(f"{address}/add", {"members": pasted}, follow=True).content.decode()
    removed = client.post(f"{address}/remove", {"member": [org.giulia.member_id]}, follow=True).content.decode()
    group = Group.objects.get()

    assert ("Studies", "", {"Farid", "Elena"}) == (group.name, group.description, of(org, group.id))
    assert '<div class="toast">3 members were added. It acts on the next request.</div>' in added
    assert '<div class="toast">1 member was taken out. It acts on the next request.</div>' in removed
    asked = client.get(f"{address}/delete").content.decode()
    assert "Delete the group Studies?" in asked
    assert "Its 2 members stay members of the organization" in asked
    assert ("/groups", 404) == (client.post(f"{address}/delete")["location"], client.get(address).status_code)


def test_every_verb_is_refused_to_those_who_may_not(org: Aurora, research: str) -> None:
    """Billing and member: 403 and nothing changed; an admin does not delete a group that has limits."""
    before = changes()
    one = f"/groups/{research}"
    for who in (org.dieter, org.farid):
        client = browser(who)
        for address in ("/groups", one, f"{one}/delete"):
            assert (403, address) == (client.get(address).status_code, address)
        for address, form in [
            ("/groups/create", {"name": "New"}),
            (f"{one}/change", {"name": "New"}),
            (f"{one}/add", {"members": org.giulia.member_id}),
            (f"{one}/remove", {"member": org.farid.member_id}),
            (f"{one}/delete", {}),
            ("/members/move", {"group": research, "member": org.giulia.member_id}),
            ("/limits/set", {"scope": f"group:{research}", "basis": "pool", "amount": "99"}),
        ]:
            assert (403, address) == (client.post(address, form).status_code, address)
    chiara = browser(org.chiara)

    assert "ask an owner" in chiara.get(f"{one}/delete").content.decode()
    assert (403, 403) == (
        chiara.post(f"{one}/delete").status_code,
        chiara.post("/limits/set", {"scope": f"group:{research}", "basis": "pool", "amount": "99"}).status_code,
    )
    assert (before, {"Farid", "Elena"}) == (changes(), of(org, research))


def test_an_admin_sees_who_and_not_how_much(org: Aurora, research: str) -> None:
    """Spend is for owners and billing; billing sees it on the Usage page."""
    for address in ("/groups", f"/groups/{research}"):
        assert '<data value="4000000000"' not in browser(org.chiara).get(address).content.decode()
        assert '<data value="4000000000"' in browser(org.bruno).get(address).content.decode()
    usage = browser(org.dieter).get("/usage").content.decode()
    card = usage.partition('data-group="Research"')[2].partition("</section>")[0]
    assert '<data value="4000000000"' in card
    assert "2 members" in card
    assert 'name="amount"' not in card


def test_another_organizations_group_is_not_found(org: Aurora, research: str) -> None:
    """On every page and by every form, like a missing one; nothing changes over there."""
    there = aurora("Borealis", "borealis.example")
    client, before = browser(there.ada), changes()

    for group_id in (research, MISSING):
        one = f"/groups/{group_id}"
        assert [404, 404] == [client.get(address).status_code for address in (one, f"{one}/delete")]
        for address, form in [
            (f"{one}/change", {"name": "Mine"}),
            (f"{one}/add", {"members": "ada@borealis.example"}),
            (f"{one}/remove", {"member": there.ada.member_id}),
            (f"{one}/delete", {}),
            ("/members/move", {"group": group_id, "member": there.ada.member_id}),
        ]:
            assert (404, address) == (client.post(address, form).status_code, address)
        assert "Nobody matches" in client.get(f"/members?group={group_id}").content.decode()
        assert "Nobody matches" in client.get(f"/usage?group={group_id}").content.decode()

    assert before == changes()


@pytest.mark.parametrize(
    ("verb", "form", "said"),
    [
        ("create", {"name": ""}, "must be 1 to 120 printable characters"),
        ("create", {"name": "RESEARCH"}, "choose another name"),
        ("create", {"name": "\u202etxt"}, "must be 1 to 120 printable characters"),
        ("change", {"name": "x" * 121}, "must be 1 to 120 printable characters"),
        ("change", {"name": "Ok", "description": "x" * 201}, "at most 200 printable characters"),
        ("add", {"members": ""}, "name 1 to 1000 members"),
        ("add", {"members": "nobody@x.example, farid@aurora.example"}, "no members here: nobody@x.example"),
        ("remove", {}, "name 1 to 1000 members"),
    ],
)
def test_a_form_comes_back_with_its_reason(
    org: Aurora, research: str, verb: str, form: dict[str, str], said: str
) -> None:
    """And with what was typed; nothing is changed."""
    before = changes()
    address = "/groups/create" if verb == "create" else f"/groups/{research}/{verb}"

    answer = browser(org.ada).post(address, form)

    page = answer.content.decode()
    assert (True, before) == (answer.status_code in (400, 404, 409), changes())
    assert said in page
    assert page.count(said) == 1
    typed = form.get("members", form.get("name", ""))
    assert typed[:20] in page


def test_hostile_names_stay_text(org: Aurora) -> None:
    """On every page that shows them, in either direction, and no formula in the file."""
    names = [
        "=1+1",
        "<script>alert(1)</script>",
        "'\"><img src=x>",
        "\u05de\u05d7\u05e7\u05e8",
        "{{ 7|add:7 }}",
        "@SUM(A1)",
    ]
    for name in names:
        group = groups.create(by=org.ada, name=name, description=name)
        memberships.add(by=org.ada, group_id=group.id, members=[org.farid.member_id])
        org.limit(f"group:{group.id}", 1)
    client = browser(org.ada)

    for address in (
        "/groups",
        f"/groups/{group.id}",
        "/members",
        "/usage",
        "/limits",
        "/audit",
        f"/groups/{group.id}/delete",
    ):
        page = client.get(address).content.decode()
        assert "<img src=x" not in page
        assert "<script>alert" not in page
    assert "<bdi>\u05de\u05d7\u05e7\u05e8</bdi>" in client.get("/groups").content.decode()
    explained = browser(org.farid).get("/me").content.decode()
    assert "<script>alert" not in explained
    assert "Group =1+1, all together" in explained
    rows = list(csv.DictReader(io.StringIO(client.get("/members?format=csv").content.decode())))
    cell = next(row["groups"] for row in rows if row["email"] == "farid@aurora.example")
    assert cell.startswith("'=1+1; <script>")
    assert not any(row["groups"].startswith(("=", "@", "+", "-")) for row in rows)


def test_many_members_are_chosen_on_the_members_page(org: Aurora, research: str) -> None:
    """The ticked ones, or everybody whom the page lists under its filters, page after page."""
    client = browser(org.chiara)
    client.post(
        "/members/move", {"group": research, "do": "add", "member": [org.giulia.member_id, org.bruno.member_id]}
    )
    assert {"Farid", "Elena", "Giulia", "Bruno"} == of(org, research)
    form = {"group": research, "whom": "listed"}

    client.post("/members/move", {**form, "do": "remove", "seat_type": "chat", "q": "g"})
    assert {"Farid", "Elena", "Bruno"} == of(org, research)
    client.post("/members/move", {**form, "do": "remove", "in_group": research})
    assert set() == of(org, research)
    client.post("/members/move", {**form, "do": "add", "seat_type": ""})
    assert {"Dieter"} == of(org, research)
    client.post("/members/move", {**form, "do": "add", "in_group": ""})
    assert 7 == len(of(org, research))


def test_everybody_listed_is_moved_in_steps(org: Aurora, research: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven members by three at once; a step that cannot be says so, and how many were moved before it."""
    monkeypatch.setattr(console, "STEP", 3)
    monkeypatch.setattr(members, "MOST", 2)
    client = browser(org.ada)
    client.post("/members/move", {"group": research, "whom": "listed", "do": "add"})
    assert 7 == groups.listed(by=org.ada)[0][1]
    other = groups.create(by=org.ada, name="Other").id
    Member.objects.filter(id=org.giulia.member_id).update(group_ids=" ".join(f"grp_{n}" for n in range(20)))

    failed = client.post("/members/move", {"group": other, "whom": "listed", "do": "add"})

    page = failed.content.decode()
    assert (409, [("Other", 6), ("Research", 7)]) == (
        failed.status_code,
        [(group.name, size) for group, size in groups.listed(by=org.ada)],
    )
    assert "Giulia Ferrari is in 20 groups" in page
    assert "6 members were added" in page


def test_members_are_listed_and_filed_by_group(org: Aurora, research: str) -> None:
    """The filter, those in none, the badge in the row, and the same in the file."""
    client = browser(org.ada)

    page = client.get(f"/members?group={research}").content.decode()
    file = client.get(f"/members?group={research}&format=csv").content.decode().splitlines()

    assert ["elena@aurora.example", "farid@aurora.example"] == re.findall('data-member="([^"]*)"', page)
    assert f'<a href="/groups/{research}"><bdi>Research</bdi></a>' in page
    assert "member_id,name,email,role,seat_type,cost_center,groups" == file[0]
    assert ["Research", "Research"] == [line.rpartition(",")[2] for line in file[1:]]
    assert 5 == client.get("/members?group=none").content.decode().count("data-member=")


def test_without_a_group_the_pages_say_what_to_do(org: Aurora) -> None:
    """An empty state where groups would be; no group filter, no column, no cards."""
    client = browser(org.ada)

    assert "There is no group yet" in client.get("/groups").content.decode()
    assert "Make one under Members" in client.get("/limits").content.decode()
    assert 'name="group"' not in client.get("/members").content.decode()
    assert 'id="groups"' not in client.get("/usage").content.decode()
    group = groups.create(by=org.ada, name="Empty")
    assert "Nobody is in this group" in client.get(f"/groups/{group.id}").content.decode()
    assert "Nobody has joined yet" in client.get(f"/groups/{group.id}").content.decode()


def test_a_groups_limit_saves_by_itself_with_history_and_undo(org: Aurora, research: str) -> None:
    """By month, week and day, all together and each; the field comes back, the history has its name."""
    client = browser(org.ada, **{"hx-request": "true"})
    scope = f"group:{research}"
    fields = client.get("/limits").content.decode().count(f'name="scope" value="{scope}"')
    for window in ("month", "week", "day"):
        for basis in ("pool", "each"):
            saved = client.post("/limits/set", {"scope": scope, "basis": basis, "window": window, "amount": "12.50"})
            assert 'class="field saved"' in saved.content.decode()

    undo = dict(
        re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', saved.content.decode().partition("toasts")[2])
    )
    client.post("/limits/set", undo)
    history = client.get(f"/limits/history?scope={scope}&basis=pool").content.decode()

    assert (6, 5) == (fields, len([row for row in caps.standing(org.organization_id) if row.scope == scope]))
    assert ("", "day", "each") == (undo["amount"], undo["window"], undo["basis"])
    assert "Research, all together" in history
    assert ["12500000000", "10000000000"] == re.findall('<data value="([0-9]+)"', history)


def test_the_limits_page_shows_twelve_groups_and_finds_the_others(org: Aurora) -> None:
    """By name, page after page."""
    for number in range(14):
        groups.create(by=org.ada, name=f"Team {number:02d}")
    client = browser(org.ada)

    def shown(query: str) -> list[str]:
        page = client.get(f"/limits{query}").content.decode().partition('id="groups"')[2]
        return re.findall("<h2><bdi>([^<]*)</bdi></h2>", page)

    assert ([f"Team {n:02d}" for n in range(12)], ["Team 12", "Team 13"]) == (shown(""), shown("?page=2"))
    assert (["Team 07"], []) == (shown("?q=m+07"), shown("?q=nothing"))


def test_the_usage_page_shows_the_six_that_spent_most_and_the_rest_below(org: Aurora) -> None:
    """Eight groups; the live figures follow a new name and a change of members."""
    for number in range(8):
        group = groups.create(by=org.ada, name=f"Team {number}")
        Account.objects.create(
            organization_id=org.organization_id, scope=f"group:{group.id}", window_key=MONTH, spent_nano=number * DOLLAR
        )
    client = browser(org.ada, **{"hx-request": "true"})
    page = client.get("/usage/live").content.decode()
    seen = page.split("seen=")[1].split('"')[0]

    assert [f"Team {n}" for n in (7, 6, 5, 4, 3, 2)] == re.findall('data-group="([^"]*)"', page)
    assert "2 more groups" in page
    assert 204 == client.get(f"/usage/live?seen={seen}").status_code
    groups.change(by=org.ada, group_id=group.id, name="Renamed")
    renamed = client.get(f"/usage/live?seen={seen}")
    assert (200, True) == (renamed.status_code, "Renamed" in renamed.content.decode())
    seen = renamed.content.decode().split("seen=")[1].split('"')[0]
    memberships.add(by=org.ada, group_id=group.id, members=[org.farid.member_id])
    assert 200 == client.get(f"/usage/live?seen={seen}").status_code


def test_a_deleted_groups_spend_stays_on_its_month(org: Aurora, research: str) -> None:
    """With a badge, without a field to limit it."""
    caps.delete_group(by=org.ada, group_id=research)
    client = browser(org.ada)

    card = client.get("/usage").content.decode().partition('data-group="Research"')[2].partition("</section>")[0]

    assert '<data value="4000000000"' in card
    assert ">deleted</span>" in card
    assert 'name="amount"' not in card
    assert "Research" not in client.get("/limits").content.decode()
    assert "Research" not in client.get("/groups").content.decode()


def test_a_refusal_and_a_request_name_the_group(org: Aurora, research: str) -> None:
    """In the panel, on the member's own page and on the request's, as pinned when it was admitted."""
    LastRefusal.objects.create(
        organization_id=org.organization_id, member_id=org.farid.member_id, refused_at_us=1, limit_id="spl_x",
        scope=f"group:{research}", basis="each", window="day", limit_nano=1, spent_nano=1, held_nano=0, asked_nano=1,
        model="m",
    )  # fmt: skip
    UsageEvent.objects.create(
        organization_id=org.organization_id, id="evt_1", request_id="req_1", member_id=org.farid.member_id,
        seat_type="chat", product="chat", model="claude-opus-5-5", price_version="claude-opus-5-5@2026-09-22",
        month=MONTH, admitted_at_us=1, settled_at_us=2, group_ids=research,
    )  # fmt: skip
    memberships.remove(by=org.ada, group_id=research, members=[org.farid.member_id])

    assert "(Group Research, each member (a day))" in browser(org.farid).get("/me").content.decode()
    assert "<dt>Groups</dt><dd><bdi>Research</bdi></dd>" in browser(org.farid).get("/requests/evt_1").content.decode()
    assert "Your groups:" not in browser(org.farid).get("/me").content.decode()
    assert "Your groups: <bdi>Research</bdi>" in browser(org.elena).get("/me").content.decode()


def test_a_long_list_is_cut_on_the_audit_page_and_whole_in_its_file(org: Aurora) -> None:
    """Two hundred people at once make no page of ids."""
    group = groups.create(by=org.ada, name="All")
    people = [
        Member(
            organization_id=org.organization_id, id=f"user_{number:026d}", person_id="p", email=f"{number}@x.example",
            name=f"N {number}", role="member", added_at=clock.now(),
        )
        for number in range(200)
    ]  # fmt: skip
    Member.objects.bulk_create(people)
    memberships.add(by=org.ada, group_id=group.id, members=[one.id for one in people])
    client = browser(org.ada)

    page = client.get("/audit?type=group_members_added").content.decode()
    file = client.get("/audit?type=group_members_added&format=ndjson").content.decode()

    assert (True, False) == (people[0].id in page, people[199].id in page)
    assert people[199].id in file
