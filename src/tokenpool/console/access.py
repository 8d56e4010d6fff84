"""The door of every page: signed in, a member, with the right; errors become pages or field messages."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from tokenpool.console import frame
from tokenpool.kernel.errors import Conflict, InvalidInput, TokenpoolError
from tokenpool.organizations.principals import of_person
from tokenpool.organizations.roles import Principal, Right

Page = Callable[Concatenate["PageRequest", ...], HttpResponseBase]


class PageRequest(HttpRequest):
    """A request that has passed the door."""

    principal: Principal
    htmx: Any


def page(right: Right | None = None) -> Callable[[Page], Callable[..., HttpResponseBase]]:
    """Let only members with *right* in, as `request.principal`; show every error as a page.

    The organization is the one chosen in the navigation, else the person's first.
    """

    def door(view: Page) -> Callable[..., HttpResponseBase]:
        @login_required
        @wraps(view)
        def guarded(request: PageRequest, *arguments: str, **named: str) -> HttpResponseBase:
            try:
                request.principal = of_person(request.user, request.session.get("organization", ""))  # type: ignore[arg-type]
                _check_form(request)
                if right is not None:
                    request.principal.require(right)
                return view(request, *arguments, **named)
            except TokenpoolError as error:
                return error_page(request, error)

        return guarded

    return door


def _check_form(request: PageRequest) -> None:
    """Refuse a form with NUL, and one of another organization's page: chosen in another tab, or left since."""
    if any("\0" in text for _, values in request.POST.lists() for text in values):
        raise InvalidInput("A field holds a NUL character; type it again.")
    page_of = request.headers.get("x-organization") or request.POST.get("page_of", "")
    if request.method == "POST" and page_of not in ("", request.principal.organization_id):
        raise Conflict("This was another organization's page, so nothing was changed; open the page again.")


def show(request: PageRequest, template: str, facts: dict[str, Any], status: int = 200) -> HttpResponse:
    """Render *template* within the frame."""
    return render(request, template, {**frame.facts(request), **facts}, status=status)


def error_page(request: PageRequest, error: TokenpoolError) -> HttpResponse:
    """Return *error* as a page, or as a toast for a request that htmx made."""
    facts = {"message": error.message, "status": error.status}
    if getattr(request, "htmx", False):
        response = render(request, "console/pieces/toast.html", facts | {"bad": True}, status=error.status)
        response["HX-Retarget"], response["HX-Reswap"] = "#toasts", "beforeend"
        return response
    if hasattr(request, "principal"):
        return show(request, "console/error.html", facts, status=error.status)
    return render(request, "console/outside.html", facts, status=error.status)
