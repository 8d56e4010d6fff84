"""Every address that Django answers; the gateway's are in `gateway.app`."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/", include("allauth.account.urls")),
    path("v1/", include("tokenpool.api.urls")),
    path("", include("tokenpool.console.urls")),
]
