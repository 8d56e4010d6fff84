"""The one tree of errors. A refusal is a value (`limits.decide`), an error is an exception from here.

TokenpoolError
├── InvalidInput      400  a field is wrong; names the field and the remedy
│   ├── UnknownModel       no price row answers for the model on that day
│   └── Unbounded          the request can cost more than can be computed beforehand
├── NotAuthenticated  401  no credential, or one that is unknown or revoked
├── NotAllowed        403  the credential is good, the right or the seat type is missing
├── NotFound          404  absent, or another organization's: the two read the same
├── Conflict          409  the state changed first; the message tells how
└── Unavailable       503  the database cannot promise durability now; try again
    └── Undecided          the commit was not confirmed: wholly there or wholly absent
"""

import traceback
from pathlib import Path

_FRAMES = 5


def traced(error: BaseException) -> str:
    """Return what a log may hold of an unexpected error: its type and where it arose. Its words may hold a prompt."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {places}"


class TokenpoolError(Exception):
    """An error that has a status and a sentence for the person who caused it."""

    status = 500
    kind = "api_error"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidInput(TokenpoolError):
    """A value that cannot be accepted; *field* names it."""

    status = 400
    kind = "invalid_request_error"


class UnknownModel(InvalidInput):
    """A model that no price row covers on the day in question."""


class Unbounded(InvalidInput):
    """A request whose largest possible cost cannot be computed."""


class NotAuthenticated(TokenpoolError):
    """No credential, or one that is unknown or revoked."""

    status = 401
    kind = "authentication_error"


class NotAllowed(TokenpoolError):
    """A good credential without the right, or without the seat type."""

    status = 403
    kind = "permission_error"


class NotFound(TokenpoolError):
    """Absent here; another organization's ids answer the same."""

    status = 404
    kind = "not_found_error"


class Conflict(TokenpoolError):
    """The state has moved on; the message says to what."""

    status = 409
    kind = "conflict_error"


class Unavailable(TokenpoolError):
    """Durability cannot be promised at this moment."""

    status = 503
    kind = "api_error"


class Undecided(Unavailable):
    """The commit was asked for and not confirmed: all of it is there or nothing; the same id asked again tells."""
