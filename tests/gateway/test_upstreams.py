"""Which provider serves a model: by format and pattern, in the order of the settings, at its own prices."""

from dataclasses import replace

import pytest

from tokenpool.gateway.upstream import Upstream
from tokenpool.gateway.upstreams import Upstreams, check_prices
from tokenpool.kernel import clock
from tokenpool.kernel.errors import InvalidInput, UnknownModel
from tokenpool.pricing import load


def upstream(name: str, speaks: str, *models: str, prices: str = "") -> Upstream:
    """Return a provider that nobody asks."""
    return Upstream(name=name, url="https://x.example", api_key="k", speaks=speaks, models=models, prices=prices)


BOOK = Upstreams(
    [
        upstream("fable", "anthropic", "claude-fable-*"),
        upstream("anthropic", "anthropic", "claude-*"),
        upstream("openai", "openai", "gpt-*", "o[0-9]*"),
        upstream("rest", "openai", "*"),
    ]
)


@pytest.mark.parametrize(
    ("model", "form", "name"),
    [
        ("claude-fable-5", "anthropic", "fable"),
        ("claude-opus-5-5", "anthropic", "anthropic"),
        ("claude-opus-5-5", "openai", "rest"),
        ("gpt-5", "openai", "openai"),
        ("o3", "openai", "openai"),
        ("GPT-5", "openai", "rest"),
    ],
)
def test_the_first_that_fits_serves(model: str, form: str, name: str) -> None:
    """By what was asked for, letter by letter."""
    assert name == BOOK.serving(model, form).name


def test_a_model_of_the_other_format_says_where_it_is() -> None:
    """400 with the address that serves it; and the operator, when none does."""
    with pytest.raises(InvalidInput, match=r"“gpt-5” is served here at POST /v1/chat/completions or /v1/responses"):
        BOOK.serving("gpt-5", "anthropic")
    with pytest.raises(InvalidInput, match="no provider is set up here for “gpt-5”; ask the operator"):
        Upstreams([upstream("a", "anthropic", "claude-*")]).serving("gpt-5", "openai")
    with pytest.raises(InvalidInput, match=f"no provider is set up here for “{'x' * 80}”"):
        BOOK.serving("x" * 201, "openai")


def test_a_provider_is_billed_by_its_own_prices() -> None:
    """Another provider's price of a model of the same name is none."""
    price = load.standard().price("claude-opus-5-5", clock.now().date())

    check_prices(upstream("a", "anthropic", "*"), price)
    check_prices(upstream("a", "anthropic", "*", prices="anthropic"), price)
    with pytest.raises(UnknownModel, match="has no price of anthropic, by whose prices b is billed"):
        check_prices(upstream("b", "anthropic", "*", prices="anthropic"), replace(price, provider="bedrock"))
