"""Explaining limits: the same rows the ledger decides on, the binding one first found."""

from pathlib import Path

import pytest

from builders import DOLLAR, Aurora, aurora
from tokenpool.kernel import clock
from tokenpool.kernel.period import Month
from tokenpool.limits import caps, explain, overview
from tokenpool.limits.models import Account


@pytest.fixture
def org(database: Path) -> Aurora:
    """Return the usual organization with something spent."""
    found = aurora()
    key = str(Month.of(clock.now()))
    for scope, spent, held in [
        ("organization", 9, 1),
        ("seat_type:chat", 4, 1),
        (f"member:{found.farid.member_id}", 3, 1),
    ]:
        Account.objects.create(
            organization_id=found.organization_id, scope=scope, window_key=key,
            spent_nano=spent * DOLLAR, held_nano=held * DOLLAR,
        )  # fmt: skip
    return found


def test_the_limit_with_the_least_room_binds(org: Aurora) -> None:
    """Spent, held and left apart, at every level."""
    org.limit("organization", 100)
    org.limit("seat_type:chat", 6)
    org.limit("seat_type:chat", 20, basis="each")

    found = explain.limits_of(by=org.farid, member_id=org.farid.member_id)

    assert found.binding is not None
    assert ("seat_type:chat", "pool", DOLLAR) == (
        found.binding.row.scope,
        found.binding.row.basis,
        found.binding.left_nano,
    )
    assert [90 * DOLLAR, 16 * DOLLAR, DOLLAR] == [
        line.left_nano for line in sorted(found.lines, key=lambda x: -(x.left_nano or 0))
    ]
    assert (3 * DOLLAR, DOLLAR) == (found.spent_nano, found.held_nano)


def test_an_exception_is_shown_as_replacing(org: Aurora) -> None:
    """The each-limit of the seat type stays visible and does not bind."""
    org.limit("seat_type:chat", 4, basis="each")
    caps.set_limit(
        by=org.ada, scope=f"member:{org.farid.member_id}", basis="each", amount_nano=50 * DOLLAR, exception=True
    )

    found = explain.limits_of(by=org.ada, member_id=org.farid.member_id)

    assert [("seat_type:chat", True), (f"member:{org.farid.member_id}", False)] == [
        (line.row.scope, line.replaced) for line in found.lines
    ]


def test_the_table_sorts_by_spend_and_counts_everybody(org: Aurora) -> None:
    """Seven members; the one who spent comes first."""
    rows, count = overview.members(by=org.ada)

    assert (7, "Farid Haddad", 3 * DOLLAR) == (count, rows[0].explanation.member.name, rows[0].explanation.spent_nano)


def test_the_cards_show_their_own_scope(org: Aurora) -> None:
    """Pool and seat types, with their limits where set."""
    org.limit("organization", 12)

    pool = overview.pool(by=org.ada)
    chat = overview.seat_types(by=org.ada)[0]

    assert (9 * DOLLAR, DOLLAR, 2 * DOLLAR) == (pool.spent_nano, pool.held_nano, pool.pool and pool.pool.left_nano)
    assert ("chat", 3, 4 * DOLLAR, None) == (
        chat.seat_type.key,
        chat.members,
        chat.balance.spent_nano,
        chat.balance.pool,
    )
