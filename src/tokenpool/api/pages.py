"""Pages in Anthropic's newer dialect: `limit`, `page`, and `next_page`, the id of the last row shown."""

from collections.abc import Sequence
from typing import Any

from tokenpool.kernel import ids
from tokenpool.kernel.errors import InvalidInput

MOST = 1000


def after(page: str, prefix: str, limit: int) -> str:
    """Return the id after which a page begins, "" for the first.

    Raises:
        InvalidInput: a limit outside 1 to 1,000, or a page that no answer gave.
    """
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"limit: must lie between 1 and {MOST}.", field="limit")
    if page and not ids.is_id(prefix, page):
        raise InvalidInput("page: must be the next_page of an answer.", field="page")
    return page


def paged(rows: Sequence[dict[str, Any]], last_id: str, *, more: bool) -> dict[str, Any]:
    """Return a page of *rows*, and its *last_id* when *more* follow."""
    return {"data": rows, "next_page": last_id if more else None}
