"""What a notice says: subject and sentence per kind, in the language of the person who reads it."""

import json
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from tokenpool.kernel.display import money_text
from tokenpool.kernel.period import Window
from tokenpool.limits import scopes
from tokenpool.notifications.models import Notice
from tokenpool.organizations.models import Member


def subject(notice: Notice) -> str:
    """Return one line for a mail's subject and the bell's heading, in the active language."""
    facts = json.loads(notice.facts)
    if notice.kind == "invoice_ready":
        return _("Invoice for %(month)s is ready") % {"month": facts["month"]}
    if notice.kind == "unknown_model":
        return _("A model has no price: %(model)s") % {"model": facts["model"]}
    if notice.kind == "usage_rerated":
        return _("The price of %(model)s was corrected") % {"model": facts["model"]}
    if facts["percent"] >= 100:  # noqa: PLR2004 - the whole limit
        return _("Spend limit reached: %(limit)s") % {"limit": limit_name(notice, facts)}
    return _("%(percent)s %% of a spend limit used: %(limit)s") % {
        "percent": facts["percent"],
        "limit": limit_name(notice, facts),
    }


def sentence(notice: Notice) -> str:
    """Return what happened, what it means and what to do, in the active language."""
    facts = json.loads(notice.facts)
    if notice.kind == "invoice_ready":
        return _("The invoice for %(month)s is closed: number %(number)s, %(total)s.") % {
            "month": facts["month"],
            "number": facts["number"],
            "total": money(facts["total_nano"]),
        }
    if notice.kind == "unknown_model":
        return _(
            "“%(model)s” was asked for, and has no price. Requests for it are refused; the nearest known models are "
            "%(nearest)s. If it is needed, ask whoever runs Tokenpool for a price."
        ) % {"model": facts["model"], "nearest": ", ".join(facts["nearest"])}
    if notice.kind == "usage_rerated":
        return _(
            "Past usage of %(model)s was rated at a wrong price. The differences are events of their own under "
            "Requests; what a closed invoice has billed is adjusted on the next one."
        ) % {"model": facts["model"]}
    told = {
        "limit": limit_name(notice, facts),
        "spent": money(facts["spent_nano"]),
        "amount": money(facts["limit_nano"]),
    }
    if facts["percent"] >= 100:  # noqa: PLR2004 - the whole limit
        return (
            _("%(limit)s: %(spent)s of %(amount)s is spent, and a request that did not fit was refused.") % told
            + " "
            + _goes_on(facts["window"])
        )
    return (
        _("%(limit)s: %(spent)s of %(amount)s is spent.") % told
        + " "
        + _("At 100 %% new requests are refused; an owner can raise the limit under Limits.") % {}
    )


def _goes_on(window: str) -> str:
    if window == Window.DAY:
        return _("Requests go on at midnight UTC or when an owner raises the limit.")
    if window == Window.WEEK:
        return _("Requests go on when the week begins anew on Monday or an owner raises the limit.")
    return _("Requests go on when the month begins anew or an owner raises the limit.")


def limit_name(notice: Notice, facts: dict[str, Any]) -> str:
    """Return the limit's name, as `the pool of Aurora` or `Bruno Conti's own limit`."""
    scope, each = facts["scope"], facts["basis"] == "each"
    if scope == "organization":
        name = _("organization, each member") if each else _("organization, all together")
    elif scope.startswith("seat_type:"):
        told = {"seat_type": scopes.name_of(notice.organization_id, scope)}
        name = _("%(seat_type)s, each member") % told if each else _("%(seat_type)s, all together") % told
    elif scope.startswith("group:"):
        told = {"group": scopes.name_of(notice.organization_id, scope)}
        name = _("group %(group)s, each member") % told if each else _("group %(group)s, all together") % told
    else:
        name = _("own limit")
    if not notice.member_id:
        return name
    member = Member.objects.filter(organization_id=notice.organization_id, id=notice.member_id).first()
    return _("%(member)s (%(limit)s)") % {"member": member.name if member else notice.member_id, "limit": name}


def money(nano: int) -> str:
    """Return an amount in the active language's form."""
    return money_text(nano, get_language() or "en")
