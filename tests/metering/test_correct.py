"""Corrections: whatever prices follow each other, a chain sums to the tokens at the last one's."""

from dataclasses import replace
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.tokens import TokenCounts
from tokenpool.metering import correct
from tokenpool.metering.models import UsageEvent
from tokenpool.metering.rate import rate_event
from tokenpool.metering.record import AMOUNT_COLUMNS, RatedUsage, amounts
from tokenpool.pricing import load
from tokenpool.pricing.book import Band, ModelPrice
from tokenpool.pricing.cost import rate

LISTED = load.standard().price("claude-haiku-5-5", date(2026, 11, 24))
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def priced(number: int, factor: int) -> ModelPrice:
    """Return a price of its own version, at *factor* thousandths of the list."""
    bands = tuple(
        Band(
            band.above,
            replace(
                band.rates, input=band.rates.input * factor // 1000, cache_read=band.rates.cache_read * factor // 7 + 1
            ),
        )
        for band in LISTED.bands
    )
    return replace(LISTED, version=f"v{number}", bands=bands)


@given(
    st.lists(st.integers(0, 200_000), min_size=6, max_size=6), st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    st.booleans(),
)  # fmt: skip
def test_a_chain_costs_what_the_last_price_says(counted: list[int], factors: list[int], us_only: bool) -> None:
    """Class by class, to the nano-dollar; the same price twice corrects nothing."""
    counts = TokenCounts(*counted)
    usage = RatedUsage(LISTED.model, LISTED.version, counts, rate(counts, LISTED, us_only=us_only), us_only=us_only)
    facts = dict(zip(AMOUNT_COLUMNS, amounts(usage), strict=True))
    event = UsageEvent(organization_id="org", id="evt_1", month="2026-11", admitted_at_us=1, us_only=us_only, **facts)
    chain: list[UsageEvent] = []
    for number, factor in enumerate(factors):
        price = priced(number, factor)
        fresh = correct.correcting(event, chain, price, at=NOW, billed_in=None)
        chain += [fresh] if fresh else []

        assert [*rate_event(event, price)] == correct.billed([event, *chain])
        assert rate_event(event, price).total == sum(one.cost_nano for one in [event, *chain])
        assert correct.correcting(event, chain, price, at=NOW, billed_in=None) is None
    assert [f"evt_1~{n}" for n in range(1, len(chain) + 1)] == [one.id for one in chain]
    assert {0} >= {getattr(one, name) for one in chain for name in AMOUNT_COLUMNS[:6]}


def test_a_correction_counts_for_whom_its_usage_counted() -> None:
    """Member, seat, product, cost center, project, session, agent and groups are the first event's."""
    names = ("member_id", "seat_type", "product", "cost_center", "project", "session_id", "agent_id", "group_ids")
    whose = {name: f"the {name}" for name in names}
    event = UsageEvent(organization_id="org", id="evt_1", month="2026-11", admitted_at_us=1, input_tokens=1000, **whose)

    fix = correct.correcting(event, [], LISTED, at=NOW, billed_in=None)

    assert fix is not None
    assert whose == {name: getattr(fix, name) for name in names}
