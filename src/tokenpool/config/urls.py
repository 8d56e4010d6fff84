"""Every address that Django answers; the gateway's are in `gateway.app`."""

from django.http import Http404
from django.urls import URLPattern, URLResolver, include, path
from django.views.defaults import page_not_found

urlpatterns: list[URLPattern | URLResolver] = [
    # Nobody changes their own address: organizations invite by it, and nothing here proves a new one.
    path("accounts/email/", page_not_found, {"exception": Http404()}),
    path("accounts/", include("allauth.account.urls")),
    path("v1/", include("tokenpool.api.urls")),
    path("", include("tokenpool.api.device_sign_in")),
    path("", include("tokenpool.console.urls")),
]
