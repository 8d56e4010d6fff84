"""The known names nearest to one that is unknown: quick enough that a stranger's thousand guesses cost nothing.

Names are first compared by the pairs of letters they share, and only the best of them letter by letter.
"""

import difflib
from collections.abc import Iterable

CLOSER_LOOK = 12


class Nearest:
    """An index of known names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._pairs = {name: _pairs(name) for name in sorted(names)}

    def to(self, name: str, *, most: int = 3) -> list[str]:
        """Return at most *most* known names, the nearest first; never none while anything is known."""
        wanted = _pairs(name)

        def likeness(known: str) -> int:
            pairs = self._pairs[known]
            return -1000 * len(wanted & pairs) // (len(wanted | pairs) or 1)

        closer = sorted(self._pairs, key=likeness)[:CLOSER_LOOK]
        return difflib.get_close_matches(name, closer, n=most, cutoff=0)


def _pairs(name: str) -> frozenset[str]:
    lowered = name.lower()
    return frozenset(lowered[i : i + 2] for i in range(len(lowered) - 1))
