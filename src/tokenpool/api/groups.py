"""Groups in Anthropic's shapes (`rbac_groups`), and many members at once on an address of our own."""

from typing import Any

from ninja import Router

from tokenpool.api.access import KeyRequest, Strict
from tokenpool.api.pages import after, paged
from tokenpool.kernel import clock
from tokenpool.kernel.errors import NotFound
from tokenpool.limits import caps
from tokenpool.organizations import groups, members, memberships
from tokenpool.organizations.models import Group, Member

router = Router()
own = Router()


class NewGroup(Strict):
    """The body of `POST rbac_groups`; the description is our own."""

    name: str
    description: str = ""


class Change(Strict):
    """The body of `POST rbac_groups/{id}`: what is not given stays."""

    name: str | None = None
    description: str | None = None


class Joining(Strict):
    """The body of `POST rbac_groups/{id}/members`."""

    user_id: str


class Many(Strict):
    """The body of `add` and `remove`: up to a thousand ids or e-mail addresses."""

    members: list[str]


@router.get("rbac_groups")
def listed(request: KeyRequest, limit: int = 20, page: str = "") -> dict[str, Any]:
    """List the groups by id."""
    after_id = after(page, "grp", limit)
    found = sorted((row for row in groups.listed(by=request.auth) if row[0].id > after_id), key=lambda row: row[0].id)
    shown = [as_group(group, size) for group, size in found[:limit]]
    return paged(shown, shown[-1]["id"] if shown else "", more=len(found) > limit)


@router.post("rbac_groups")
def create(request: KeyRequest, body: NewGroup) -> dict[str, Any]:
    """Create a group."""
    return as_group(groups.create(by=request.auth, **body.dict()), 0)


@router.get("rbac_groups/{group_id}")
def one(request: KeyRequest, group_id: str) -> dict[str, Any]:
    """Return one group."""
    return _shown(groups.find(by=request.auth, group_id=group_id))


@router.post("rbac_groups/{group_id}")
def change(request: KeyRequest, group_id: str, body: Change) -> dict[str, Any]:
    """Give a group another name or description."""
    return _shown(groups.change(by=request.auth, group_id=group_id, **body.dict()))


@router.delete("rbac_groups/{group_id}")
def delete(request: KeyRequest, group_id: str) -> dict[str, Any]:
    """Delete a group; its limits end with it."""
    caps.delete_group(by=request.auth, group_id=group_id)
    return {"id": group_id, "type": "rbac_group_deleted"}


@router.get("rbac_groups/{group_id}/members")
def listed_members(request: KeyRequest, group_id: str, limit: int = 20, page: str = "") -> dict[str, Any]:
    """List a group's members by id."""
    after_id = after(page, "user", limit)
    found, more = memberships.page(by=request.auth, group_id=group_id, after_id=after_id, limit=limit)
    return paged(_as_members(request, group_id, found), found[-1].id if found else "", more=more)


@router.post("rbac_groups/{group_id}/members")
def add(request: KeyRequest, group_id: str, body: Joining) -> dict[str, Any]:
    """Put one member into a group; who is in it already stays."""
    member = members.find(by=request.auth, member_id=body.user_id)
    memberships.add(by=request.auth, group_id=group_id, members=[member.id])
    return _as_members(request, group_id, [member])[0]


@router.delete("rbac_groups/{group_id}/members/{member_id}")
def remove(request: KeyRequest, group_id: str, member_id: str) -> dict[str, Any]:
    """Take one member out of a group.

    Raises:
        NotFound: no such group, or nobody with this id is in it.
    """
    member = members.find(by=request.auth, member_id=member_id)
    if not memberships.remove(by=request.auth, group_id=group_id, members=[member.id]):
        raise NotFound(members.NO_SUCH_MEMBER)
    return {"rbac_group_id": group_id, "user_id": member_id, "type": "rbac_group_member_deleted"}


@own.post("groups/{group_id}/add")
def add_many(request: KeyRequest, group_id: str, body: Many) -> dict[str, Any]:
    """Put many members into a group, all or none; tell who was not in it."""
    joined = memberships.add(by=request.auth, group_id=group_id, members=body.members)
    return {"rbac_group_id": group_id, "added": [member.id for member in joined]}


@own.post("groups/{group_id}/remove")
def remove_many(request: KeyRequest, group_id: str, body: Many) -> dict[str, Any]:
    """Take many members out of a group, all or none; tell who was in it."""
    left = memberships.remove(by=request.auth, group_id=group_id, members=body.members)
    return {"rbac_group_id": group_id, "removed": [member.id for member in left]}


def as_group(group: Group, size: int) -> dict[str, Any]:
    """Return a group in Anthropic's shape, with its description and how many members it has."""
    return {
        "type": "rbac_group",
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "members": size,
        "role_ids": [],  # roles are a member's own here
        "source_type": "direct",
        "created_at": clock.text(group.created_at),
        "updated_at": clock.text(group.changed_at),
    }


def _shown(group: Group) -> dict[str, Any]:
    return as_group(group, groups.sizes(group.organization_id).get(group.id, 0))


def _as_members(request: KeyRequest, group_id: str, found: list[Member]) -> list[dict[str, Any]]:
    since = memberships.since(by=request.auth, group_id=group_id, members=found)
    return [
        {
            "type": "rbac_group_member",
            "rbac_group_id": group_id,
            "user_id": member.id,
            "email": member.email,
            "created_at": clock.text(since[member.id]),
        }
        for member in found
    ]
