"""What the walk asks of a wire format: to read a call, to find its usage, to speak of errors.

The walk is one function for all of them; a format is a value, made in its own module
(`gateway/anthropic`, `gateway/openai/`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from starlette.responses import Response

from tokenpool.metering.events import Meter, parsed
from tokenpool.metering.extract import Reported
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.bound import Shape


class Call(Protocol):
    """A call as asked: what bounds it, and its bytes for the provider."""

    @property
    def model(self) -> str:
        """The model's name as asked."""

    @property
    def stream(self) -> bool:
        """Whether the answer comes as events."""

    @property
    def floor_output(self) -> int:
        """The smallest output worth having, in tokens of all choices together."""

    def shape(self, price: ModelPrice) -> Shape:
        """Return the largest usage this call can have at *price*.

        Raises:
            Unbounded: it cannot be bounded.
        """

    def prompt_tokens(self, price: ModelPrice) -> int:
        """Return the longest prompt that one sampling of this call can have."""

    def body(self, max_output: int | None) -> bytes:
        """Return the bytes for the provider, with the output lowered to *max_output* tokens unless that is None."""

    def told(self, max_output: int) -> int:
        """Return what a client would write into its field for *max_output* tokens of output."""


Asked = TypeVar("Asked", bound=Call)


class Envelope(Protocol):
    """How a format writes an error."""

    def __call__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        request_id: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the answer."""


class Outward(Protocol):
    """Passes a stream's bytes on to the client, without what is for this side alone."""

    def feed(self, chunk: bytes) -> bytes:
        """Return what of the stream so far may go out now."""

    def end(self) -> bytes:
        """Return what is left when the stream has ended."""


@dataclass(frozen=True, slots=True)
class Format(Generic[Asked]):
    """One endpoint of a wire format."""

    speaks: str  # of the upstreams that take it: anthropic or openai
    path: str
    read: Callable[[bytes], Asked]
    usage: Callable[[bytes], Reported | None]  # of a whole answer; raises what reading JSON raises
    meter: Callable[[Asked, ModelPrice], Meter]  # of a stream
    envelope: Envelope
    id_headers: tuple[str, ...] = ("request-id",)
    outward: Callable[[Asked], Outward | None] | None = None  # what a client did not ask for and must not see

    def named(self, request_id: str) -> dict[str, str]:
        """Return the headers that tell a client the id of its request."""
        return dict.fromkeys(self.id_headers, request_id)


def whole(read: Callable[[Mapping[str, Any]], Reported | None]) -> Callable[[bytes], Reported | None]:
    """Return *read*, which takes a message, as one that takes the bytes of an answer."""

    def usage(body: bytes) -> Reported | None:
        message = parsed(body)
        return read(message) if isinstance(message, dict) else None

    return usage
