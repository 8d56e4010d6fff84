"""The bodies of OpenAI's calls, read strictly, and the upper bounds of what they can use.

The input bound is the length of the body, as in `gateway/call`. A call that names no limit of its
output can write the model's longest answer, or until its context window is full where that is not known.
A hold is for all of a call's choices together.
"""

from dataclasses import dataclass, replace
from typing import Any

from tokenpool.gateway.body import model_of, parse_body
from tokenpool.gateway.call import FLOOR_OUTPUT, MOST_OUTPUT, OVERHEAD_TOKENS
from tokenpool.gateway.openai import content
from tokenpool.gateway.openai.content import Content
from tokenpool.gateway.openai.parameters import CHAT, EMBEDDINGS, FAST_TIERS, LONG_CACHE, RESPONSES, STORED, TIERS
from tokenpool.gateway.openai.rewrite import with_fields
from tokenpool.gateway.parameters import Class
from tokenpool.kernel.errors import InvalidInput, Unbounded
from tokenpool.metering.extract import BYTES_PER_TOKEN
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.bound import Shape

MOST_CHOICES = 128


@dataclass(frozen=True, slots=True)
class OpenAiCall:
    """A call as asked: its bytes, and what bounds it."""

    raw: bytes
    present: frozenset[str]  # names at the top level of the body
    model: str
    content: Content
    stream: bool = False
    told_usage: dict[str, Any] | None = None  # the options by which a streamed chat is made to tell its usage
    long_cache: bool = False
    limit: str = ""  # the field that limits the output; empty: there is none (embeddings)
    asked: int | None = None  # tokens of each choice, as that field says
    choices: int = 1
    tier: str | None = None

    @property
    def floor_output(self) -> int:
        """The smallest output worth having, of all choices."""
        return FLOOR_OUTPUT * self.choices

    @property
    def hides_usage(self) -> bool:
        """Whether the stream tells its usage although the client did not ask for that."""
        return self.told_usage is not None

    def shape(self, price: ModelPrice) -> Shape:
        """Return the largest usage this call can have at *price*.

        Raises:
            Unbounded: files of a model whose context window is unknown, no limit of the output, an unpriced tier.
        """
        is_fast = self.tier in FAST_TIERS
        if is_fast and not price.fast:
            raise Unbounded(
                f"service_tier: “{self.tier}” has no price for {price.model}; leave it out.", field="service_tier"
            )
        return Shape(
            input_tokens=self.prompt_tokens(price),
            max_output=self._output(price) * self.choices if self.limit else 0,
            cache_5m=True,  # newer models write to the cache of themselves, and that may have a price
            cache_1h=self.long_cache,
            fast=is_fast,
            fast_possible=self.tier in (None, "auto"),  # by the account's default
        )

    def prompt_tokens(self, price: ModelPrice) -> int:
        """Return the longest input this call can have.

        Raises:
            Unbounded: files of a model whose context window is unknown.
        """
        tokens = len(self.raw) - self.content.image_bytes + self.content.image_tokens(price.model) + OVERHEAD_TOKENS
        window = price.context_window
        if not self.limit:
            return tokens  # many texts to embed, each up to the window
        if self.content.is_opaque and window is None:
            raise Unbounded(
                "input: this model's context window is unknown, so files and sealed items cannot be bounded.",
                field="input",
            )
        return window if self.content.is_opaque and window is not None else min(tokens, window or tokens)

    def estimated_input(self, price: ModelPrice) -> int:
        """Return the tokens of the input by its bytes, for an answer that broke before it told them."""
        bound = self.prompt_tokens(price)
        if self.content.is_opaque:
            return bound
        text = len(self.raw) - self.content.image_bytes
        return min(bound, -(-text // BYTES_PER_TOKEN) + self.content.image_tokens(price.model))

    def body(self, max_output: int | None) -> bytes:
        """Return the bytes for the provider: as they came, but for a lowered output and the usage that must be told."""
        fields: dict[str, Any] = {} if self.told_usage is None else {"stream_options": self.told_usage}
        if max_output is not None:
            fields[self.limit] = self.told(max_output)
        return with_fields(self.raw, self.present, fields) if fields else self.raw

    def told(self, max_output: int) -> int:
        """Return what a client would write into its field: the share of one choice."""
        return max_output // self.choices

    def _output(self, price: ModelPrice) -> int:
        most = price.longest_output or price.context_window
        known = [tokens for tokens in (self.asked, most) if tokens is not None]
        if not known:
            raise Unbounded(
                f"{self.limit}: must be given, for the longest answer of {price.model} is unknown.", field=self.limit
            )
        return min(known)


def read_chat(raw: bytes) -> OpenAiCall:
    """Read the body of `POST /v1/chat/completions`.

    Raises:
        InvalidInput: malformed JSON, duplicate keys, a missing or wrong field; names it.
        Unbounded: a parameter whose cost cannot be bounded; names it.
    """
    body = _read(raw, CHAT)
    if body.get("modalities") not in (None, ["text"]):
        raise Unbounded('modalities: must be ["text"] here; audio is not served.', field="modalities")
    choices = body.get("n")
    if choices is not None and (type(choices) is not int or not 1 <= choices <= MOST_CHOICES):
        raise InvalidInput(f"n: must be a whole number from 1 to {MOST_CHOICES}.", field="n")
    limit = "max_tokens" if body.get("max_tokens") is not None else "max_completion_tokens"
    if limit == "max_tokens" and body.get("max_completion_tokens") is not None:
        raise InvalidInput("max_tokens: stands beside max_completion_tokens; keep one.", field="max_tokens")
    content.check_tools(body.get("tools"))
    call = _call(raw, body, content.of_messages(body.get("messages")), limit=limit)
    given = body.get("stream_options")
    options = given if isinstance(given, dict) else {}
    is_silent = call.stream and options.get("include_usage") is not True
    return replace(call, choices=choices or 1, told_usage={**options, "include_usage": True} if is_silent else None)


def read_responses(raw: bytes) -> OpenAiCall:
    """Read the body of `POST /v1/responses`.

    Raises:
        InvalidInput: as `read_chat`.
        Unbounded: as `read_chat`; also whatever lies at the provider.
    """
    body = _read(raw, RESPONSES)
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("mode") not in (None, "standard"):
        raise Unbounded("reasoning.mode: must be standard here.", field="reasoning.mode")
    content.check_tools(body.get("tools"))
    return _call(raw, body, content.of_input(body.get("input")), limit="max_output_tokens")


def read_embeddings(raw: bytes) -> OpenAiCall:
    """Read the body of `POST /v1/embeddings`.

    Raises:
        InvalidInput: as `read_chat`.
    """
    return replace(_call(raw, _read(raw, EMBEDDINGS), Content()), stream=False)


def _read(raw: bytes, parameters: dict[str, Class]) -> dict[str, Any]:
    """Return the body, in which nothing stands that is refused by name."""
    body, _ = parse_body(raw)
    for name, value in body.items():
        if parameters.get(name) is not Class.REFUSED or value in (None, False):
            continue
        if name in STORED:
            raise Unbounded(content.stored(name, "it"), field=name)
        raise Unbounded(
            f"{name}: its cost cannot be bounded beforehand, so it is not served here; leave it out.", field=name
        )
    if not isinstance(body.get("stream"), bool | None):
        raise InvalidInput("stream: must be true or false.", field="stream")
    if body.get("service_tier") not in TIERS:
        tiers = ", ".join(str(tier) for tier in TIERS if tier)
        raise Unbounded(f"service_tier: must be one of {tiers} here.", field="service_tier")
    return body


def _call(raw: bytes, body: dict[str, Any], found: Content, *, limit: str = "") -> OpenAiCall:
    model, asked = model_of(body), body.get(limit)
    if asked is not None and (type(asked) is not int or not 0 <= asked <= MOST_OUTPUT):
        raise InvalidInput(f"{limit}: must be a whole number from 0 to {MOST_OUTPUT:,}.", field=limit)
    cache = body.get("prompt_cache_options")
    return OpenAiCall(
        raw,
        frozenset(body),
        model,
        found,
        stream=body.get("stream") is True,
        long_cache=isinstance(cache, dict) and cache.get("ttl") == LONG_CACHE,
        limit=limit,
        asked=asked,
        tier=body.get("service_tier"),
    )
