"""Reading usage out of a passing event stream: a copy of the bytes comes by, nothing is held back.

Tolerates any split of chunks, CRLF, comments, pings, unknown events, repeated and missing ones, and data
over several lines. A data line that is JSON by itself acts at once, so that the end of a message is known
before the client can act on it. What a hostile upstream sends is counted, never kept beyond a limit and
never copied twice. A lone CR does not end a line: no provider writes it.
"""

import json
from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.extract import Reported, counts_of, reported

MOST_BUFFERED = 16 * 2**20  # a longer line or event is counted as output and dropped


class StreamMeter:
    """Follows one Anthropic message stream."""

    def __init__(self) -> None:
        self.started = False  # message_start was seen: from here on something is billed
        self.finished = False  # message_stop was seen
        self.start_input: TokenCounts | None = None
        self.output_bytes = 0  # UTF-8 bytes of text, thinking and tool input received
        self.error: dict[str, Any] | None = None
        self.hostile = ""  # why the usage could not be believed, if so
        self._usage: dict[str, Any] = {}
        self._final = False  # the usage covers everything that has come so far
        self._rest = bytearray()  # the line that has not ended yet; grows in place
        self._dropping = False  # that line is too long: the rest of it is only counted
        self._data = bytearray()  # an event's data lines so far, when the first is not JSON by itself

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._line(self._whole(part))
        if self._dropping or len(self._rest) + len(rest) > MOST_BUFFERED:
            self.output_bytes += len(self._rest) + len(rest)
            self._rest.clear()
            self._dropping = True
        else:
            self._rest += rest

    def reported(self) -> Reported | None:
        """Return the final usage, or None when the stream has not told it (or told nonsense)."""
        if not self._final or self.hostile:
            return None
        try:
            return reported(self._usage)
        except InvalidInput as error:
            self.hostile = error.message
            return None

    def _whole(self, part: bytes) -> bytes:
        """Return the line that ends with *part*; an empty one in place of what was dropped."""
        if self._dropping:
            self.output_bytes += len(part)
            self._dropping = False
            return b"data:"
        if self._rest:
            part = bytes(self._rest) + part
            self._rest.clear()
        return part

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._take(line[5:])
        elif self._data and line in (b"", b"\r"):
            whole = bytes(self._data)
            self._data.clear()
            event = _json(whole)
            if event is None:
                self.output_bytes += len(whole)  # garbage came in place of something: count it, never for free
            else:
                self._event(event)

    def _take(self, data: bytes) -> None:
        """Act on a data line that is JSON by itself; else keep it until its event ends."""
        event = None if self._data else _json(data)
        if event is not None:
            self._event(event)
        elif len(self._data) + len(data) > MOST_BUFFERED:
            self.output_bytes += len(self._data) + len(data)
            self._data.clear()
        else:
            self._data += b"\n" + data if self._data else data

    def _event(self, event: object) -> None:
        if not isinstance(event, dict):
            return
        match event.get("type"):
            case "content_block_delta":
                self._delta(event.get("delta"))
            case "content_block_start":
                self._delta(event.get("content_block"))
            case "message_start":
                self._start(event.get("message"))
            case "message_delta":
                self._merge(event.get("usage"))
            case "message_stop":
                self.finished = True
            case "error":
                self.error = event

    def _start(self, message: object) -> None:
        self.started = True
        if isinstance(message, dict):
            self._merge(message.get("usage"))
        self._final = False  # it tells the input; the output has only begun
        try:
            self.start_input = counts_of(self._usage) if self._usage else None
        except InvalidInput as error:
            self.hostile = error.message

    def _merge(self, usage: object) -> None:
        """Take over what a frame says; frames are cumulative, and absent or null fields keep their value."""
        if isinstance(usage, dict):
            self._usage.update({name: value for name, value in usage.items() if value is not None})
            self._final = usage.get("output_tokens") is not None

    def _delta(self, delta: object) -> None:
        self._final = False  # usage told earlier does not cover this
        if isinstance(delta, dict):
            for name in ("text", "thinking", "partial_json"):
                text = delta.get(name)
                if isinstance(text, str):
                    self.output_bytes += len(text.encode("utf-8", "surrogatepass"))


def _json(data: bytes) -> object | None:
    """Return what *data* says, or None when it is not JSON (null says nothing either)."""
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):  # hostile nesting is garbage too
        return None
    return found
