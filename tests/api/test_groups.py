"""Groups for machines: Anthropic's shapes, many at once, limits of every window, figures beside the seat types."""

from typing import Any

import pytest

from builders import DOLLAR, aurora
from tokenpool.audit.models import AuditEvent
from tokenpool.kernel import clock
from tokenpool.kernel.period import Month
from tokenpool.limits.models import Account, SpendLimit
from tokenpool.organizations import groups
from tokenpool.organizations.models import Group

from .conftest import Machine

MISSING = "grp_00000000000000000000000000"


@pytest.fixture
def research(machine: Machine) -> str:
    """Return the id of a group made by HTTP, with Farid and Elena in it."""
    _, made = machine.call("POST", "organizations/rbac_groups", {"name": "Research", "description": "In Turin"})
    machine.call("POST", f"tokenpool/groups/{made['id']}/add", {"members": ["farid@aurora.example", _elena(machine)]})
    return str(made["id"])


def _elena(machine: Machine) -> str:
    return machine.org.elena.member_id


def _shown(answer: tuple[int, Any]) -> tuple[int, str, str | None]:
    error = answer[1]["error"]
    return answer[0], error["message"], error.get("details", {}).get("field")


def test_a_group_is_kept_by_http_alone(machine: Machine, research: str) -> None:
    """Made, read, renamed, filled at once and emptied; members say which groups they are in."""
    elena = _elena(machine)
    _, shown = machine.call("GET", f"organizations/rbac_groups/{research}")
    _, renamed = machine.call("POST", f"organizations/rbac_groups/{research}", {"name": "Studies"})
    _, again = machine.call("POST", f"tokenpool/groups/{research}/add", {"members": [elena]})
    _, found = machine.call("GET", f"tokenpool/members?group={research}")
    _, removed = machine.call(
        "POST", f"tokenpool/groups/{research}/remove", {"members": [elena, "giulia@aurora.example"]}
    )
    _, alone = machine.call("GET", f"tokenpool/members/{elena}")

    assert ("Research", "In Turin", 2, []) == tuple(shown[k] for k in ("name", "description", "members", "role_ids"))
    assert ("Studies", "In Turin", 2) == tuple(renamed[k] for k in ("name", "description", "members"))
    assert ([], [elena]) == (again["added"], removed["removed"])
    assert [("Elena Marino", [research]), ("Farid Haddad", [research])] == [
        (one["name"], one["groups"]) for one in found["data"]
    ]
    assert [] == alone["groups"]


@pytest.mark.parametrize("period", ["monthly", "weekly", "daily"])
@pytest.mark.parametrize("basis", ["pool", "each"])
def test_a_group_has_limits_like_a_seat_type(machine: Machine, research: str, period: str, basis: str) -> None:
    """Set, listed by scope, found by id, a conflict told, deleted once."""
    body = {"scope": {"type": "rbac_group", "rbac_group_id": research}, "amount": "1250", "period": period}
    _, row = machine.call("POST", "organizations/spend_limits", {**body, "basis": basis, "expect": "none"})
    conflict, _ = machine.call("POST", "organizations/spend_limits", {**body, "basis": basis, "expect": "none"})
    _, listed = machine.call("GET", "organizations/spend_limits?scope_type[]=rbac_group")
    _, one = machine.call("GET", f"organizations/spend_limits/{row['id']}")
    deleted, _ = machine.call("DELETE", f"organizations/spend_limits/{row['id']}")

    assert ({"type": "rbac_group", "rbac_group_id": research}, basis, period) == (
        row["scope"], row["basis"], row["period"],
    )  # fmt: skip
    assert (409, 200) == (conflict, deleted)
    assert [row] == listed["data"] == [one]
    assert [] == machine.call("GET", "organizations/spend_limits")[1]["data"]


def test_a_groups_limit_is_the_pool_unless_said(machine: Machine, research: str) -> None:
    """The contract's default; explained by name for its members."""
    scope = {"type": "rbac_group", "rbac_group_id": research}
    machine.call("POST", "organizations/spend_limits", {"scope": scope, "amount": "300"})

    _, explained = machine.call("GET", f"tokenpool/limits/explain?member={_elena(machine)}")

    assert [(scope, "pool", 3 * DOLLAR)] == [
        (one["scope"], one["basis"], one["left_nano"]) for one in explained["limits"]
    ]


