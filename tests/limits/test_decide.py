"""The decision: every limit must have room, the one with the least room binds."""

from hypothesis import given
from hypothesis import strategies as st

from tokenpool.kernel.period import Window
from tokenpool.limits.decide import Applied, Balance, Granted, Short, apply, decide, fullest, readings
from tokenpool.limits.hierarchy import Cap, applicable, scopes_of
from tokenpool.pricing.bound import Bound

SCOPES = scopes_of(member_id="user_1", seat_type="chat")
MONTH = {Window.MONTH: "2026-11"}
REQUEST = Bound(fixed_nano=1_000, output_price_nano_per_mtok=5_000_000, max_output=2_000)  # 1,000 + 2,000 x 5


def cap(scope: str, basis: str, amount_nano: int | None, *, exception: bool = False) -> Cap:
    """Return a monthly cap named after its scope and basis."""
    return Cap(f"{scope}/{basis}", scope, basis, Window.MONTH, amount_nano, exception)


def limits(*caps: Cap, spent: dict[str, int] | None = None, held: dict[str, int] | None = None) -> list[Applied]:
    """Apply *caps* to a call of user_1 on a chat seat with these balances."""
    grouped: dict[str, list[Cap]] = {}
    for one in caps:
        grouped.setdefault(one.scope, []).append(one)
    balances = {
        (scope, "2026-11"): Balance((spent or {}).get(scope, 0), (held or {}).get(scope, 0)) for scope in SCOPES
    }
    return apply(readings(applicable(grouped, SCOPES), MONTH), balances)


def test_a_request_without_limits_is_granted_whole() -> None:
    """Not set means no limit at that level."""
    assert Granted(11_000, 2_000) == decide([], REQUEST, clamps=False, floor_output=1_024)


def test_a_request_that_fits_exactly_is_granted() -> None:
    """The last nano-dollar may be spent."""
    found = limits(cap("organization", "pool", 20_000), spent={"organization": 4_000}, held={"organization": 5_000})

    assert Granted(11_000, 2_000) == decide(found, REQUEST, clamps=False, floor_output=1_024)


def test_one_nano_less_is_refused_and_says_what_would_fit() -> None:
    """Hard means hard; the remaining 10,999 pay for 1,999 output tokens."""
    found = limits(cap("organization", "pool", 19_999), spent={"organization": 9_000})

    verdict = decide(found, REQUEST, clamps=False, floor_output=1_024)

    assert isinstance(verdict, Short)
    assert (1_999, 10_999) == (verdict.affordable_output, verdict.binding.left_nano)


def test_the_least_room_binds_whatever_the_level() -> None:
    """Organization, seat type and member are asked alike."""
    found = limits(
        cap("organization", "pool", 100_000),
        cap("seat_type:chat", "pool", 6_000),
        cap("member:user_1", "each", 7_000),
    )

    verdict = decide(found, REQUEST, clamps=False, floor_output=1_024)

    assert isinstance(verdict, Short)
    assert "seat_type:chat/pool" == verdict.binding.cap.limit_id


def test_an_each_limit_reads_the_members_account() -> None:
    """The seat type has spent plenty, this member nothing: the `each` limit has all its room."""
    found = limits(cap("seat_type:chat", "each", 11_000), spent={"seat_type:chat": 10**9})

    assert Granted(11_000, 2_000) == decide(found, REQUEST, clamps=False, floor_output=1_024)


def test_an_exception_replaces_the_each_limit_of_the_seat_type_alone() -> None:
    """The organization's `each` limit and every pool stand."""
    found = limits(
        cap("organization", "each", 50_000),
        cap("organization", "pool", 90_000),
        cap("seat_type:chat", "each", 5),
        cap("seat_type:chat", "pool", 80_000),
        cap("member:user_1", "each", 60_000, exception=True),
    )

    assert [
        "organization/each",
        "organization/pool",
        "seat_type:chat/pool",
        "member:user_1/each",
    ] == [one.cap.limit_id for one in found]


def test_explicitly_unlimited_never_binds_and_zero_always_does() -> None:
    """The three states are distinct: unlimited, an amount, zero."""
    assert [] == limits(cap("organization", "pool", None))
    assert isinstance(decide(limits(cap("organization", "pool", 0)), REQUEST, clamps=True, floor_output=1), Short)


def test_clamping_grants_the_output_that_fits() -> None:
    """6,500 left pay for 1,000 of input side and 1,100 output tokens."""
    found = limits(cap("member:user_1", "each", 6_500))

    assert Granted(6_500, 1_100) == decide(found, REQUEST, clamps=True, floor_output=1_024)


def test_clamping_stops_at_the_smallest_output_worth_having() -> None:
    """Below the floor the request is refused."""
    found = limits(cap("member:user_1", "each", 6_115))

    verdict = decide(found, REQUEST, clamps=True, floor_output=1_024)

    assert isinstance(verdict, Short)
    assert 1_023 == verdict.affordable_output


def test_the_fullest_limit_is_the_largest_share_not_the_largest_sum() -> None:
    """Ninety of a hundred is fuller than ninety thousand of a million."""
    found = limits(
        cap("organization", "pool", 1_000_000),
        cap("member:user_1", "each", 100),
        spent={"organization": 90_000, "member:user_1": 90},
    )

    worst = fullest(found)

    assert worst is not None
    assert "member:user_1/each" == worst.cap.limit_id


amounts = st.integers(0, 50_000)


@given(st.lists(st.tuples(amounts, amounts, amounts), max_size=5), st.booleans())
def test_what_is_granted_fits_every_limit_and_what_is_refused_fits_not(
    rows: list[tuple[int, int, int]], clamps: bool
) -> None:
    """No overspend and no false refusal, for any limits and balances."""
    found = [
        Applied(cap("organization", "pool", amount), ("organization", "2026-11"), Balance(spent, held), amount)
        for amount, spent, held in rows
    ]

    verdict = decide(found, REQUEST, clamps=clamps, floor_output=1_024)

    if isinstance(verdict, Granted):
        assert all(
            one.balance.spent_nano + one.balance.held_nano + verdict.amount_nano <= one.amount_nano for one in found
        )
        assert 2_000 == verdict.max_output or (clamps and verdict.max_output >= 1_024)
    else:
        assert any(one.left_nano < REQUEST.amount() for one in found)
        assert not clamps or verdict.affordable_output < 1_024
