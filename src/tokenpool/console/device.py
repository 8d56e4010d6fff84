"""Letting a device in: a member types the code it shows, sees what asks, and decides (RFC 8628, 3.3).

A code in the link is looked up and shown, and never decided upon by itself: whoever sends somebody
such a link must not get in by it.
"""

from contextlib import suppress

from django.core.cache import cache
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tokenpool.console.access import PageRequest, page, show
from tokenpool.kernel import clock
from tokenpool.kernel.errors import TokenpoolError
from tokenpool.organizations import devices
from tokenpool.organizations.models import DeviceRequest

TOO_MANY, UNKNOWN = 429, 404
MOST_CODES_A_MINUTE = {"person": 10, "address": 30}  # in one process; an office has one address


@page()
def index(request: PageRequest) -> HttpResponse:
    """Ask for a code; with one, show what asks."""
    return _about(request, request.GET.get("user_code", ""))


@page()
@require_POST
def decide(request: PageRequest) -> HttpResponse:
    """Let the device in, or turn it away."""
    code, approved = request.POST.get("user_code", ""), request.POST.get("decision") == "allow"
    found, problem, status = _looked_up(request, code)
    if found is None:
        return show(request, "console/device.html", {"code": code, "error": problem}, status=status)
    try:
        devices.decide(by=request.principal, request=found, approved=approved)
    except TokenpoolError as error:
        return show(request, "console/device.html", {"code": code, "error": error.message}, status=error.status)
    return show(request, "console/device.html", {"done": "allowed" if approved else "denied"})


def _about(request: PageRequest, code: str) -> HttpResponse:
    if not code:
        return show(request, "console/device.html", {"code": ""})
    found, problem, status = _looked_up(request, code)
    code = devices.written(devices.normalized(code)) if found else code[:40]
    facts = {"code": code, "error": problem, "found": found, "opens": _opens(request) if found else False}
    return show(request, "console/device.html", facts, status=status)


def _looked_up(request: PageRequest, code: str) -> tuple[DeviceRequest | None, str, int]:
    """Return the waiting request behind *code*, or a sentence and a status."""
    if _tries_too_many(request):
        return None, _("Too many codes were tried. Wait a minute, then try again."), TOO_MANY
    found = devices.look_up(code)
    if found is None or devices.state_of(found, clock.now()) != "waiting":
        sentence = _("This code is not known or has expired. Look at the code on the device, or start again there.")
        return None, sentence, UNKNOWN
    return found, "", 200


def _tries_too_many(request: PageRequest) -> bool:
    """Count this try for its person and for its address; True when either has had their minute's share."""
    tried = {"person": str(request.user.pk), "address": request.META.get("REMOTE_ADDR", "")}
    too_many = False
    for kind, who in tried.items():
        count = f"device-codes:{kind}:{who}"
        cache.add(count, 0, 60)
        with suppress(ValueError):  # the minute ended between the two
            too_many |= cache.incr(count) > MOST_CODES_A_MINUTE[kind]
    return too_many


def _opens(request: PageRequest) -> bool:
    return devices.admitted(request.principal.organization_id, request.principal.member_id) is not None
