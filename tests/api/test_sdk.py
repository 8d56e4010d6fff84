"""The official SDK sets spend limits and keeps groups with its base URL changed alone."""

import asyncio
from pathlib import Path

import anthropic
import pytest
from django.core.asgi import get_asgi_application

from builders import Aurora, aurora
from gateway_server import serving
from tokenpool.organizations import api_keys, groups, memberships


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_sdk_sets_lists_and_deletes_a_limit(database: Path) -> None:
    """Scope user, a thousand cents, monthly."""
    org = aurora()
    _, secret = api_keys.mint(by=org.ada, kind="admin", name="SDK")

    def talk(url: str) -> tuple[str | None, list[str], str]:
        with anthropic.Anthropic(base_url=url, api_key=secret) as client:
            limits = client.beta.organization.spend_limits
            row = limits.set(amount="1000", scope={"type": "user", "user_id": org.farid.member_id}, period="monthly")
            listed = [one.id for one in limits.list()]
            gone = limits.delete(row.id)
        return row.amount, listed, gone.type

    async with serving(get_asgi_application()) as url:
        amount, listed, gone = await asyncio.to_thread(talk, url)

    assert ("1000", 1, "spend_limit_deleted") == (amount, len(listed), gone)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_sdk_keeps_groups(database: Path) -> None:
    """Creates, renames, fills, pages, empties and deletes; what is gone is a NotFoundError."""
    org = aurora()
    _, secret = api_keys.mint(by=org.ada, kind="admin", name="SDK")
    everybody = sorted(one.member_id for one in (org.chiara, org.elena, org.farid))

    def talk(url: str) -> None:
        with anthropic.Anthropic(base_url=url, api_key=secret) as client:
            groups = client.beta.organization.rbac_groups
            made = groups.create(name="Research")
            assert ("rbac_group", "direct", []) == (made.type, made.source_type, made.role_ids)
            assert "Studies" == groups.update(made.id, name="Studies").name == groups.retrieve(made.id).name
            for user_id in everybody:
                joined = groups.members.add(made.id, user_id=user_id)
                assert ("rbac_group_member", made.id, user_id) == (joined.type, joined.rbac_group_id, joined.user_id)
            assert everybody == [one.user_id for one in groups.members.list(made.id, limit=2)]
            removed = groups.members.remove(everybody[0], rbac_group_id=made.id)
            assert ("rbac_group_member_deleted", everybody[0]) == (removed.type, removed.user_id)
            others = sorted(groups.create(name=f"Group {number}").id for number in range(4))
            assert sorted([made.id, *others]) == [one.id for one in groups.list(limit=2)]
            assert "rbac_group_deleted" == groups.delete(made.id).type
            for ask in (groups.retrieve, groups.delete, groups.members.list):
                with pytest.raises(anthropic.NotFoundError, match="There is no such group"):
                    ask(made.id)

    async with serving(get_asgi_application()) as url:
        await asyncio.to_thread(talk, url)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_sdk_reads_a_groups_limit_and_whom_it_holds(database: Path) -> None:
    """The row's scope is the group; effective tells the lowest limit on each member alone, by its source."""
    org = aurora()
    _, secret = api_keys.mint(by=org.ada, kind="admin", name="SDK")
    group = research(org)
    org.limit(f"group:{group}", 12, basis="each")
    org.limit("organization", 5)

    def talk(url: str) -> None:
        with anthropic.Anthropic(base_url=url, api_key=secret) as client:
            limits = client.beta.organization.spend_limits
            listed = list(limits.list(scope_type=["rbac_group"]))
            assert [("rbac_group", group, "1200")] == [
                (one.scope.type, one.scope.rbac_group_id, one.amount) for one in listed
            ]
            (row,) = limits.effective.list(user_ids=[org.farid.member_id, org.giulia.member_id])
            assert ("rbac_group", listed[0].id, "1200", "0") == (
                row.source.type, row.spend_limit_id, row.amount, row.period_to_date_spend,
            )  # fmt: skip
            assert [] == list(limits.effective.list(period=["daily"]))
            org.limit("organization", 100, basis="each")
            assert 7 == len(list(limits.effective.list(limit=2)))

    async with serving(get_asgi_application()) as url:
        await asyncio.to_thread(talk, url)


def research(org: Aurora) -> str:
    """Return a group with Farid in it."""
    group = groups.create(by=org.ada, name="Research")
    memberships.add(by=org.ada, group_id=group.id, members=[org.farid.member_id])
    return group.id
