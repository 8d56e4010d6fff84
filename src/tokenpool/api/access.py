"""Who calls the API: one admin or compliance key; what may come in: strict JSON, known fields only."""

from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser
from pydantic import ConfigDict

from tokenpool.api import envelope
from tokenpool.kernel.errors import InvalidInput, NotAuthenticated, TokenpoolError
from tokenpool.organizations.principals import of_key
from tokenpool.organizations.roles import Principal


class Strict(Schema):
    """A body whose unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StrictParser(Parser):
    """Reads bodies strictly."""

    def parse_body(self, request: HttpRequest) -> Any:  # noqa: ANN401 - ninja's signature
        """Return the body's JSON."""
        try:
            return envelope.strict_json(request.body)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"The body is not valid JSON: {error}.") from error


class KeyRequest(HttpRequest):
    """A request with the principal of its key."""

    auth: Principal


def key_principal(request: HttpRequest) -> Principal:
    """Return the principal of the one credential of *request*.

    Raises:
        InvalidInput: more than one credential. NotAuthenticated: none, unknown or revoked.
    """
    api_key, authorization = request.headers.get("x-api-key"), request.headers.get("authorization")
    if api_key and authorization:
        raise InvalidInput(
            "Send one credential, either x-api-key or Authorization: Bearer, not both.", field="x-api-key"
        )
    secret = api_key or (authorization or "").removeprefix("Bearer ")
    if not secret:
        raise NotAuthenticated("Send an admin key as x-api-key or as Authorization: Bearer.")
    return of_key(secret.strip())


api = NinjaAPI(
    title="Tokenpool",
    version="0.1.0",
    parser=StrictParser(),
    auth=key_principal,
    docs_url=None,
    openapi_url=None,
    urls_namespace="api",
)


@api.exception_handler(TokenpoolError)
def told(request: HttpRequest, problem: TokenpoolError) -> Any:  # noqa: ANN401 - ninja's signature
    """Answer one of our own errors."""
    return envelope.of(request, problem)


@api.exception_handler(ValidationError)
def wrong(request: HttpRequest, problem: ValidationError) -> Any:  # noqa: ANN401 - ninja's signature
    """Answer a body or query that does not fit, naming the first field."""
    first = problem.errors[0]
    field = ".".join(str(part) for part in first["loc"][1:] if part not in ("data", "body")) or "body"
    return envelope.of(request, InvalidInput(f"{field}: {first['msg']}.", field=field))


@api.exception_handler(HttpError)
def refused(request: HttpRequest, problem: HttpError) -> Any:  # noqa: ANN401 - ninja's signature
    """Answer what ninja itself refuses; a body our parser refused keeps its own sentence."""
    if isinstance(problem.__cause__, TokenpoolError):
        return envelope.of(request, problem.__cause__)
    return envelope.of(request, InvalidInput(str(problem)))