def test_the_summary_shows_groups_beside_seat_types(machine: Machine, research: str) -> None:
    """Spent, held, left and members; a past month what was spent; a deleted one as long as it spent something."""
    month = Month.of(clock.now())
    for window, spent, held in ((month, 4, 1), (month.previous(), 7, 0)):
        Account.objects.create(
            organization_id=machine.org.organization_id, scope=f"group:{research}", window_key=str(window),
            spent_nano=spent * DOLLAR, held_nano=held * DOLLAR,
        )  # fmt: skip
    machine.org.limit(f"group:{research}", 10)

    _, now = machine.call("GET", "tokenpool/usage/summary")
    _, past = machine.call("GET", f"tokenpool/usage/summary?month={month.previous()}")
    machine.call("DELETE", f"organizations/rbac_groups/{research}")
    _, gone = machine.call("GET", "tokenpool/usage/summary")

    (group,) = now["groups"]
    assert (research, "Research", False, 2, 4 * DOLLAR, "1.00", 5 * DOLLAR) == tuple(
        group[name] for name in ("id", "name", "deleted", "members", "spent_nano", "held", "left_nano")
    )
    assert ["1000"] == [limit["amount"] for limit in group["limits"]]
    elena = next(one for one in now["members"] if one["id"] == _elena(machine))
    assert ([research], 5 * DOLLAR) == (elena["groups"], elena["left_nano"])
    assert [{"id": research, "name": "Research", "deleted": False, "spent_nano": 7 * DOLLAR, "spent": "7.00"}] == past[
        "groups"
    ]
    assert [(True, 0, [], None)] == [(g["deleted"], g["members"], g["limits"], g["left_nano"]) for g in gone["groups"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "tab\tand\u202eturned"}, "name"),
        ({"name": "ok", "description": "x" * 201}, "description"),
        ({"name": "ok", "color": "red"}, "color"),
        ({"name": "research"}, "name"),
    ],
)
def test_what_is_no_group_is_named_and_makes_none(
    machine: Machine, research: str, body: dict[str, object], field: str
) -> None:
    """400, or 409 for a name that is taken, however it is written; nothing is made."""
    before = AuditEvent.objects.count()

    status, _, named = _shown(machine.call("POST", "organizations/rbac_groups", body))

    assert (409 if body == {"name": "research"} else 400, field) == (status, named)
    assert (1, before) == (Group.objects.count(), AuditEvent.objects.count())


@pytest.mark.parametrize("members", [[], [""], ["nobody"], "farid@aurora.example", [5], None, ["x"] * 3 + ["y"] * 2000])
def test_many_are_added_all_or_none(machine: Machine, research: str, members: object) -> None:
    """None, strangers, what is no list: an error by field, and nobody moves."""
    before = AuditEvent.objects.count()

    for verb in ("add", "remove"):
        status, _, field = _shown(machine.call("POST", f"tokenpool/groups/{research}/{verb}", {"members": members}))
        assert (status in (400, 404), True) == (True, (field or "").startswith("members"))

    assert (before, 2) == (AuditEvent.objects.count(), groups.listed(by=machine.org.ada)[0][1])


def test_another_organizations_groups_answer_like_missing_ones(machine: Machine) -> None:
    """In every address and body that names a group; nothing changes over there."""
    there = aurora("Borealis", "borealis.example")
    foreign = groups.create(by=there.ada, name="Research").id
    elena, before = _elena(machine), AuditEvent.objects.count()
    answers = []
    for group_id in (foreign, MISSING):
        scope = {"type": "rbac_group", "rbac_group_id": group_id}
        answers.append(
            [
                _shown(machine.call(method, path, body))
                for method, path, body in [
                    ("GET", f"organizations/rbac_groups/{group_id}", None),
                    ("POST", f"organizations/rbac_groups/{group_id}", {"name": "Mine"}),
                    ("DELETE", f"organizations/rbac_groups/{group_id}", None),
                    ("GET", f"organizations/rbac_groups/{group_id}/members", None),
                    ("POST", f"organizations/rbac_groups/{group_id}/members", {"user_id": elena}),
                    ("DELETE", f"organizations/rbac_groups/{group_id}/members/{elena}", None),
                    ("POST", f"tokenpool/groups/{group_id}/add", {"members": [elena]}),
                    ("POST", f"tokenpool/groups/{group_id}/remove", {"members": [elena]}),
                    ("POST", "organizations/spend_limits", {"scope": scope, "amount": "1"}),
                ]
            ]
        )
        assert 0 == machine.call("GET", f"tokenpool/members?group={group_id}")[1]["count"]

    assert answers[0] == answers[1]
    assert {404} == {status for status, _, _ in answers[0]}
    assert before == AuditEvent.objects.count()


