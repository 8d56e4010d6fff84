"""Adding lines to a price file without touching the ones that stand in it: comments and order stay as they are."""

import re
from collections.abc import Mapping, Sequence

from tokenpool.kernel.errors import InvalidInput
from tokenpool.pricing import document, reading
from tokenpool.pricing.sheet import Section, Sheet

_PART = re.compile(r"^([a-z_]+):(.*)$")
PARTS = ("sources", "models", *Section)


def empty(provider: str, opening: str) -> str:
    """Return the text of a file of *provider* in which nothing stands yet; *opening* is its comment."""
    columns = ", ".join(reading.COLUMNS)
    return f"{opening}provider: {provider}\ncurrency: USD\ncolumns: [{columns}]\n"


def added(name: str, text: str, lines: Mapping[str, Sequence[str]]) -> tuple[str, Sheet]:
    """Return *text* with *lines* at the ends of its parts, and the sheet that it then is.

    Raises:
        InvalidInput: the file *name* has a part on one line, or would not be a price file any more.
    """
    whole = text.rstrip("\n").split("\n")
    for part in PARTS:
        if lines.get(part):
            _put(name, whole, part, list(lines[part]))
    result = "\n".join(whole) + "\n"
    return result, reading.parse(name, document.parse(result, name))


def _put(name: str, whole: list[str], part: str, lines: list[str]) -> None:
    heads = [(at, found.group(1)) for at, line in enumerate(whole) if (found := _PART.match(line))]
    start = next((at for at, head in heads if head == part), None)
    if start is None:
        whole += ["", f"{part}:", *lines]
        return
    if whole[start].partition(":")[2].partition("#")[0].strip():
        reason = f"“{part}” stands on one line; write its entries below each other"
        raise InvalidInput(f"{name}, line {start + 1}: {reason}.", field=name)
    end = next((at for at, _ in heads if at > start), len(whole))
    while end > start + 1 and (not whole[end - 1].strip() or whole[end - 1].startswith("#")):
        end -= 1
    whole[end:end] = lines
