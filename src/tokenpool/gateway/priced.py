"""A call at its price: of the instant it is to be admitted at, in its organization's own book."""

from dataclasses import dataclass
from datetime import datetime

from tokenpool.gateway.formats import Call
from tokenpool.gateway.parts import Parts
from tokenpool.gateway.settle import Attempt, EstimateFacts
from tokenpool.gateway.upstream import Upstream
from tokenpool.gateway.upstreams import check_prices
from tokenpool.kernel import clock
from tokenpool.organizations.directory import KeyFacts
from tokenpool.pricing.book import ModelPrice
from tokenpool.pricing.bound import Bound, Shape, largest_cost, tools_nano
from tokenpool.pricing.own import OwnBook


@dataclass(frozen=True, slots=True)
class Priced:
    """What a call is held at, and what its usage is rated at whenever it ends."""

    at: datetime
    book: OwnBook
    price: ModelPrice
    prompt_tokens: int  # at most, of one sampling
    shape: Shape
    bound: Bound

    def estimate_facts(self, max_output: int) -> EstimateFacts:
        """Return what an estimate starts from, should the answer break off."""
        return {
            "input_bound": self.shape.input_tokens,
            "prompt_bound": self.prompt_tokens,
            "max_output": max_output * self.shape.samplings,
            "us_only": self.shape.us_only,
            "fast": self.shape.fast,
            "tools_nano": tools_nano(self.shape, self.price),
        }

    def attempt(self, parts: Parts, organization_id: str, hold_id: str, max_output: int) -> Attempt:
        """Return the attempt whose hold reserved this for at most *max_output* tokens."""
        facts = self.estimate_facts(max_output)
        return Attempt(parts, organization_id, hold_id, self.price, facts, book=self.book, day=self.at.date())


def price_now(parts: Parts, facts: KeyFacts, call: Call, upstream: Upstream) -> Priced:
    """Price *call* for the organization of *facts* and the provider behind *upstream*.

    Raises:
        UnknownModel: the model has no price. Unbounded: what it can cost cannot be bounded.
    """
    at, book = clock.now(), OwnBook(parts.book, facts.own_prices)
    price = book.price(call.model, at.date())
    check_prices(upstream, price)
    shape = call.shape(price)
    return Priced(at, book, price, call.prompt_tokens(price), shape, largest_cost(shape, price))
