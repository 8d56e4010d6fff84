"""Models without a price, on their way to the people who can give them one; never in a request's way."""

from collections.abc import Iterator
from contextlib import contextmanager

from asgiref.sync import sync_to_async

from tokenpool.gateway.parts import Parts
from tokenpool.kernel.errors import UnknownModel
from tokenpool.metering.extract import Reported
from tokenpool.notifications import unpriced

LONGEST = 80
MOST_PER_ORGANIZATION = 50  # names a process remembers of one; who invents more is not listened to


@contextmanager
def told(parts: Parts, organization_id: str, model: str) -> Iterator[None]:
    """Let a refusal of *model* for its lack of a price be told, and pass on.

    Raises:
        UnknownModel: as the block did.
    """
    try:
        yield
    except UnknownModel:
        _tell(parts, organization_id, model)
        raise


def look(parts: Parts, organization_id: str, reported: Reported) -> None:
    """Tell of every model in what was *reported* that the price book does not know."""
    for model, _ in reported.parts:
        if model is not None and parts.book.model_of(model) is None:
            _tell(parts, organization_id, model)


def _tell(parts: Parts, organization_id: str, model: str) -> None:
    shown = "".join(letter for letter in model[:LONGEST] if letter.isprintable())
    known = parts.unpriced.setdefault(organization_id, set())
    if shown in known or len(known) >= MOST_PER_ORGANIZATION:
        return
    known.add(shown)
    telling = sync_to_async(unpriced.tell)(
        organization_id=organization_id, model=shown, nearest=parts.book.nearest(shown)
    )
    parts.background(telling)
