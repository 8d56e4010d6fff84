"""Time-ordered 128-bit ids with a public prefix: `hold_06QXK…`, 48 bits of milliseconds, 80 random.

One request is one id: its hold, its events and its `request-id` header differ in the prefix alone.
"""

import hashlib
import json
import re
import secrets

from tokenpool.kernel import clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHAPE = re.compile(r"[a-z]+_[0-9a-hjkmnp-tv-z]{26}", re.ASCII)


def new(prefix: str, *, after: str = "") -> str:
    """Return a new id that sorts after the ids made in earlier milliseconds.

    It sorts after the id *after* in any case: a row that follows another one does, though the clock was set back.
    """
    milliseconds = clock.timestamp(clock.now()) // 1000
    if after:
        milliseconds = max(milliseconds, (_decode(after) >> 80) + 1)
    return f"{prefix}_{_encode(milliseconds << 80 | secrets.randbits(80))}"


def derived(prefix: str, *names: str) -> str:
    """Return the id that the same *names* always give: their SHA-256, cut to 128 bits."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return f"{prefix}_{_encode(int.from_bytes(digest[:16]))}"


def twin(prefix: str, of: str) -> str:
    """Return the id with the same 128 bits as *of* under another *prefix*."""
    return f"{prefix}_{of.rpartition('_')[2]}"


def is_id(prefix: str, text: str) -> bool:
    """Tell whether *text* has the shape of an id with this *prefix*."""
    return text.startswith(prefix + "_") and _SHAPE.fullmatch(text) is not None


def _encode(value: int) -> str:
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


def _decode(text: str) -> int:
    value = 0
    for letter in text.rpartition("_")[2]:
        value = value << 5 | _ALPHABET.index(letter)
    return value
