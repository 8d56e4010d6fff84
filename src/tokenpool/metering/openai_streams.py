"""OpenAI's streams: chunks of a chat, which tell their usage last, and the events of a response.

Neither tells the input before the end, and reasoning is not in the text at all: a stream that broke
has an estimate of its input too.
"""

from typing import Any

from tokenpool.kernel.errors import InvalidInput
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering.events import Meter
from tokenpool.metering.extract import Reported
from tokenpool.metering.openai import CHAT, RESPONSES, Names, reported

_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_NOT_BEGUN = ("response.created", "response.queued", "response.in_progress")
_LAST = ("response.completed", "response.incomplete", "response.failed")


class _OpenAiMeter(Meter):
    """What both have in common: the input is estimated, the usage comes as one object."""

    input_is_told = False
    names: Names

    def __init__(self, estimated_input: int) -> None:
        """*estimated_input* is what a broken stream is billed for its input."""
        super().__init__()
        self._estimated = TokenCounts(input=estimated_input)
        self._usage: object = None
        self._tier: object = None

    def told(self) -> Reported:
        """Return the last usage that was told.

        Raises:
            InvalidInput: it cannot be believed, or a side of it is missing.
        """
        found = reported(self.names, self._usage, self._tier)
        if found is None:
            raise InvalidInput("usage: a side of it is missing.", field="usage")
        return found

    def begin(self) -> None:
        """The answer has begun."""
        self.started = True
        self.start_input = self._estimated

    def take(self, usage: object, tier: object) -> None:
        """Keep a usage object; the last one stands."""
        if isinstance(usage, dict):
            self._usage, self._tier, self.is_final = usage, tier, True


class ChatMeter(_OpenAiMeter):
    """Follows the chunks of one chat completion."""

    names = CHAT
    end_mark = b"[DONE]"

    def __init__(self, estimated_input: int, choices: int = 1) -> None:
        """*choices* is how many answers were asked for."""
        super().__init__(estimated_input)
        self._choices = choices
        self._ended: set[object] = set()

    def event(self, event: dict[str, Any]) -> None:
        """Act on one chunk."""
        if event.get("error"):
            self.error = event
            return
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self.begin()
                self._choice(choice)
        self.take(event.get("usage"), event.get("service_tier"))

    def _choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            texts = [delta.get(name) for name in _TEXTS] + _arguments(delta)
            if any(texts):
                self.generated(*texts)
        if choice.get("finish_reason"):
            self._ended.add(str(choice.get("index")))
            self.is_complete = len(self._ended) >= self._choices


class ResponsesMeter(_OpenAiMeter):
    """Follows the events of one response."""

    names = RESPONSES

    def event(self, event: dict[str, Any]) -> None:
        """Act on one event by its type."""
        kind, response = event.get("type"), event.get("response")
        if kind == "error":
            self.error = event
        elif kind in _LAST:
            found = response if isinstance(response, dict) else {}
            self.take(found.get("usage"), found.get("service_tier"))
            self.error = event if kind == "response.failed" else self.error
            self.finished = True
        elif kind not in _NOT_BEGUN:
            self.begin()
            if isinstance(event.get("delta"), str):
                self.generated(event["delta"])


def _arguments(delta: dict[str, Any]) -> list[object]:
    """Return the texts of the calls of tools in *delta*."""
    calls = delta.get("tool_calls")
    found: list[object] = []
    for call in [*(calls if isinstance(calls, list) else []), {"function": delta.get("function_call")}]:
        for kind in ("function", "custom"):
            made = call.get(kind) if isinstance(call, dict) else None
            if isinstance(made, dict):
                found += [made.get("name"), made.get("arguments"), made.get("input")]
    return found
