"""The statement: exact lines, cents that add up, an annex that sums to its lines."""

from hypothesis import given
from hypothesis import strategies as st

from tokenpool.invoicing.statement import USAGE_CLASSES, Adjustment, HeldSeat, SeatFee, UsageSum, build
from tokenpool.kernel.money import divide_half_away

DOLLAR = 1_000_000_000
CHAT = SeatFee("chat", "Chat", 20 * DOLLAR, 5 * DOLLAR)
CODE = SeatFee("chat_claude_code", "Chat + Claude Code", 40 * DOLLAR, 0)


def test_a_whole_month_is_exactly_the_fee() -> None:
    """Three members, 28 days each of February."""
    held = [HeldSeat(f"m{n}", "chat", 28, 0) for n in range(3)]

    statement = build(seat_fees=[CHAT], held=held, usage=[], days_in_month=28)

    assert [("seat_fee", 84, 60 * DOLLAR)] == [(x.kind, x.quantity, x.amount_nano) for x in statement.lines]
    assert 6_000 == statement.total_cents


def test_a_change_in_mid_month_is_two_parts_of_two_fees() -> None:
    """Ten of thirty days at $20 and twenty at $40: $6.666666666 and $26.666666666."""
    held = [HeldSeat("m", "chat", 10, 0), HeldSeat("m", "chat_claude_code", 20, 0)]

    statement = build(seat_fees=[CHAT, CODE], held=held, usage=[], days_in_month=30)

    assert [6_666_666_666, 26_666_666_666] == [line.amount_nano for line in statement.lines]
    assert (33_333_333_332, 3_333, [667, 2_666]) == (
        statement.total_nano,
        statement.total_cents,
        list(statement.line_cents),
    )


def test_the_hipaa_surcharge_is_a_line_of_its_own_from_its_day_on() -> None:
    """Fifteen of thirty days: $2.50 for one seat."""
    statement = build(seat_fees=[CHAT], held=[HeldSeat("m", "chat", 30, 15)], usage=[], days_in_month=30)

    assert [("seat_fee", 20 * DOLLAR), ("hipaa_surcharge", 2_500_000_000)] == [
        (line.kind, line.amount_nano) for line in statement.lines
    ]


@given(
    st.lists(
        st.builds(
            UsageSum,
            st.sampled_from(["m1", "m2", "m3"]),
            st.sampled_from(["claude-a", "claude-b"]),
            st.sampled_from(USAGE_CLASSES),
            st.integers(1, 10**9),
            st.integers(0, 10**12),
        ),
        max_size=20,
        unique_by=lambda u: (u.member_id, u.model, u.usage_class),
    ),
    st.integers(0, 90),
)
def test_annex_sums_to_lines_and_lines_to_the_total(usage: list[UsageSum], days: int) -> None:
    """In nano-dollars and in cents, for any usage."""
    held = [HeldSeat("m1", "chat", days, 0)] if days else []

    statement = build(seat_fees=[CHAT], held=held, usage=usage, days_in_month=30)

    for line, cents in zip(statement.lines, statement.line_cents, strict=True):
        if line.kind == "usage":
            rows = [
                i
                for i, row in enumerate(statement.annex)
                if (row.model, row.usage_class) == (line.item, line.usage_class)
            ]
            assert line.amount_nano == sum(statement.annex[i].amount_nano for i in rows)
            assert cents == sum(statement.annex_cents[i] for i in rows)
    assert (
        sum(u.amount_nano for u in usage) + sum(line.amount_nano for line in statement.lines if line.kind == "seat_fee")
        == statement.total_nano
    )
    assert divide_half_away(statement.total_nano, 10_000_000) == statement.total_cents


@given(
    st.lists(
        st.builds(
            Adjustment,
            st.sampled_from(["m1", "m2", "m3"]),
            st.sampled_from(["claude-a", "claude-b"]),
            st.sampled_from(["2026-09", "2026-10"]),
            st.sampled_from([("evt_1~1",), ("evt_2~1", "evt_3~1")]),
            st.integers(-(10**12), 10**12),
        ),
        max_size=12,
        unique_by=lambda a: (a.member_id, a.model, a.month),
    )
)
def test_adjustments_of_either_sign_sum_to_their_lines_and_to_the_total(adjustments: list[Adjustment]) -> None:
    """Also where the total is a credit."""
    statement = build(seat_fees=[], held=[], usage=[], days_in_month=30, adjustments=adjustments)

    assert sum(one.amount_nano for one in adjustments) == statement.total_nano
    assert (
        divide_half_away(statement.total_nano, 10_000_000) == statement.total_cents == sum(statement.adjustment_cents)
    )
    for line, cents in zip(statement.lines, statement.line_cents, strict=True):
        rows = [i for i, row in enumerate(statement.adjustments) if (row.model, row.month) == (line.item, line.name)]
        assert line.amount_nano == sum(statement.adjustments[i].amount_nano for i in rows)
        assert line.quantity == sum(len(statement.adjustments[i].events) for i in rows)
        assert cents == sum(statement.adjustment_cents[i] for i in rows)
