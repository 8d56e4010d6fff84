"""Limits kept between batches: which accounts a place has and what limits it there, so that not every batch reads it.

What is kept carries the version of the limits it was read at, under the organization's lock. Whoever
changes a limit, or which windows have accounts, raises that version in the same transaction, in whatever
process, and every batch reads it under the lock: so nothing is decided on what was changed since.
Balances are never kept.
"""

from collections import OrderedDict
from typing import NamedTuple

from tokenpool.limits.decide import AccountKey, Reading
from tokenpool.limits.places import PlaceName

MOST = 65_536


class Known(NamedTuple):
    """The accounts of a place, and its limits with the accounts they read; no limit is known as well."""

    keys: tuple[AccountKey, ...]
    readings: tuple[Reading, ...]


class Kept:
    """What is known of places, of all organizations together the *most* that were read last."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, int, PlaceName], Known] = OrderedDict()

    def find(self, organization_id: str, version: int, name: PlaceName) -> Known | None:
        """Return what is known of a place at this *version* of the organization's limits."""
        return self._known.get((organization_id, version, name))

    def keep(self, organization_id: str, version: int, name: PlaceName, known: Known) -> None:
        """Keep what was read of a place under the lock together with *version*."""
        self._known[organization_id, version, name] = known
        if len(self._known) > self._most:
            self._known.popitem(last=False)
