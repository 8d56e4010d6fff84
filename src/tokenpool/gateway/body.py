"""Reading a request's body: strict JSON, and what stands anywhere in it that can cost."""

import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from tokenpool.gateway.parameters import MEDIA_BLOCKS, TEXT_BLOCKS
from tokenpool.kernel.errors import InvalidInput

MOST_MARKS = 400_000  # commas and opening brackets: a hundred thousand messages, the provider's most, have fewer
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
KNOWN_BLOCKS = MEDIA_BLOCKS | TEXT_BLOCKS


@dataclass(slots=True)
class Seen:
    """What was met while parsing: whether cache writes, long ones, or media can occur anywhere in the body."""

    cache_5m: bool = False
    cache_1h: bool = False
    image_bytes: int = 0
    images: int = 0  # wherever an object calls itself one
    unbounded_media: bool = False
    inline_tools: list[object] = field(default_factory=list)  # defined in the middle of the conversation


def parse_body(raw: bytes) -> tuple[dict[str, Any], Seen]:
    """Return the JSON object in *raw* and what stood anywhere in it that can cost.

    Raises:
        InvalidInput: not UTF-8, not JSON, no object, nested too deeply, a key that stands twice, or too many values.
    """
    seen = Seen()
    _check_marks(raw)

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise InvalidInput(f"The body has the key “{name[:40]}” twice in one object.", field=name[:40])
            found[name] = value
        _look(found, seen)
        return found

    try:
        body = json.loads(raw.decode(), object_pairs_hook=check, parse_constant=no_constant)
    except UnicodeDecodeError as error:
        raise InvalidInput("The body is not UTF-8.") from error
    except RecursionError as error:
        raise InvalidInput("The body is nested too deeply.") from error
    except ValueError as error:
        raise InvalidInput(f"The body is not valid JSON: {error}.") from error
    if not isinstance(body, dict):
        raise InvalidInput("The body must be a JSON object.")
    _walk(body.get("messages"), seen)
    return body, seen


def model_of(body: dict[str, Any]) -> str:
    """Return the name of the model that a body asks for.

    Raises:
        InvalidInput: it has none.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidInput("model: must be the name of a model.", field="model")
    return model


def no_constant(text: str) -> NoReturn:
    """Refuse the names of numbers that Python reads and JSON does not have.

    Raises:
        InvalidInput: always.
    """
    raise InvalidInput(f"The body has {text}, which is not JSON.")


def _check_marks(raw: bytes) -> None:
    """Refuse what would take seconds to read, in which nobody else is served; text may hold any number of commas.

    Raises:
        InvalidInput: more values than any call has.
    """
    if _marks(raw) > MOST_MARKS:
        outside, strings = _STRING.subn(b"", raw, 2 * MOST_MARKS)
        if strings == 2 * MOST_MARKS or _marks(outside) > MOST_MARKS:  # so many strings have half as many commas
            raise InvalidInput(f"The body has more than {MOST_MARKS:,} values; send less at once.")


def _marks(text: bytes) -> int:
    return sum(text.count(mark) for mark in (b",", b"[", b"{"))


def _walk(blocks: object, seen: Seen) -> None:
    """Note what stands where the API reads content: image data, tools defined inline, kinds of block nobody knows.

    Look-alikes elsewhere are text, and count as such.
    """
    for block in blocks if isinstance(blocks, list) else ():
        if not isinstance(block, dict):
            continue
        kind, source = block.get("type"), block.get("source")
        if kind == "image" and isinstance(source, dict) and source.get("type") == "base64":
            data = source.get("data")
            seen.image_bytes += len(data) if isinstance(data, str) and data.isascii() else 0
        elif kind == "tool_addition":
            tool = block.get("tool")
            if isinstance(tool, dict) and tool.get("type") == "tool_definition":
                seen.inline_tools.append(tool.get("definition"))
        elif "role" in block or kind == "tool_result":
            _walk(block.get("content"), seen)
        elif not isinstance(kind, str) or kind not in KNOWN_BLOCKS:
            seen.unbounded_media = True


def _look(found: dict[str, Any], seen: Seen) -> None:
    """Note what an object of the body makes possible."""
    cache = found.get("cache_control")
    if cache is not None:
        seen.cache_5m = True
        seen.cache_1h = seen.cache_1h or (isinstance(cache, dict) and cache.get("ttl") not in (None, "5m"))
    kind = found.get("type")
    if kind == "image":
        seen.images += 1
    elif kind == "document":
        source = found.get("source")
        if not isinstance(source, dict) or source.get("type") not in ("text", "content"):
            seen.unbounded_media = True
    elif kind in ("file", "container_upload") or "file_id" in found:
        seen.unbounded_media = True
