"""Which provider serves a model: the first whose format and patterns fit, in the order of the settings.

What a client sends chooses among the providers that the operator named; it never makes a destination.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from tokenpool.gateway.upstream import Upstream
from tokenpool.kernel.errors import InvalidInput, UnknownModel
from tokenpool.pricing.book import ModelPrice

PATHS = {"anthropic": "POST /v1/messages", "openai": "POST /v1/chat/completions or /v1/responses"}
LONGEST_NAME = 200  # of a model that anybody serves; a longer one is not looked at


class Upstreams:
    """The operator's providers."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        """Ask *upstreams* in this order."""
        self._upstreams = tuple(upstreams)

    def speaking(self, form: str) -> tuple[Upstream, ...]:
        """Return the providers that take *form* (`anthropic` or `openai`)."""
        return tuple(one for one in self._upstreams if one.speaks == form)

    def passing(self, word: str, form: str) -> Upstream | None:
        """Return the provider to which the operator lets `/v1/word` pass, rather one of *form*; None: nobody's."""
        listed = [one for one in self._upstreams if word in one.passes]
        return next((one for one in listed if one.speaks == form), listed[0] if listed else None)

    def named(self, name: str) -> Upstream | None:
        """Return the provider that the settings call *name*, None when it is there no more."""
        return next((one for one in self._upstreams if one.name == name), None)

    def serving(self, model: str, form: str) -> Upstream:
        """Return the provider of *model* in *form*.

        Raises:
            InvalidInput: none serves it; tells the other format when that one does.
        """
        named = model if len(model) <= LONGEST_NAME else ""
        fitting = [
            one for one in self._upstreams if any(fnmatchcase(named, pattern) for pattern in one.models if named)
        ]
        found = next((one for one in fitting if one.speaks == form), None)
        if found is not None:
            return found
        if fitting:
            other = PATHS[fitting[0].speaks]
            raise InvalidInput(f"model: “{model[:80]}” is served here at {other}, not in this format.", field="model")
        raise InvalidInput(f"model: no provider is set up here for “{model[:80]}”; ask the operator.", field="model")

    async def close(self) -> None:
        """Close every connection."""
        for one in self._upstreams:
            await one.close()


def check_prices(upstream: Upstream, price: ModelPrice) -> None:
    """Do nothing if *price* is of the provider by whose prices *upstream* is billed.

    Raises:
        UnknownModel: it is another provider's price of a model of the same name.
    """
    if upstream.prices not in ("", price.provider):
        raise UnknownModel(
            f"model: “{price.model}” has no price of {upstream.prices}, by whose prices {upstream.name} is billed.",
            field="model",
        )
