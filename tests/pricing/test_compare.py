"""Our book beside a list: what agrees, what differs, what only one of them has."""

from datetime import date

from tokenpool.pricing import load
from tokenpool.pricing.compare import Difference, compare
from tokenpool.pricing.listed import Listed, ListedRow
from tokenpool.pricing.sheet import Section

TODAY = date(2026, 11, 24)
OPUS = {
    "input": 4_000_000_000, "output": 20_000_000_000, "cache_write_5m": 5_000_000_000,
    "cache_write_1h": 8_000_000_000, "cache_read": 200_000_000,
}  # fmt: skip
BOOK = load.shipped()


def opus(**cells: int) -> Listed:
    """Return what a list says of Opus 5.5, with other *cells*."""
    return Listed("anthropic", "claude-opus-5-5", rows=(ListedRow(Section.ROWS, 0, None, {**OPUS, **cells}),))


def test_a_model_on_which_both_agree() -> None:
    """Five figures, no difference."""
    (both,) = compare(BOOK, [opus()], TODAY).both

    assert (5, ()) == (both.agreeing, both.differences)


def test_a_difference_is_named_and_a_large_one_marked() -> None:
    """6 is exactly half above 4, 6.01 is more; 1.99 is less than half."""
    amounts = [6_000_000_000, 6_010_000_000, 2_000_000_000, 1_990_000_000]

    found = [compare(BOOK, [opus(input=amount)], TODAY).both[0].differences for amount in amounts]

    assert [(Difference(Section.ROWS, 0, "input", 4_000_000_000, amount),) for amount in amounts] == found
    assert [False, True, False, True] == [one[0].is_large for one in found]


def test_bands_are_compared_at_every_length_at_which_either_changes() -> None:
    """A list whose band begins one token earlier differs for that one token, all five figures of it."""
    haiku = BOOK.price("claude-haiku-5-5", TODAY)
    cells = [{name: getattr(band.rates, name) for name in OPUS} for band in haiku.bands]
    rows = (ListedRow(Section.ROWS, 0, None, cells[0]), ListedRow(Section.ROWS, 99_999, None, cells[1]))

    (both,) = compare(BOOK, [Listed("anthropic", "claude-haiku-5-5", rows=rows)], TODAY).both

    assert (10, [99_999] * 5) == (both.agreeing, [one.above for one in both.differences])


def test_a_mode_and_a_tool_that_only_the_list_prices_differ_from_nothing() -> None:
    """Haiku 4.5 has no fast mode here; a search costs another figure."""
    listed = Listed(
        "anthropic",
        "claude-haiku-4-5",
        rows=(ListedRow(Section.FAST, 0, None, {"input": 2_000_000_000}),),
        web_search_nano=14_000_000,
    )

    (both,) = compare(BOOK, [listed], TODAY).both

    assert (
        Difference(Section.FAST, 0, "input", None, 2_000_000_000),
        Difference(Section.TOOLS, 0, "web_search", 10_000_000, 14_000_000),
    ) == both.differences
    assert [False, False] == [one.is_large for one in both.differences]


def test_names_meet_by_any_exact_one_and_only_within_a_provider() -> None:
    """By our alias, by the list's alias; the same name of another provider is another model."""
    rows = opus().rows
    listed = [
        Listed("anthropic", "claude-opus-4-5-20251101", rows=rows),
        Listed("anthropic", "x", aliases=("claude-opus-5",), rows=rows),
        Listed("openai", "claude-opus-5-5", rows=rows),
        Listed("anthropic", "claude-sonnet-5", obstacle="by the hour"),
    ]

    found = compare(BOOK, listed, TODAY)

    assert ["claude-opus-4-5", "claude-opus-5"] == [both.price.model for both in found.both]
    assert ["claude-opus-5-5"] == [one.name for one in found.only_there]
    only_here = {price.model for price in found.only_here}
    assert {"claude-opus-5-5", "gpt-6-sol"} <= only_here
    assert not {"claude-sonnet-5", "claude-opus-5", "gemini-4-argon"} & only_here
