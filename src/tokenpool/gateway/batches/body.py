"""The body of a batch: each request's parameters read and bounded like a call of its own.

What the provider is sent is what came, byte for byte, but for each request's `custom_id`: there it gets
the name of the request's hold, so that a result says by itself which hold it ends, whatever was lost on
the way. Results go back with the client's own.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tokenpool.gateway.batches import spans
from tokenpool.gateway.batches.spans import Span
from tokenpool.gateway.call import Call, read_call
from tokenpool.kernel.errors import InvalidInput, Unbounded

CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a batch."""

    custom_id: str
    at: Span  # of its custom_id in the text
    call: Call


@dataclass(frozen=True, slots=True)
class Body:
    """A batch as asked."""

    text: str
    requests: tuple[Asked, ...]

    def models(self) -> dict[str, int]:
        """Return the models that are asked for, each with the index of its first request."""
        found: dict[str, int] = {}
        for index, one in enumerate(self.requests):
            found.setdefault(one.call.model, index)
        return found

    def named(self, names: Sequence[str]) -> bytes:
        """Return the bytes for the provider, in which each request is called by one of *names*."""
        changes = [(one.at, json.dumps(name)) for one, name in zip(self.requests, names, strict=True)]
        return spans.replaced(self.text, changes).encode()


def read(raw: bytes, *, most: int) -> Body:
    """Read the body of `POST /v1/messages/batches`.

    Raises:
        InvalidInput: malformed, more than *most* requests, a custom_id that is wrong or stands twice, or what
            is wrong with a request's own parameters; names the request and its field.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("The body is not UTF-8.") from error
    found: list[Asked] = []
    fields, end = spans.members(text, spans.skip(text, 0), {"requests": lambda text, at: _list(text, at, found, most)})
    if spans.skip(text, end) != len(text):
        raise InvalidInput("The body has more than one JSON object.")
    if "requests" not in fields or not found:
        raise InvalidInput("requests: must be a list of at least one request.", field="requests")
    seen: set[str] = set()
    for one in found:
        if one.custom_id in seen:
            raise InvalidInput(f"requests: the custom_id “{one.custom_id}” stands twice.", field="requests")
        seen.add(one.custom_id)
    return Body(text, tuple(found))


@contextmanager
def of_request(index: int) -> Iterator[None]:
    """Let what is wrong in the block be said of the parameters of the request at *index*.

    Raises:
        InvalidInput: as the block, of the same kind.
    """
    try:
        yield
    except InvalidInput as error:
        place = f"requests.{index}.params"
        named = error.field is not None and error.message.startswith(f"{error.field}:")
        message = f"{place}.{error.message}" if named else f"{place}: {error.message}"
        raise type(error)(message, field=f"{place}.{error.field}" if named else place) from error


def _list(text: str, at: int, found: list[Asked], most: int) -> int:
    """Read the list of requests into *found*; return where it ends."""
    if not text.startswith("[", at):
        raise InvalidInput("requests: must be a list.", field="requests")
    at = spans.skip(text, at + 1)
    while not text.startswith("]", at):
        if len(found) == most:
            raise InvalidInput(
                f"requests: at most {most:,} in one batch here; send them in several batches.", field="requests"
            )
        asked, at = _request(text, spans.skip(text, spans.expect(text, at, ",")) if found else at, len(found))
        found.append(asked)
        at = spans.skip(text, at)
    return at + 1


def _request(text: str, at: int, index: int) -> tuple[Asked, int]:
    place = f"requests.{index}"
    if not text.startswith("{", at):
        raise InvalidInput(f"{place}: must be an object.", field=place)
    fields, end = spans.members(text, at)
    if missing := {"custom_id", "params"} - fields.keys():
        name = min(missing)
        raise InvalidInput(f"{place}.{name}: is missing.", field=f"{place}.{name}")
    custom_id, _ = spans.value(text, fields["custom_id"][0])
    if not isinstance(custom_id, str) or not CUSTOM_ID.fullmatch(custom_id):
        raise InvalidInput(f"{place}.custom_id: must be 1 to 64 letters, digits, - or _.", field=f"{place}.custom_id")
    start, stop = fields["params"]
    with of_request(index):
        call = _call(text[start:stop])
    return Asked(custom_id, fields["custom_id"], call), end


def _call(params: str) -> Call:
    call = read_call(params.encode())
    if call.fast:
        raise Unbounded("speed: fast mode is not sold in batches; leave it out.", field="speed")
    return call
