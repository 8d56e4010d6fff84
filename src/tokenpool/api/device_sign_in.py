"""Signing in without a browser of its own: OAuth's device grant as clients speak it (RFC 6749, 7009, 8414, 8628).

Forms in, JSON out, no client to register and no session. What is not known is ignored, what stands
twice is refused. The page where a person decides is the console's.
"""

from dataclasses import asdict

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from tokenpool.organizations import device_tokens, devices
from tokenpool.organizations.devices import Refused

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS = {DEVICE_GRANT: "device_code", "refresh_token": "refresh_token"}
MOST_FORM_BYTES = 16_384
FORM = "application/x-www-form-urlencoded"
NEVER_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@require_GET
def metadata(_: HttpRequest) -> HttpResponse:
    """Tell where things are; a client takes only what lies on the origin it was given."""
    base = settings.PUBLIC_URL
    return JsonResponse(
        {
            "issuer": base,
            "device_authorization_endpoint": f"{base}/oauth/device_authorization",
            "token_endpoint": f"{base}/oauth/token",
            "revocation_endpoint": f"{base}/oauth/revoke",
            "response_types_supported": [],
            "grant_types_supported": list(GRANTS),
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
        }
    )


@csrf_exempt
@require_POST
def device_authorization(request: HttpRequest) -> HttpResponse:
    """Give a device its codes; which client it is, is told by its user agent."""
    if (wrong := _wrong_form(request)) is not None:
        return wrong
    agent, address = request.headers.get("user-agent", ""), request.META.get("REMOTE_ADDR", "")
    asked = devices.ask(user_agent=agent, address=address)
    if isinstance(asked, Refused):
        return _refused(asked, 429, retry_after=60)
    page = f"{settings.PUBLIC_URL}/device"
    code = devices.written(asked.user_code)
    addresses = {"verification_uri": page, "verification_uri_complete": f"{page}?user_code={code}"}
    return JsonResponse({**asdict(asked), "user_code": code, **addresses}, headers=NEVER_KEPT)


@csrf_exempt
@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """Answer a poll, or renew."""
    if (wrong := _wrong_form(request)) is not None:
        return wrong
    grant = request.POST.get("grant_type", "")
    if grant not in GRANTS:
        return _refused(Refused("unsupported_grant_type", f"grant_type: must be one of {', '.join(GRANTS)}."), 400)
    name = GRANTS[grant]
    secret = request.POST.get(name, "")
    if not secret:
        return _refused(Refused("invalid_request", f"{name}: is missing."), 400)
    renews = name == "refresh_token"
    answer = device_tokens.renew(secret) if renews else device_tokens.redeem(secret)
    if isinstance(answer, Refused):
        return _refused(answer, 401 if renews else 400)
    return JsonResponse({**asdict(answer), "token_type": "Bearer"}, headers=NEVER_KEPT)


@csrf_exempt
@require_POST
def revoke(request: HttpRequest) -> HttpResponse:
    """End the sign-in of a token; a token nobody knows is as good as ended."""
    if (wrong := _wrong_form(request)) is not None:
        return wrong
    if not request.POST.get("token"):
        return _refused(Refused("invalid_request", "token: is missing."), 400)
    device_tokens.sign_out(request.POST["token"])
    return HttpResponse(headers=NEVER_KEPT)


def _wrong_form(request: HttpRequest) -> HttpResponse | None:
    """Return the refusal of a body that is no form, too large, or has a parameter twice; else None."""
    length = request.headers.get("content-length") or "0"
    if not length.isdigit() or int(length) > MOST_FORM_BYTES:
        return _refused(Refused("invalid_request", f"A form has at most {MOST_FORM_BYTES} bytes."), 413)
    if length != "0" and request.content_type != FORM:
        return _refused(Refused("invalid_request", f"content-type: must be {FORM}."), 400)
    twice = next((name for name, values in request.POST.lists() if len(values) > 1), None)
    if twice is not None:
        return _refused(Refused("invalid_request", f"{twice[:40]}: stands twice."), 400)
    return None


def _refused(refused: Refused, status: int, *, retry_after: int | None = None) -> HttpResponse:
    """Return an error as RFC 6749 5.2 has it."""
    told = {"error": refused.error, "error_description": refused.description}
    response = JsonResponse(told, status=status, headers=NEVER_KEPT)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response


urlpatterns = [
    path(".well-known/oauth-authorization-server", metadata),
    path("oauth/device_authorization", device_authorization),
    path("oauth/token", token),
    path("oauth/revoke", revoke),
]
