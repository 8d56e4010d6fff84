"""What surrounds every page: the navigation by right, the organizations, the bell's count."""

from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tokenpool.notifications import bell
from tokenpool.organizations.models import Person
from tokenpool.organizations.principals import organizations_of
from tokenpool.organizations.roles import Principal, Right

NAVIGATION = (
    ("usage", _("Usage"), Right.SEE_SPEND),
    ("me", _("My usage"), Right.SEE_OWN),
    ("members", _("Members"), Right.SEE_MEMBERS),
    ("limits", _("Limits"), Right.SET_LIMITS),
    ("requests", _("Requests"), Right.SEE_OWN),
    ("invoices", _("Invoices"), Right.SEE_SPEND),
    ("prices", _("Prices"), Right.SEE_OWN),
    ("keys", _("Keys"), Right.SEE_OWN),
    ("alerts", _("Alerts"), Right.SEE_OWN),
    ("audit", _("Audit"), Right.SEE_AUDIT),
    ("settings", _("Settings"), Right.CHANGE_SETTINGS),
)


def facts(request: HttpRequest) -> dict[str, Any]:
    """Return the facts of the frame for the request's principal."""
    principal: Principal = request.principal  # type: ignore[attr-defined]
    person = Person.objects.get(id=request.user.pk)
    here = request.resolver_match.url_name if request.resolver_match else None
    return {
        "principal": principal,
        "navigation": [(name, label) for name, label, right in NAVIGATION if principal.may(right)],
        "here": (here or "").partition("-")[0],
        "organizations": organizations_of(person),
        "unread": bell.unread_count(person.id, principal.organization_id),
        "rights": {right.value: principal.may(right) for right in Right},
    }
