"""Thresholds: each once per limit, account and window; the highest is loud; a new limit re-arms."""

import json
from pathlib import Path

import pytest

from builders import Aurora, aurora
from tokenpool.kernel.period import Window
from tokenpool.kernel.sqlite import SqliteStore
from tokenpool.limits.operations import Movement
from tokenpool.notifications.models import Notice
from tokenpool.notifications.thresholds import reached, writes


def moved(spent: int, *, limit: int = 100, refused: bool = False, limit_id: str = "spl_1") -> Movement:
    """Return a movement of the organization's pool."""
    return Movement(limit_id, "organization", "pool", Window.MONTH, "2026-11", "user_1", limit, spent, refused, 1)


@pytest.mark.parametrize(
    ("spent", "expected"), [(74, []), (75, [75]), (89, [75]), (90, [75, 90]), (99, [75, 90]), (100, [75, 90, 100])]
)
def test_a_threshold_is_reached_at_its_very_share(spent: int, expected: list[int]) -> None:
    """Not a nano-dollar before."""
    assert expected == reached(moved(spent))


def test_a_refusal_reaches_the_whole_limit() -> None:
    """A hard limit is rarely spent to the last nano-dollar."""
    assert [75, 90, 100] == reached(moved(80, refused=True))
    assert [] == reached(moved(0, limit=0))
    assert [75, 90, 100] == reached(moved(0, limit=0, refused=True))


async def test_each_fires_once_and_a_changed_limit_again(database: Path) -> None:
    """A thousand crossings are three rows, one of them loud at a time."""
    org: Aurora = aurora()
    store = SqliteStore(database)

    def write(movement: Movement) -> object:
        yield writes(org.organization_id, [movement])
        return None

    for spent in [76] * 500 + [95] * 500:
        await store.run(lambda spent=spent: write(moved(spent)))
    told = [(json.loads(n.facts)["percent"], n.silent) for n in Notice.objects.order_by("key")]
    await store.run(lambda: write(moved(96, limit_id="spl_2")))
    await store.close()

    assert [(75, False), (90, False)] == told
    assert 4 == Notice.objects.count()
    assert [True, False] == [n.silent for n in Notice.objects.filter(key__startswith="spl_2").order_by("key")]
