"""Setting limits: dated rows, conflicts shown, bad input named, nothing changed by it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from builders import DOLLAR, Aurora, aurora
from tokenpool.kernel import clock
from tokenpool.kernel.errors import Conflict, InvalidInput, NotFound
from tokenpool.limits import caps
from tokenpool.limits.hierarchy import member_scope
from tokenpool.limits.models import SpendLimit
from tokenpool.organizations import groups, members
from tokenpool.organizations.models import Gate


@pytest.fixture
def org(database: Path) -> Aurora:
    """Return the usual organization."""
    return aurora()


def test_the_newest_row_stands_and_the_history_stays(org: Aurora) -> None:
    """Three changes are three rows."""
    for amount in (10 * DOLLAR, None, 5 * DOLLAR):
        caps.set_limit(by=org.ada, scope="organization", basis="pool", amount_nano=amount, reason="Trying")

    assert [5 * DOLLAR] == [row.amount_nano for row in caps.standing(org.organization_id)]
    assert [5 * DOLLAR, None, 10 * DOLLAR] == [
        row.amount_nano for row in caps.history(by=org.ada, scope="organization", basis="pool")
    ]


def test_the_newest_row_stands_though_the_clock_stepped_back(org: Aurora) -> None:
    """Set to ten dollars, the clock goes back a day, set to five, a day forward, to seven: each acts at once."""
    at, stood = datetime(2026, 11, 24, 12, tzinfo=UTC), []
    for day, amount in ((0, 10 * DOLLAR), (-1, 5 * DOLLAR), (1, 7 * DOLLAR), (0, 6 * DOLLAR)):
        with clock.standing_at(at + timedelta(days=day)):
            caps.set_limit(by=org.ada, scope="organization", basis="pool", amount_nano=amount)
        stood += [row.amount_nano for row in caps.standing(org.organization_id)]

    assert [10 * DOLLAR, 5 * DOLLAR, 7 * DOLLAR, 6 * DOLLAR] == stood


def test_every_change_raises_the_version_that_kept_limits_carry(org: Aurora) -> None:
    """Set, changed, by day for the first time, removed, and ended with its group; what is refused raises nothing."""
    gate = Gate.objects.filter(organization_id=org.organization_id).values_list("limits_version", flat=True)
    group = groups.create(by=org.ada, name="Research")
    pool = {"by": org.ada, "scope": "organization", "basis": "pool"}
    seen = [gate.get()]
    for change in (
        lambda: caps.set_limit(**pool, amount_nano=9 * DOLLAR),
        lambda: caps.set_limit(**pool, amount_nano=None),
        lambda: caps.set_limit(**pool, amount_nano=DOLLAR, window="day"),
        lambda: caps.remove(**pool),
        lambda: caps.set_limit(by=org.ada, scope=f"group:{group.id}", basis="each", amount_nano=DOLLAR),
        lambda: caps.delete_group(by=org.ada, group_id=group.id),
    ):
        change()
        seen.append(gate.get())
    with pytest.raises(NotFound):
        caps.remove(**pool)

    assert [1, 2, 3, 5, 6, 7, 8] == seen  # the first limit by day also begins to keep its accounts
    assert 8 == gate.get()


def test_the_limit_of_a_removed_member_stands_but_is_in_force_no_more(org: Aurora) -> None:
    """Of $9 for all and $4 for one who leaves, the first alone is listed; the other's history of one row stays."""
    scope = member_scope(org.farid.member_id)
    caps.set_limit(by=org.ada, scope="organization", basis="pool", amount_nano=9 * DOLLAR)
    caps.set_limit(by=org.ada, scope=scope, basis="each", amount_nano=4 * DOLLAR)
    before = [row.amount_nano for row in caps.in_force(org.organization_id)]

    members.remove(by=org.ada, member_id=org.farid.member_id)

    assert [9 * DOLLAR, 4 * DOLLAR] == before
    assert [9 * DOLLAR] == [row.amount_nano for row in caps.in_force(org.organization_id)]
    assert 2 == len(caps.standing(org.organization_id))
    assert 1 == len(caps.history(by=org.ada, scope=scope, basis="each"))


def test_two_owners_at_once_lose_nothing(org: Aurora) -> None:
    """The second hears what the first has set."""
    caps.set_limit(by=org.ada, scope="organization", basis="pool", amount_nano=9 * DOLLAR, expect="none")

    with pytest.raises(Conflict, match=r"ada@aurora\.example set this limit to 9\.00 dollars in the meantime"):
        caps.set_limit(by=org.bruno, scope="organization", basis="pool", amount_nano=5 * DOLLAR, expect="none")

    assert 1 == SpendLimit.objects.count()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"amount_nano": -1}, InvalidInput),
        ({"amount_nano": 2**63}, InvalidInput),
        ({"basis": "some"}, InvalidInput),
        ({"window": "year"}, InvalidInput),
        ({"scope": "galaxy"}, InvalidInput),
        ({"scope": "seat_type:gold"}, NotFound),
        ({"scope": "member:user_nobody", "basis": "each"}, NotFound),
        ({"exception": True}, InvalidInput),
        ({"reason": "x" * 201}, InvalidInput),
    ],
)
def test_what_cannot_be_a_limit_is_refused_and_changes_nothing(
    org: Aurora, given: dict[str, Any], error: type[Exception]
) -> None:
    """Each by its name."""
    with pytest.raises(error):
        caps.set_limit(by=org.ada, **{"scope": "organization", "basis": "pool", "amount_nano": 1, **given})

    assert 0 == SpendLimit.objects.count()


def test_a_member_limit_has_one_basis(org: Aurora) -> None:
    """A member is never a pool."""
    with pytest.raises(InvalidInput, match="always “each”"):
        caps.set_limit(by=org.ada, scope=f"member:{org.farid.member_id}", basis="pool", amount_nano=1)


def test_removing_what_is_not_set_says_so(org: Aurora) -> None:
    """And removing what is leaves a row that says so."""
    with pytest.raises(NotFound, match="no limit set here"):
        caps.remove(by=org.ada, scope="organization", basis="pool")
    org.limit("organization", 3)
    caps.remove(by=org.ada, scope="organization", basis="pool")

    assert [] == caps.standing(org.organization_id)
    assert 2 == SpendLimit.objects.count()
