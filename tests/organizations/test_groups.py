"""Groups: named once, joined and left by added rows, read with the credential's facts on the next request."""

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import Aurora, aurora
from stores import store_of
from tokenpool.audit.models import AuditEvent
from tokenpool.kernel.errors import Conflict, InvalidInput, NotAllowed, NotFound
from tokenpool.organizations import groups, members, memberships
from tokenpool.organizations.directory import Directory
from tokenpool.organizations.models import Gate, Group, GroupMembership, Member


@pytest.fixture
def org(either_database: Path | str) -> Aurora:
    """Return the usual organization, on each database."""
    return aurora()


def named(org: Aurora, *names: str) -> list[str]:
    """Create groups and return their ids."""
    return [groups.create(by=org.ada, name=name).id for name in names]


def of(org: Aurora, group_id: str) -> list[str]:
    """Return the names of a group's members."""
    return [one.name for one in members.search(by=org.ada, group=group_id)[0]]


def test_members_join_and_leave_by_added_rows(org: Aurora) -> None:
    """By id or e-mail address; what is so already changes nothing, neither a row nor the version."""
    (research,) = named(org, "Research")
    joined = memberships.add(by=org.chiara, group_id=research, members=[org.farid.member_id, "ELENA@aurora.example"])
    version = Gate.objects.get().version
    again = memberships.add(by=org.ada, group_id=research, members=[org.farid.member_id])
    assert (["Elena Marino", "Farid Haddad"], [], version) == (
        [one.name for one in joined],
        again,
        Gate.objects.get().version,
    )

    memberships.remove(by=org.ada, group_id=research, members=[org.farid.member_id, org.giulia.member_id])

    assert ["Elena Marino"] == of(org, research)
    assert [(False, "ada@aurora.example"), (True, "chiara@aurora.example")] == [
        (row.joined, row.changed_by)
        for row in memberships.history(by=org.ada, group_id=research)
        if row.member_id == org.farid.member_id
    ]
    assert [("Research", 1)] == [(group.name, size) for group, size in groups.listed(by=org.ada)]
    assert version + 1 == Gate.objects.get().version


async def test_the_facts_of_a_credential_carry_the_groups(org: Aurora, either_database: Path | str) -> None:
    """Ascending, and never staler than the next look; the hold API reads the same; an admin key is in none."""
    store = store_of(either_database)
    directory, secret = Directory(store), org.key(org.elena, "claude_code")
    first, second = named(org, "A", "B")
    memberships.add(by=org.ada, group_id=second, members=[org.elena.member_id])
    assert (second,) == (await directory.find(secret)).groups

    memberships.add(by=org.ada, group_id=first, members=[org.elena.member_id])
    both = (await directory.find(secret)).groups
    on_behalf = (await directory.member(org.organization_id, org.elena.member_id, "chat")).groups
    groups.delete(by=org.ada, group_id=second)
    left = (await directory.find(secret)).groups
    await store.close()

    assert (tuple(sorted([first, second])), both, (first,)) == (both, on_behalf, left)


def test_a_deleted_group_is_empty_and_its_name_is_free(org: Aurora) -> None:
    """Its row and its history stay; another group with more members keeps them."""
    first, second = named(org, "Research", "Support")
    for group_id in (first, second):
        memberships.add(by=org.ada, group_id=group_id, members=[org.farid.member_id, org.giulia.member_id])

    groups.delete(by=org.ada, group_id=first)

    assert ([], ["Farid Haddad", "Giulia Ferrari"]) == (of(org, first), of(org, second))
    with pytest.raises(NotFound, match="There is no such group"):
        groups.find(by=org.ada, group_id=first)
    with pytest.raises(NotFound):
        memberships.add(by=org.ada, group_id=first, members=[org.farid.member_id])
    assert (2, "Research") == (len(memberships.history(by=org.ada, group_id=first)), Group.objects.get(id=first).name)
    assert first != groups.create(by=org.ada, name="Research").id


def test_a_removed_member_is_in_no_group(org: Aurora) -> None:
    """The counts and the history say so; who comes back comes back without groups."""
    first, second = named(org, "Research", "Support")
    for group_id in (first, second):
        memberships.add(by=org.ada, group_id=group_id, members=[org.farid.member_id])

    members.remove(by=org.chiara, member_id=org.farid.member_id)
    again = members.add(by=org.ada, email="farid@aurora.example", name="Farid Haddad")

    assert [0, 0] == [size for _, size in groups.listed(by=org.ada)]
    assert ["chiara@aurora.example"] * 2 == [row.changed_by for row in GroupMembership.objects.filter(joined=False)]
    assert ((), ()) == (Member.objects.get(id=org.farid.member_id).groups, again.groups)


