"""Text that PostgreSQL cannot keep is refused before anything is looked up by it."""

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse


class NoNul:
    """Refuses NUL in an address or a cookie; bodies are read, and refused, by whoever knows their form."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or refuse.

        Raises:
            BadRequest: the path, the query or a cookie holds NUL.
        """
        query = [text for name, values in request.GET.lists() for text in (name, *values)]
        if any("\0" in text for text in (request.path, *query, *request.COOKIES.values())):
            raise BadRequest("The address or a cookie holds a NUL character.")
        return self.get_response(request)
