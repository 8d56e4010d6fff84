"""What a client's request brings besides its credential: a body, a query, labels for its usage."""

from starlette.requests import Request

from tokenpool.gateway.admission import bodies
from tokenpool.kernel.errors import InvalidInput, TokenpoolError
from tokenpool.limits.operations import Attribution
from tokenpool.organizations.directory import KeyFacts

MOST_BODY_BYTES = 32 * 2**20
_LABEL_LENGTH = 80


class TooLarge(TokenpoolError):
    """A body over the cap; nothing of it was parsed."""

    status = 413
    kind = "request_too_large"


async def read_body(request: Request, member_id: str = "") -> bytes:
    """Return the body, a member's or a product's, refusing it unparsed when it is compressed or over the cap.

    Raises:
        InvalidInput: compressed; what it would grow to nobody knows.
        TooLarge: over 32 MiB; told beforehand, it is not even read.
        TooMany: the member has as many bytes of bodies in memory as one member may.
        Unavailable: this process has as many as it takes on.
    """
    request.state.body_bytes, request.state.body_of = 0, member_id
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidInput("content-encoding: send the body uncompressed.", field="content-encoding")
    if int(request.headers.get("content-length", 0)) > MOST_BODY_BYTES:
        raise TooLarge(f"The body is larger than {MOST_BODY_BYTES // 2**20} MiB.")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MOST_BODY_BYTES:
            raise TooLarge(f"The body is larger than {MOST_BODY_BYTES // 2**20} MiB.")
        bodies.take(len(chunk), member_id)
        request.state.body_bytes = size
        chunks.append(chunk)
    return b"".join(chunks)


def query_of(request: Request) -> str:
    """Return what the client wrote behind the question mark; nothing else of its address goes anywhere."""
    return str(request.scope["query_string"], "latin-1")


def attribution(request: Request, facts: KeyFacts) -> Attribution:
    """Return whose usage a request is, as *facts* and its own labels say."""
    return Attribution(
        member_id=facts.member_id,
        seat_type=facts.seat_type or "",
        product=facts.product,
        cost_center=facts.cost_center,
        project=_label(request, "x-tokenpool-project"),
        session_id=_label(request, "x-claude-code-session-id"),
        agent_id=_label(request, "x-claude-code-agent-id"),
        groups=facts.groups,
    )


def _label(request: Request, name: str) -> str:
    value = request.headers.get(name, "")
    if len(value) > _LABEL_LENGTH or not (value.isascii() and value.isprintable()):
        raise InvalidInput(f"{name}: at most {_LABEL_LENGTH} printable ASCII characters.", field=name)
    return value
