"""The fragment for Claude Code's managed settings: what its own settings reference asks for."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

from tokenpool.pricing import claude_code, load
from tokenpool.pricing.own import NONE, OwnBook, OwnPrices, OwnRow

BOOK = load.standard()
DAY = date(2026, 11, 24)


def fragment(*rows: OwnRow) -> Any:
    """Return the fragment read back, amounts as they are written."""
    text = claude_code.model_pricing(OwnBook(BOOK, OwnPrices(rows)), DAY)
    return json.loads(text, parse_float=Decimal)["modelPricing"]


def test_at_list_price_there_is_nothing_to_set() -> None:
    """Claude Code knows the list."""
    assert "" == claude_code.model_pricing(OwnBook(BOOK, NONE), DAY)


def test_one_percentage_is_a_multiplier() -> None:
    """Of all models, or of the provider; from its day on."""
    assert {"multiplier": Decimal("0.85")} == fragment(OwnRow("own_1", "all", DAY, -150_000))
    assert {"multiplier": Decimal("1.025001")} == fragment(OwnRow("own_1", "provider:anthropic", DAY, 25_001))
    assert {"multiplier": 10} == fragment(OwnRow("own_1", "all", DAY, 9_000_000))
    later = OwnBook(BOOK, OwnPrices([OwnRow("own_1", "all", date(2026, 12, 1), -150_000)]))
    assert "" == claude_code.model_pricing(later, DAY)


def test_a_contract_is_a_row_with_all_four_rates() -> None:
    """And with it every other own price is a row too, for a multiplier would scale them all; others stay away."""
    contract = OwnRow("own_2", "model:claude-opus-5-5", DAY, 0, {"output": 18_000_000_000})

    alone = fragment(contract)
    both = fragment(OwnRow("own_1", "provider:anthropic", DAY, -100_000), contract)

    row = {name: Decimal(text) for name, text in
           {"input": "4.00", "output": "18.00", "cacheRead": "0.20", "cacheWrite": "5.00"}.items()}  # fmt: skip
    assert {"overrides": {"claude-opus-5-5": row}} == alone
    assert {"overrides"} == both.keys()
    assert (row, Decimal("0.09")) == (
        both["overrides"]["claude-opus-5-5"], both["overrides"]["claude-haiku-5-5"]["input"],
    )  # fmt: skip
    claude = [price for price in BOOK.models(DAY) if price.provider == "anthropic"]
    sold = {price.model for price in claude if price.retired is None or price.retired > DAY}
    assert sold == both["overrides"].keys()
    assert "claude-opus-4-1" not in sold
