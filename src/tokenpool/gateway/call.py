"""The body of a call, read strictly, and the upper bounds of what it can use.

The bound of a prompt is the length of the body: a JSON text is never shorter than the UTF-8 bytes of
the strings in it, a token covers at least one byte, and the JSON around each block is longer than the
provider's template around it. Media count with their documented maxima instead of their bytes. What
the provider may sample more than once counts as often, each time with the whole context window.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tokenpool.gateway.body import Seen, model_of, parse_body
from tokenpool.gateway.parameters import PARAMETERS, PRICED_VALUES, Class
from tokenpool.gateway.samplings import Samplings, samplings_of
from tokenpool.kernel.errors import InvalidInput, Unbounded
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.bound import Shape

MOST_OUTPUT = 10_000_000
MOST_PROMPT = 100_000_000  # of a model whose context window is unknown
OVERHEAD_TOKENS = 4_000  # the instructions a provider adds of itself around tools, schemas and system
IMAGE_TOKENS = 5_000  # the documented maximum of one image of the largest size, rounded up
FLOOR_OUTPUT = 1_024
_MAX_TOKENS = re.compile(rb'("max_tokens"\s*:\s*)(\d+)')


@dataclass(frozen=True, slots=True)
class Call:
    """A call as asked: its bytes, and what bounds it."""

    raw: bytes
    model: str
    max_tokens: int
    stream: bool
    us_only: bool
    us_possible: bool
    fast: bool
    floor_output: int
    samplings: Samplings
    seen: Seen = field(repr=False)

    def shape(self, price: ModelPrice) -> Shape:
        """Return the largest usage this call can have at *price*.

        Raises:
            Unbounded: media or tools whose size is unknown, of a model whose context window is unknown.
        """
        prompt, rounds = self.prompt_tokens(price), self.samplings.rounds
        summaries = self.samplings.summaries(prompt)
        tokens = prompt * (rounds + summaries)
        if rounds == 1 and summaries:  # the answer reads the summary instead of what it summarizes
            tokens = prompt + min(price.context_window or MOST_PROMPT, prompt + self.max_tokens)
        return Shape(
            input_tokens=tokens,
            max_output=self.max_tokens,
            samplings=rounds + summaries,
            cache_5m=self.seen.cache_5m,
            cache_1h=self.seen.cache_1h,
            us_only=self.us_only,
            us_possible=self.us_possible,
            fast=self.fast,
            web_searches=self.samplings.searches,
        )

    @property
    def text_bytes(self) -> int:
        """The bytes of the body without its images."""
        return len(self.raw) - self.seen.image_bytes

    def prompt_tokens(self, price: ModelPrice) -> int:
        """Return the longest prompt that one sampling of this call can have.

        Raises:
            Unbounded: media or tools whose size is unknown, of a model whose context window is unknown.
        """
        window = price.context_window
        if self.seen.unbounded_media or self.samplings.rounds > 1:
            if window is None:
                raise Unbounded(
                    "messages: this model's context window is unknown, so documents and tools cannot be bounded.",
                    field="messages",
                )
            return window
        tokens = self.text_bytes + self.seen.images * IMAGE_TOKENS + OVERHEAD_TOKENS
        return min(tokens, window or MOST_PROMPT)

    def body(self, max_output: int | None) -> bytes:
        """Return the bytes as they came, or with `max_tokens` lowered and every other byte as it was."""
        return self.raw if max_output is None else self._clamped_to(max_output)

    def told(self, max_output: int) -> int:
        """Return what a client would write into `max_tokens`."""
        return max_output

    def _clamped_to(self, max_tokens: int) -> bytes:
        body, count = _MAX_TOKENS.subn(lambda found: found.group(1) + str(max_tokens).encode(), self.raw)
        if count == 1 and json.loads(body)["max_tokens"] == max_tokens:
            return body
        document = json.loads(self.raw)  # the name stands elsewhere, or is escaped: replace it by structure
        document["max_tokens"] = max_tokens
        return json.dumps(document, ensure_ascii=False).encode()


def read_call(raw: bytes) -> Call:
    """Read the body of `POST /v1/messages`.

    Raises:
        InvalidInput: malformed JSON, duplicate keys, a missing or wrong field; names it.
        Unbounded: a parameter whose cost cannot be bounded; names it.
    """
    body, seen = parse_body(raw)
    for name in body:
        if PARAMETERS.get(name) is Class.REFUSED and body[name] is not None:
            raise Unbounded(
                f"{name}: its cost cannot be bounded beforehand, so it is not served here; leave it out.", field=name
            )
    samplings = samplings_of(body, seen.inline_tools)
    for name, priced in PRICED_VALUES.items():
        if body.get(name) not in (None, *priced):
            value = str(body[name])[:40]
            raise Unbounded(f"{name}: “{value}” has no price; the known ones are {' and '.join(priced)}.", field=name)
    max_tokens = _max_tokens(body)
    return Call(
        raw=raw,
        model=model_of(body),
        max_tokens=max_tokens,
        stream=body.get("stream") is True,
        us_only=body.get("inference_geo") == "us",
        us_possible=body.get("inference_geo") != "global",
        fast=body.get("speed") == "fast",
        floor_output=_floor(body.get("thinking")),
        samplings=samplings,
        seen=seen,
    )


def _max_tokens(body: dict[str, Any]) -> int:
    value = body.get("max_tokens")
    if type(value) is not int or not 0 <= value <= MOST_OUTPUT:
        raise InvalidInput(f"max_tokens: must be a whole number from 0 to {MOST_OUTPUT:,}.", field="max_tokens")
    return value


def _floor(thinking: object) -> int:
    """Return the smallest output worth having: above the thinking budget, and at least 1,024."""
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    return max(FLOOR_OUTPUT, budget + 1) if type(budget) is int else FLOOR_OUTPUT
