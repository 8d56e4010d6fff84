"""Scopes as people call them: the names of seat types, groups and members."""

from collections.abc import Iterable

from tokenpool.limits.hierarchy import group_scope, member_scope, seat_type_scope
from tokenpool.organizations import groups, seats
from tokenpool.organizations.models import Member


def names(organization_id: str, scopes: Iterable[str]) -> dict[str, str]:
    """Return the names of *scopes*, those of deleted groups and removed members too.

    The organization's own scope has no name; each language has its word for it.
    """
    wanted: dict[str, set[str]] = {}
    for scope in scopes:
        kind, _, name = scope.partition(":")
        wanted.setdefault(kind, set()).add(name)
    found: dict[str, str] = {}
    if "seat_type" in wanted:
        found |= {seat_type_scope(one.key): one.name for one in seats.types(organization_id)}
    if "group" in wanted:
        found |= {group_scope(key): name for key, name in groups.names(organization_id, wanted["group"]).items()}
    if "member" in wanted:
        rows = Member.objects.filter(organization_id=organization_id, id__in=wanted["member"])
        found |= {member_scope(key): name for key, name in rows.values_list("id", "name")}
    return found


def name_of(organization_id: str, scope: str) -> str:
    """Return the name of one scope; what stands behind its colon when it has none (any more)."""
    return names(organization_id, [scope]).get(scope, scope.partition(":")[2])
