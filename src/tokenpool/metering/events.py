"""Reading usage out of a passing event stream: a copy of the bytes comes by, nothing is held back.

Tolerates any split of chunks, CRLF, comments, pings, unknown events, repeated and missing ones, and data
over several lines. A data line that is JSON by itself acts at once, so that the end of a message is known
before the client can act on it. What a hostile upstream sends is counted, never kept beyond a limit and
never copied twice. A lone CR does not end a line: no provider writes it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.extract import Reported

_BLANK = " \t\r\n"
_read: Callable[[str], tuple[object, int]] = (
    json.JSONDecoder().raw_decode
)  # a third of what `loads` takes for a short text
MOST_BUFFERED = 16 * 2**20  # a longer line or event is counted as output and dropped


class Meter(ABC):
    """Follows one stream of any format; what the events mean is the format's own matter."""

    end_mark = b""  # a data line that is no JSON and ends the stream
    input_is_told = True  # `start_input` is the provider's figure; else it is this side's estimate

    def __init__(self) -> None:
        self.started = False  # the answer has begun: from here on something is billed
        self.finished = False  # its last event was seen
        self.start_input: TokenCounts | None = None
        self.output_bytes = 0  # UTF-8 bytes of what was generated, as far as it has come
        self.error: dict[str, Any] | None = None
        self.hostile = ""  # why the usage could not be believed, if so
        self.is_final = False  # the usage covers everything that has come so far
        self.is_complete = False  # nothing more will be generated; the usage may be yet to come
        self._rest = bytearray()  # the line that has not ended yet; grows in place
        self._dropping = False  # that line is too long: the rest of it is only counted
        self._data = bytearray()  # an event's data lines so far, when the first is not JSON by itself

    @abstractmethod
    def event(self, event: dict[str, Any]) -> None:
        """Act on one event."""

    @abstractmethod
    def told(self) -> Reported | None:
        """Return the usage as it was told, None when it leaves something out.

        Raises:
            InvalidInput: it cannot be believed.
        """

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            line = self._whole(part) if self._rest or self._dropping else part
            if self._data or line.startswith(b"data:"):
                self._line(line)
        if self._dropping or len(self._rest) + len(rest) > MOST_BUFFERED:
            self.output_bytes += len(self._rest) + len(rest)
            self._rest.clear()
            self._dropping = True
        else:
            self._rest += rest

    def reported(self) -> Reported | None:
        """Return the final usage, or None when the stream has not told it (or told nonsense)."""
        if not self.is_final or self.hostile:
            return None
        try:
            return self.told()
        except InvalidInput as error:
            self.hostile = error.message
            return None

    def read_again(self, prompt_bound: int) -> int:  # noqa: ARG002 - of formats that do
        """Return how many tokens of input came to those of the start; a prompt has at most *prompt_bound*."""
        return 0

    def generated(self, *texts: object) -> None:
        """Count what an event brings; usage told earlier does not cover it."""
        self.is_final = False
        for text in texts:
            if isinstance(text, str):
                self.output_bytes += len(text.encode("utf-8", "surrogatepass"))

    def _whole(self, part: bytes) -> bytes:
        """Return the line that ends with *part*; an empty one in place of what was dropped."""
        if self._dropping:
            self.output_bytes += len(part)
            self._dropping = False
            return b"data:"
        line = bytes(self._rest) + part
        self._rest.clear()
        return line

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._take(line[5:])
        elif self._data and line in (b"", b"\r"):
            whole = bytes(self._data)
            self._data.clear()
            event = parsed(whole)
            if event is None:
                self.output_bytes += len(whole)  # garbage came in place of something: count it, never for free
            elif isinstance(event, dict):
                self.event(event)

    def _take(self, data: bytes) -> None:
        """Act on a data line that is JSON by itself; else keep it until its event ends."""
        if self.end_mark and data.strip().startswith(self.end_mark):
            self.finished = True
            return
        event = None if self._data else parsed(data)
        if event is not None:
            if isinstance(event, dict):
                self.event(event)
        elif len(self._data) + len(data) > MOST_BUFFERED:
            self.output_bytes += len(self._data) + len(data)
            self._data.clear()
        else:
            self._data += b"\n" + data if self._data else data


def parsed(data: bytes) -> object | None:
    """Return what *data* says, or None when it is not JSON (null says nothing either)."""
    try:
        text = data.decode().strip(_BLANK)
        found, end = _read(text)
    except (ValueError, RecursionError):  # hostile nesting is garbage too
        return None
    return found if end == len(text) else None
