"""Settings: what an organization can change about itself, each change saved by itself; the HIPAA switch."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from tokenpool.console.access import PageRequest, page, show
from tokenpool.kernel.errors import TokenpoolError
from tokenpool.organizations import seats, settings
from tokenpool.organizations.models import Organization, Plan
from tokenpool.organizations.roles import Right


@page(Right.CHANGE_SETTINGS)
def index(request: PageRequest) -> HttpResponse:
    """Show the settings."""
    return show(request, "console/settings.html", _facts(request))


@page(Right.CHANGE_SETTINGS)
@require_POST
def change(request: PageRequest) -> HttpResponse:
    """Change what the form names, all of it or nothing."""
    given = request.POST
    status = {"429": 429, "402": 402}.get(given["refusal_status"], 0) if "refusal_status" in given else None
    try:
        settings.change(
            by=request.principal,
            name=given.get("name"),
            clamps_max_tokens=given["clamping"] == "on" if "clamping" in given else None,
            refusal_status=status,
        )
    except TokenpoolError as error:
        return show(request, "console/settings.html", _facts(request) | {"error": error.message}, status=error.status)
    return redirect("settings")


@page(Right.OWN)
@require_POST
def hipaa(request: PageRequest) -> HttpResponse:
    """Make the organization HIPAA-ready, after its name was typed."""
    try:
        settings.enable_hipaa(by=request.principal, confirmation=request.POST.get("confirmation", ""))
    except TokenpoolError as error:
        return show(request, "console/settings.html", _facts(request) | {"error": error.message}, status=error.status)
    return redirect("settings")


def _facts(request: PageRequest) -> dict[str, object]:
    organization = Organization.objects.get(id=request.principal.organization_id)
    types = seats.types(organization.id)
    return {
        "organization": organization,
        "plan": Plan.objects.get(id=organization.plan_id),
        "seat_types": types,
        "surcharges": [one for one in types if one.hipaa_surcharge_nano],
        "covered": [one.name for one in types if one.hipaa_covered],
    }
