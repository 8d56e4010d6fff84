"""Who is calling: exactly one credential, in either of the two headers that clients use."""

from starlette.datastructures import Headers

from tokenpool.kernel.errors import InvalidInput, NotAllowed, NotAuthenticated
from tokenpool.organizations.directory import Directory, KeyFacts


def credential(headers: Headers) -> str:
    """Return the one secret in `x-api-key` or `Authorization: Bearer`.

    Raises:
        InvalidInput: more than one credential.
        NotAuthenticated: none, or an authorization that is no bearer token.
    """
    api_keys, authorizations = headers.getlist("x-api-key"), headers.getlist("authorization")
    if len(api_keys) + len(authorizations) > 1:
        raise InvalidInput(
            "Send one credential, either x-api-key or Authorization: Bearer, not both.", field="x-api-key"
        )
    if api_keys:
        return api_keys[0].strip()
    if not authorizations:
        raise NotAuthenticated("Send your Tokenpool key as x-api-key or as Authorization: Bearer.")
    scheme, _, secret = authorizations[0].partition(" ")
    if scheme.lower() != "bearer":
        raise NotAuthenticated("Authorization must be a bearer token: Authorization: Bearer tp-….")
    return secret.strip()


async def authenticate(headers: Headers, directory: Directory, *, proved_later: bool = False) -> KeyFacts:
    """Return the facts of the calling credential; with *proved_later* as they were last known, if they let it through.

    Who says so has the ledger prove their version before anything is done on them.

    Raises:
        InvalidInput, NotAuthenticated: as `credential`; unknown or revoked keys too.
        NotAllowed: an admin, meter or compliance key.
    """
    secret = credential(headers)
    known = directory.last_known(secret) if proved_later else None
    facts = known if known is not None and known.entitled else await directory.find(secret)
    if facts.kind != "product":
        raise NotAllowed(f"This is a key of kind {facts.kind}; calling models needs a member's product key.")
    return facts


def entitle(facts: KeyFacts) -> None:
    """Do nothing if the member's seat type opens the key's product.

    Raises:
        NotAllowed: it does not; the sentence names the seat type and whom to ask.
    """
    if facts.entitled:
        return
    product = {"chat": "Chat", "claude_code": "Claude Code", "api": "API"}.get(facts.product, facts.product)
    held = "You have no seat" if facts.seat_type is None else f"Your seat type is {facts.seat_type_name}"
    why = (
        ", which is not covered while your organization is HIPAA-ready" if facts.hipaa_ready and facts.seat_type else ""
    )
    raise NotAllowed(f"{held}{why}; it does not include {product}. Ask {facts.ask} for a seat type that does.")
