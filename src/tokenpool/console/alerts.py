"""Alerts: what the person was told, and for owners how each mail fared."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from tokenpool.console.access import PageRequest, page, show
from tokenpool.notifications import bell, sentences
from tokenpool.organizations.roles import Right


@page()
def index(request: PageRequest) -> HttpResponse:
    """Show the bell's notices and the delivery log."""
    by, person_id = request.principal, str(request.user.pk)
    log = bell.deliveries(by=by) if by.may(Right.SET_LIMITS) else []
    facts = {
        "told": bell.for_person(person_id, by.organization_id),
        "log": [(row, sentences.subject(notice), email) for row, notice, email in log],
    }
    return show(request, "console/alerts.html", facts)


@page()
@require_POST
def read(request: PageRequest) -> HttpResponse:
    """Mark everything as read."""
    bell.mark_read(str(request.user.pk), request.principal.organization_id)
    return redirect("alerts")
