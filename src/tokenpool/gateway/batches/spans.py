"""Where values stand in a JSON text, so that one can be replaced while every other byte stays as it came."""

import json
import re
from collections.abc import Callable, Mapping

from tokenpool.gateway.body import no_constant
from tokenpool.kernel.errors import InvalidInput

Span = tuple[int, int]
Reader = Callable[[str, int], int]  # of a value that begins there; returns where it ends
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(parse_constant=no_constant)


def value(text: str, at: int) -> tuple[object, int]:
    """Return the value that begins at *at* and where it ends.

    Raises:
        InvalidInput: there is none.
    """
    try:
        found: tuple[object, int] = _DECODER.raw_decode(text, at)
    except RecursionError as error:
        raise InvalidInput("The body is nested too deeply.") from error
    except ValueError as error:
        raise InvalidInput(f"The body is not valid JSON at character {at}.") from error
    return found


def members(text: str, at: int, readers: Mapping[str, Reader] = {}) -> tuple[dict[str, Span], int]:
    """Return where each member's value of the object at *at* stands, and where the object ends.

    A member that has a reader is read by it.

    Raises:
        InvalidInput: no object, or a name that stands twice.
    """
    found: dict[str, Span] = {}
    at = skip(text, expect(text, at, "{"))
    while not text.startswith("}", at):
        name, at = value(text, skip(text, expect(text, at, ",")) if found else at)
        if not isinstance(name, str) or name in found:
            raise InvalidInput(f"The body has the key “{str(name)[:40]}” twice in one object, or no name for a value.")
        start = skip(text, expect(text, skip(text, at), ":"))
        end = readers[name](text, start) if name in readers else value(text, start)[1]
        found[name], at = (start, end), skip(text, end)
    return found, at + 1


def expect(text: str, at: int, mark: str) -> int:
    """Return the place behind *mark*.

    Raises:
        InvalidInput: it does not stand at *at*.
    """
    if not text.startswith(mark, at):
        raise InvalidInput(f"The body is not valid JSON: expected “{mark}” at character {at}.")
    return at + 1


def skip(text: str, at: int) -> int:
    """Return the next place that is no white space."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def replaced(text: str, changes: list[tuple[Span, str]]) -> str:
    """Return *text* with each span, in ascending order, replaced by a JSON value."""
    pieces, at = [], 0
    for (start, end), new in changes:
        pieces += [text[at:start], new]
        at = end
    return "".join([*pieces, text[at:]])