def test_another_organizations_people_join_no_group(machine: Machine, research: str) -> None:
    """They answer like missing ones, by id and by address."""
    there = aurora("Borealis", "borealis.example").farid.member_id
    path = f"organizations/rbac_groups/{research}/members"
    foreign, missing = (
        [
            _shown(machine.call("POST", path, {"user_id": who})),
            _shown(machine.call("DELETE", f"{path}/{who}")),
            _shown(machine.call("POST", f"tokenpool/groups/{research}/add", {"members": [who]})),
        ]
        for who in (there, "user_00000000000000000000000000")
    )

    assert foreign == missing
    assert 404 == machine.call("DELETE", f"{path}/{machine.org.giulia.member_id}")[0]
    assert 404 == machine.call("POST", f"tokenpool/groups/{research}/add", {"members": ["farid@borealis.example"]})[0]


@pytest.mark.parametrize("kind", ["meter", "compliance", "product"])
def test_only_an_admin_key_keeps_groups(machine: Machine, research: str, kind: str) -> None:
    """Every verb is 403 for every other kind of key, and changes nothing."""
    before = AuditEvent.objects.count()
    one = f"organizations/rbac_groups/{research}"
    scope = {"type": "rbac_group", "rbac_group_id": research}
    answers = [
        machine.call(method, path, body, kind=kind)
        for method, path, body in [
            ("GET", "organizations/rbac_groups", None),
            ("POST", "organizations/rbac_groups", {"name": "New"}),
            ("GET", one, None),
            ("POST", one, {"name": "New"}),
            ("DELETE", one, None),
            ("GET", f"{one}/members", None),
            ("POST", f"{one}/members", {"user_id": _elena(machine)}),
            ("DELETE", f"{one}/members/{_elena(machine)}", None),
            ("POST", f"tokenpool/groups/{research}/add", {"members": [_elena(machine)]}),
            ("POST", f"tokenpool/groups/{research}/remove", {"members": [_elena(machine)]}),
            ("POST", "organizations/spend_limits", {"scope": scope, "amount": "1"}),
            ("GET", "organizations/spend_limits/effective", None),
        ]
    ]

    assert {(403, "permission_error")} == {(status, body["error"]["type"]) for status, body in answers}
    assert (before, 0) == (AuditEvent.objects.count(), SpendLimit.objects.count())


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("rbac_groups?limit=0", "limit"),
        ("rbac_groups?limit=1001", "limit"),
        ("rbac_groups?limit=many", "limit"),
        ("rbac_groups?page=2", "page"),
        (f"rbac_groups/{MISSING}/members?page={MISSING}", "page"),
        ("spend_limits/effective?page=x", "page"),
        ("spend_limits/effective?limit=-1", "limit"),
        ("spend_limits/effective?period[]=yearly", "period"),
        ("spend_limits/effective?" + "&".join(f"user_ids[]=user_{number}" for number in range(101)), "user_ids"),
    ],
)
def test_a_page_that_cannot_be_is_named(machine: Machine, path: str, field: str) -> None:
    """400 with the field."""
    status, _, named = _shown(machine.call("GET", f"organizations/{path}"))

    assert (400, field) == (status, named)


def test_a_scope_of_a_group_names_its_group(machine: Machine) -> None:
    """400 when it does not."""
    status, _, field = _shown(
        machine.call("POST", "organizations/spend_limits", {"scope": {"type": "rbac_group"}, "amount": "1"})
    )

    assert (400, "scope.rbac_group_id") == (status, field)


def test_effective_rounds_spend_to_thousandths_of_a_cent(machine: Machine, research: str) -> None:
    """$1.23456789 is 123.457 cents; the pool that binds is told beside the lowest limit on the member alone."""
    Account.objects.create(
        organization_id=machine.org.organization_id, scope=f"member:{_elena(machine)}",
        window_key=str(Month.of(clock.now())), spent_nano=1_234_567_890,
    )  # fmt: skip
    machine.org.limit(f"group:{research}", 20, basis="each")
    machine.org.limit("seat_type:chat_claude_code", 30, basis="each")
    machine.org.limit("organization", 2)
    pool = SpendLimit.objects.get(scope="organization")

    _, answer = machine.call("GET", f"organizations/spend_limits/effective?user_ids[]={_elena(machine)}")

    (row,) = answer["data"]
    assert ("123.457", "2000", research, pool.id, None) == (
        row["period_to_date_spend"], row["amount"], row["source"]["rbac_group_id"], row["binding_spend_limit_id"],
        answer["next_page"],
    )  # fmt: skip
