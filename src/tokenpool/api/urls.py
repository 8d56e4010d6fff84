"""The API's addresses, below `/v1/`."""

from django.urls import URLPattern, URLResolver, path

from tokenpool.api import billing, groups, people, prices, spend_limits, usage, what_if
from tokenpool.api.access import api

for room in (people, usage, prices, billing, what_if):
    api.add_router("/tokenpool/", room.router)
api.add_router("/tokenpool/", groups.own)
for room in (groups, spend_limits):
    api.add_router("/organizations/", room.router)
api.add_router("/compliance/", billing.feed)

urlpatterns: list[URLPattern | URLResolver] = [path("", api.urls)]
