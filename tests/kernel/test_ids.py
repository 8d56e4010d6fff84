"""Ids: 128 bits, ordered by time, twins across prefixes."""

from datetime import UTC, datetime, timedelta

from tokenpool.kernel import clock, ids


def test_ids_sort_by_the_millisecond_they_were_made_in() -> None:
    """A later millisecond gives a larger id."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    made = []
    for step in range(50):
        with clock.standing_at(at + timedelta(milliseconds=step)):
            made.append(ids.new("evt"))

    assert made == sorted(made)


def test_an_id_after_another_sorts_after_it_whatever_the_clock_says() -> None:
    """The clock steps back a day and forth between a hundred of them."""
    at, made = datetime(2026, 11, 24, tzinfo=UTC), [""]
    for step in range(100):
        with clock.standing_at(at - timedelta(days=step % 2)):
            made.append(ids.new("spl", after=made[-1]))

    assert (made, 101) == (sorted(made), len(set(made)))
    assert all(ids.is_id("spl", one) for one in made[1:])


def test_a_request_is_one_id_under_several_prefixes() -> None:
    """Hold, event and request differ in the prefix alone."""
    hold = ids.new("hold")

    assert hold == ids.twin("hold", ids.twin("evt", hold))
    assert hold.removeprefix("hold_") == ids.twin("evt", hold).removeprefix("evt_")


def test_ten_thousand_ids_are_distinct() -> None:
    """Eighty random bits do not collide within a millisecond."""
    with clock.standing_at(datetime(2026, 11, 24, tzinfo=UTC)):
        assert 10_000 == len({ids.new("evt") for _ in range(10_000)})


def test_the_shape_is_checked_with_its_prefix() -> None:
    """Letters that are not of the alphabet, lengths and other prefixes are no ids."""
    good = ids.new("spl")

    assert [True, False, False, False] == [
        ids.is_id("spl", text) for text in (good, good[:-1], good[:-1] + "u", ids.new("evt"))
    ]
