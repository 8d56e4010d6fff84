"""Audit: who changed what, when, from what to what; newest first, with the state of the chain."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.http import HttpResponse

from tokenpool.audit import chain
from tokenpool.audit.actions import Action
from tokenpool.compliance import activity
from tokenpool.console.access import PageRequest, page, show
from tokenpool.organizations.roles import Right

PAGE = 50
LONGEST = 400  # characters of a fact on the page; the file has them all


@page(Right.SEE_AUDIT)
def index(request: PageRequest) -> HttpResponse:
    """Show the activities, or send them as NDJSON."""
    kind = request.GET.get("type", "")
    types = (kind,) if kind in list(Action) else ()
    activities = partial(activity.list_activities, by=request.principal, activity_types=types)
    after_id = request.GET.get("after", "")
    if request.GET.get("format") == "ndjson":
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _every(activities, after_id))
        response = HttpResponse(lines, content_type="application/x-ndjson")
        response["Content-Disposition"] = 'attachment; filename="audit.ndjson"'
        return response
    found = activities(after_id=after_id, limit=PAGE)
    facts = {
        "rows": [(row, _who(row["actor"]), _difference(row["before"], row["after"])) for row in found["data"]],
        "more": found["has_more"],
        "last_id": found["last_id"],
        "types": list(Action),
        "type": kind,
        "broken": chain.verify(request.principal.organization_id),
    }
    return show(request, "console/audit.html", facts)


def _every(activities: Callable[..., dict[str, Any]], after_id: str) -> Iterator[dict[str, Any]]:
    """Yield all activities after *after_id*."""
    more = True
    while more:
        found = activities(after_id=after_id, limit=activity.MOST)
        yield from found["data"]
        after_id, more = found["last_id"], found["has_more"]


def _who(actor: dict[str, str]) -> str:
    return actor.get("email_address") or actor["name"]


def _difference(before: dict[str, object] | None, after: dict[str, object] | None) -> list[tuple[str, str, str]]:
    """Return (name, before, after) of every fact that differs, as text."""
    before, after = before or {}, after or {}
    return [
        (name, _text(before.get(name)), _text(after.get(name)))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _text(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
