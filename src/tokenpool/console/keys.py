"""Keys: minted for one product, shown once with the lines to paste, revoked at once."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from tokenpool.console.access import PageRequest, page, show
from tokenpool.kernel.errors import TokenpoolError
from tokenpool.organizations import api_keys, device_tokens, seats
from tokenpool.organizations.models import Member
from tokenpool.organizations.roles import Right


@page()
def index(request: PageRequest) -> HttpResponse:
    """Show the person's keys, and everybody's to those who manage members."""
    return show(request, "console/keys.html", _facts(request))


@page()
@require_POST
def mint(request: PageRequest) -> HttpResponse:
    """Mint a key and show its secret once."""
    kind = request.POST.get("kind", "product")
    member_id = request.POST.get("member") or request.principal.member_id
    try:
        key, secret = api_keys.mint(
            by=request.principal,
            kind=kind,
            product=request.POST.get("product", ""),
            member_id=member_id if kind == "product" else "",
            name=request.POST.get("name", ""),
        )
    except TokenpoolError as error:
        facts = {**_facts(request), "error": error.message, "given": request.POST}
        return show(request, "console/keys.html", facts, status=error.status)
    facts = {"key": key, "secret": secret, "url": settings.PUBLIC_URL}
    return show(request, "console/key_shown.html", facts)


@page()
@require_POST
def revoke(request: PageRequest, key_id: str) -> HttpResponse:
    """Revoke a key."""
    api_keys.revoke(by=request.principal, key_id=key_id)
    return redirect("keys")


def _facts(request: PageRequest) -> dict[str, object]:
    by = request.principal
    others = api_keys.every(by=by) if by.may(Right.MANAGE_MEMBERS) else []
    mine = api_keys.of_member(by=by, member_id=by.member_id)
    standing = device_tokens.standing(by=by, keys=[key for key in [*mine, *others] if key.is_device])
    me = Member.objects.get(organization_id=by.organization_id, id=by.member_id)
    seat_type = next((one for one in seats.types(by.organization_id) if one.key == me.seat_type), None)
    people = Member.objects.filter(organization_id=by.organization_id, removed_at=None).exclude(seat_type=None)
    names = dict(Member.objects.filter(organization_id=by.organization_id).values_list("id", "name"))
    return {
        "mine": [(key, standing.get(key.id)) for key in mine],
        "others": [
            (key, names.get(key.member_id, ""), standing.get(key.id)) for key in others if key.member_id != by.member_id
        ],
        "products": seat_type.products if seat_type else [],
        "all_products": api_keys.PRODUCTS,
        "people": people.order_by("name") if by.may(Right.MANAGE_MEMBERS) else [],
        "kinds": api_keys.KINDS[1:],
    }
