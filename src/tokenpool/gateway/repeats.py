"""A request that comes twice under one idempotency key is billed at most once.

The key, scoped by member, names the hold: the ledger itself refuses the second. An attempt that cost
nothing may be repeated under its key; one that was billed cannot be answered again, since no answer
is kept, and is told so. Without a key every request is an attempt of its own.
"""

from starlette.datastructures import Headers

from tokenpool.kernel import ids
from tokenpool.kernel.errors import Conflict, InvalidInput
from tokenpool.kernel.money import dollars
from tokenpool.limits.operations import Ended
from tokenpool.organizations.directory import KeyFacts

HEADER = "idempotency-key"
MOST_VOID = 20  # attempts under one key that cost nothing
_KEY_LENGTH = 255


def hold_ids(headers: Headers, facts: KeyFacts, request_id: str) -> list[str]:
    """Return the ids that this request's hold may have, in turn: one without a key, else those the key stands for.

    Raises:
        InvalidInput: a key that is empty, too long, not printable, or one of several.
    """
    keys = headers.getlist(HEADER)
    if not keys:
        return [ids.twin("hold", request_id)]
    key = keys[0] if len(keys) == 1 else ""
    if not (0 < len(key) <= _KEY_LENGTH and key.isascii() and key.isprintable()):
        raise InvalidInput(f"{HEADER}: one key of 1 to {_KEY_LENGTH} printable ASCII characters.", field=HEADER)
    names = ("idempotency", facts.organization_id, facts.member_id, key)
    return [ids.derived("hold", *names, str(turn)) for turn in range(MOST_VOID)]


def after(names: list[str], ended: Ended) -> list[str]:
    """Return the ids that are left when the first of *names* stands for an attempt that cost nothing.

    Raises:
        Conflict: it is running, or was billed (the sentence tells its request and its cost), or was the last.
    """
    first = ids.twin("req", names[0])
    if ended.state == "settled":
        cost = dollars(ended.settled_nano or 0)
        raise Conflict(
            f"{HEADER}: request {first} had this key and was billed {cost} dollars. No answer is kept, so it cannot "
            "be given again; to ask again, send another key.",
            field=HEADER,
        )
    if ended.state != "void":
        raise Conflict(f"{HEADER}: request {first} with this key is still running.", field=HEADER)
    if not names[1:]:
        raise Conflict(f"{HEADER}: {MOST_VOID} attempts with this key have failed; send another key.", field=HEADER)
    return names[1:]
