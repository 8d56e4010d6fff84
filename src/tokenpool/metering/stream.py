"""Reading usage out of a passing event stream: a copy of the bytes comes by, nothing is held back.

Tolerates any split of chunks, CRLF, comments, pings, unknown events, repeated and missing ones.
"""

import json
from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.extract import Reported, counts_of, reported

MOST_BUFFERED = 16 * 2**20  # a longer line is counted as output and dropped


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
        self._final = False
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MOST_BUFFERED:
            self.output_bytes += len(self._rest)
            self._rest = b""
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:])

    def reported(self) -> Reported | None:
        """Return the final usage, or None when the stream has not told it (or told nonsense)."""
        if not self._final or self.hostile:
            return None
        try:
            return reported(self._usage)
        except InvalidInput as error:
            self.hostile = error.message
            return None

    def _event(self, data: bytes) -> None:
        try:
            event = json.loads(data)
        except ValueError:
            self.output_bytes += len(data)  # garbage came in place of something: count it, never for free
            return
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
                self._final = True
                self._merge(event.get("usage"))
            case "message_stop":
                self.finished = True
            case "error":
                self.error = event

    def _start(self, message: object) -> None:
        self.started = True
        if isinstance(message, dict):
            self._merge(message.get("usage"))
        try:
            self.start_input = counts_of(self._usage) if self._usage else None
        except InvalidInput as error:
            self.hostile = error.message

    def _merge(self, usage: object) -> None:
        """Take over what a frame says; frames are cumulative, and absent or null fields keep their value."""
        if isinstance(usage, dict):
            self._usage.update({name: value for name, value in usage.items() if value is not None})

    def _delta(self, delta: object) -> None:
        if isinstance(delta, dict):
            for name in ("text", "thinking", "partial_json"):
                text = delta.get(name)
                if isinstance(text, str):
                    self.output_bytes += len(text.encode("utf-8", "surrogatepass"))
