"""My usage: own spend, own limits and what is left, for every member; and the person's own choices."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from tokenpool.console.access import PageRequest, page, show
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.period import Month
from tokenpool.limits import explain
from tokenpool.metering import report
from tokenpool.organizations import groups
from tokenpool.organizations.models import Person

THEMES = ("", "light", "dark")


@page()
def index(request: PageRequest) -> HttpResponse:
    """Show the member's own month."""
    by, month = request.principal, Month.of(clock.now())
    latest, _more = report.events(by=by, member_id=by.member_id, month=month, limit=8)
    explanation = explain.limits_of(by=by, member_id=by.member_id)
    facts = {
        "explanation": explanation,
        "groups": sorted(groups.names(by.organization_id, explanation.member.groups).values()),
        "totals": report.month_totals(by=by, month=month, member_id=by.member_id),
        "month": month,
        "latest": latest,
    }
    return show(request, "console/me.html", facts)


@page()
@require_POST
def choose(request: PageRequest) -> HttpResponse:
    """Save the person's language, theme or organization.

    Raises:
        InvalidInput: a value that is not offered.
    """
    person = Person.objects.get(id=request.user.pk)
    if "language" in request.POST:
        person.language = request.POST["language"]
        if person.language not in dict(settings.LANGUAGES):
            raise InvalidInput("language: must be en or it.", field="language")
    if "theme" in request.POST:
        person.theme = request.POST["theme"]
        if person.theme not in THEMES:
            raise InvalidInput("theme: must be light, dark or empty.", field="theme")
    if "organization" in request.POST:
        request.session["organization"] = request.POST["organization"]
    person.save(update_fields=["language", "theme"])
    back = request.POST.get("next", "/")
    return redirect(back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/")