@pytest.mark.parametrize(
    "name",
    [
        "", "  ", "x" * 121, "a\0b", "a\x07b", "\ud800", "\u202egnp.exe", "zero\u200bwidth",
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_names_nothing(org: Aurora, name: str) -> None:
    """Empty, too long, control characters, half a surrogate pair, a turned direction: by field, and nothing is kept."""
    for given_ in ({"name": name}, {"name": "ok", "description": "x" * 201}, {"name": "ok", "description": "a\x07"}):
        with pytest.raises(InvalidInput) as refused:
            groups.create(by=org.ada, **given_)
        assert refused.value.field == list(given_)[-1]

    assert 0 == Group.objects.count()


@pytest.mark.parametrize("alike", ["Research", " research ", "RESEARCH", "Ｒesearch"])
def test_a_name_is_one_groups_however_it_is_written(org: Aurora, alike: str) -> None:
    """Of another organization it may be the same; a group may change the case of its own name."""
    research, support = named(org, "Research", "Support")

    with pytest.raises(Conflict, match="choose another name"):
        groups.create(by=org.ada, name=alike)
    with pytest.raises(Conflict, match="choose another name"):
        groups.change(by=org.ada, group_id=support, name=alike)

    assert groups.create(by=aurora("Borealis", "borealis.example").ada, name=alike)
    assert (
        groups.change(by=org.ada, group_id=research, name=alike, description="  In  Turin ").description == "In Turin"
    )
    assert "=cmd|' /C calc'!A1" == groups.create(by=org.ada, name="=cmd|' /C calc'!A1").name
    assert "מחקר" == groups.create(by=org.ada, name="מחקר").name


def test_bulk_is_all_or_nothing(org: Aurora) -> None:
    """One stranger among many and nobody joins; the sentence names the stranger."""
    (research,) = named(org, "Research")
    there = aurora("Borealis", "borealis.example")
    before = AuditEvent.objects.count()

    for wanted, error, said in (
        ([org.farid.member_id, there.elena.member_id], NotFound, f"no members here: {there.elena.member_id}; nothing"),
        ([there.elena.member_id], NotFound, "There is no such member"),
        (["user_00000000000000000000000000"], NotFound, "There is no such member"),
        ([f"{number}@x.example" for number in range(7)], NotFound, "4@x.example and more"),
        (["a", "x" * 10_000], NotFound, f"no members here: a, {'x' * 80}; nothing"),
        ([], InvalidInput, "name 1 to 1000 members"),
        (["", " "], InvalidInput, "name 1 to 1000 members"),
        ([f"user_{number}" for number in range(1001)], InvalidInput, "name 1 to 1000 members"),
    ):
        with pytest.raises(error, match=said):
            memberships.add(by=org.ada, group_id=research, members=wanted)
        with pytest.raises(error, match=said):
            memberships.remove(by=org.ada, group_id=research, members=wanted)

    assert ([], before) == (of(org, research), AuditEvent.objects.count())


def test_a_member_is_in_at_most_twenty_groups(org: Aurora) -> None:
    """The twenty-first is refused by name, for everybody named with them."""
    ids = named(org, *(f"Group {number}" for number in range(21)))
    for group_id in ids[:20]:
        memberships.add(by=org.ada, group_id=group_id, members=[org.farid.member_id])

    with pytest.raises(Conflict, match="Farid Haddad is in 20 groups, the most there can be"):
        memberships.add(by=org.ada, group_id=ids[20], members=[org.giulia.member_id, org.farid.member_id])

    assert (20, ()) == (
        len(Member.objects.get(id=org.farid.member_id).groups),
        Member.objects.get(id=org.giulia.member_id).groups,
    )


def test_an_organization_has_at_most_five_hundred_groups(org: Aurora, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted ones do not count."""
    monkeypatch.setattr(groups, "MOST_OF_ORGANIZATION", 2)
    first, _ = named(org, "A", "B")
    with pytest.raises(Conflict, match="the most there can be"):
        groups.create(by=org.ada, name="C")

    groups.delete(by=org.ada, group_id=first)

    assert "C" == groups.create(by=org.ada, name="C").name


def test_nobody_lifts_their_own_limits_by_leaving(org: Aurora) -> None:
    """An admin takes others out, not themselves; an owner may set limits and so may leave."""
    (research,) = named(org, "Research")
    everybody = [one.member_id for one in (org.chiara, org.bruno, org.farid)]
    memberships.add(by=org.chiara, group_id=research, members=everybody)

    with pytest.raises(NotAllowed, match="nobody takes themselves out; ask an owner"):
        memberships.remove(by=org.chiara, group_id=research, members=everybody)
    memberships.remove(by=org.chiara, group_id=research, members=[org.farid.member_id])
    memberships.remove(by=org.bruno, group_id=research, members=[org.bruno.member_id])

    assert ["Chiara Greco"] == of(org, research)


def test_every_change_is_audited_with_what_it_changed(org: Aurora) -> None:
    """Created, changed, members added and removed, deleted; a change to the same changes nothing."""
    (research,) = named(org, "Research")
    groups.change(by=org.ada, group_id=research, name="Research")
    groups.change(by=org.ada, group_id=research, name="Studies")
    for verb in (memberships.add, memberships.remove, memberships.add):
        verb(by=org.ada, group_id=research, members=[org.farid.member_id])
    groups.delete(by=org.ada, group_id=research)

    found = AuditEvent.objects.filter(subject_id=research).order_by("sequence").values_list("action", "before", "after")

    who = {"name": "Studies", "member_ids": [org.farid.member_id]}
    assert [
        ("group_created", None, {"name": "Research", "description": ""}),
        (
            "group_changed",
            {"name": "Research", "description": ""},
            {"name": "Studies", "description": ""},
        ),
        ("group_members_added", None, who),
        ("group_members_removed", who, None),
        ("group_members_added", None, who),
        ("group_deleted", {"name": "Studies", "members": 1}, None),
    ] == list(found)


def test_members_are_found_by_group(org: Aurora) -> None:
    """Those in it, those in none; what is no id finds nobody, least of all everybody."""
    research, support = named(org, "Research", "Support")
    memberships.add(by=org.ada, group_id=research, members=[org.farid.member_id])
    memberships.add(by=org.ada, group_id=support, members=[org.farid.member_id, org.giulia.member_id])

    assert ["Farid Haddad"] == of(org, research)
    assert 5 == members.search(by=org.ada, group="")[1]
    assert [0] * 4 == [members.search(by=org.ada, group=text)[1] for text in ("grp", "grp_", "%", f"{research} ")]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["join", "leave", "delete", "remove"]), st.integers(0, 2), st.integers(0, 3)),
        max_size=25,
    )
)
def test_the_history_comes_to_what_stands_beside_the_members(
    sqlite_database: Path, steps: list[tuple[str, int, int]]
) -> None:
    """Whatever is done in whatever order: a plain model of sets, the members, the sizes and the history agree."""
    org = aurora(f"Org {Group.objects.count()} {Member.objects.count()}", f"d{Member.objects.count()}.example")
    ids = named(org, "A", "B", "C")
    people = [org.chiara, org.dieter, org.farid, org.giulia]
    model: defaultdict[str, set[str]] = defaultdict(set)
    for verb, which, who in steps:
        group_id, member_id = ids[which], people[who].member_id
        try:
            if verb == "join":
                memberships.add(by=org.ada, group_id=group_id, members=[member_id])
                model[group_id].add(member_id)
            elif verb == "leave":
                memberships.remove(by=org.ada, group_id=group_id, members=[member_id])
                model[group_id].discard(member_id)
            elif verb == "delete":
                groups.delete(by=org.ada, group_id=group_id)
                model.pop(group_id, None)
            else:
                members.remove(by=org.ada, member_id=member_id)
                for group in model.values():
                    group.discard(member_id)
        except NotFound:
            continue

    sizes = {group.id: size for group, size in groups.listed(by=org.ada)}
    for group_id, size in sizes.items():
        latest = {
            row.member_id: row.joined for row in reversed(memberships.history(by=org.ada, group_id=group_id, limit=99))
        }
        beside = {one.id for one in members.search(by=org.ada, group=group_id)[0]}
        assert model[group_id] == beside == {member_id for member_id, joined in latest.items() if joined}
        assert size == len(beside)
