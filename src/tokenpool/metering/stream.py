"""Anthropic's message streams: where the usage stands in them, and what has been generated so far."""

from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.metering.events import Meter
from tokenpool.metering.extract import Reported, counts_of, reported


class StreamMeter(Meter):
    """Follows one Anthropic message stream."""

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, Any] = {}

    def told(self) -> Reported:
        """Return what the usage says that the frames have told."""
        return reported(self._usage)

    def event(self, event: dict[str, Any]) -> None:
        """Act on one event by its type; those that are unknown pass."""
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
        self.is_final = False  # it tells the input; the output has only begun
        try:
            self.start_input = counts_of(self._usage) if self._usage else None
        except InvalidInput as error:
            self.hostile = error.message

    def _merge(self, usage: object) -> None:
        """Take over what a frame says; frames are cumulative, and absent or null fields keep their value."""
        if isinstance(usage, dict):
            self._usage.update({name: value for name, value in usage.items() if value is not None})
            self.is_final = usage.get("output_tokens") is not None

    def _delta(self, delta: object) -> None:
        found = delta if isinstance(delta, dict) else {}
        self.generated(found.get("text"), found.get("thinking"), found.get("partial_json"))
