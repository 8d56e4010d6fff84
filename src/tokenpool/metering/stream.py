"""Anthropic's message streams: where the usage stands in them, and what has been generated so far."""

from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.metering.events import Meter
from tokenpool.metering.extract import BYTES_PER_TOKEN, Reported, counts_of, usage_from_message

CUMULATIVE = {"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"}


class StreamMeter(Meter):
    """Follows one Anthropic message stream."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = 0
        self._again = 0  # tokens of the prompt that tools at the provider made it read again, at most
        self._summaries = 0  # that the provider has written of the prompt
        self._usage: dict[str, Any] = {}
        self._most: dict[str, int] = {}  # the largest count told so far: cumulative counts do not fall
        self._stop: dict[str, Any] = {}  # why the message stopped

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self._bytes += len(chunk)
        super().feed(chunk)

    def told(self) -> Reported | None:
        """Return what the usage says that the frames have told; None when it leaves something out."""
        usage = self._usage if self._usage.get("iterations") else {**self._usage, **self._most}
        content = [None] if self.output_bytes else []
        return usage_from_message({**self._stop, "usage": usage, "content": content})

    def read_again(self, prompt_bound: int) -> int:
        """Return how many tokens of input came to those of the start."""
        return self._again + self._summaries * prompt_bound

    def event(self, event: dict[str, Any]) -> None:
        """Act on one event by its type; those that are unknown pass."""
        match event.get("type"):
            case "content_block_delta":
                self._delta(event.get("delta"))
            case "content_block_start":
                self._block(event.get("content_block"))
            case "message_start":
                self._start(event.get("message"))
            case "message_delta":
                self._stopped(event.get("delta"))
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

    def _stopped(self, delta: object) -> None:
        if isinstance(delta, dict):
            self._stop |= {name: delta[name] for name in ("stop_reason", "stop_details") if name in delta}

    def _merge(self, usage: object) -> None:
        """Take over what a frame says; frames are cumulative, and absent or null fields keep their value."""
        if isinstance(usage, dict):
            told = {name: value for name, value in usage.items() if value is not None}
            self._usage |= told
            for name in CUMULATIVE & told.keys():
                if type(told[name]) is int and told[name] >= 0:
                    self._most[name] = max(told[name], self._most.get(name, 0))
                else:
                    self._most.pop(name, None)
            self.is_final = "output_tokens" in told

    def _block(self, block: object) -> None:
        """Take the start of a block; a tool's result or a summary means that the prompt was read once more."""
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "compaction":
            self._summaries += 1
        elif isinstance(kind, str) and kind.endswith("_tool_result"):
            prompt = self.start_input.prompt if self.start_input else 0
            self._again += prompt + self._bytes // BYTES_PER_TOKEN
        self._delta(block)

    def _delta(self, delta: object) -> None:
        found = delta if isinstance(delta, dict) else {}
        self.generated(*(found.get(name) for name in ("text", "thinking", "partial_json", "content")))
