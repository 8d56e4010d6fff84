"""What this process takes on at once: attempts under way, how many a member may have, and bodies in memory.

Whatever is over is shed before it costs anything; what is under way goes on to its settlement.
"""

from collections import Counter
from collections.abc import ItemsView, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from tokenpool.gateway.pace import Pace
from tokenpool.kernel.errors import TokenpoolError, Unavailable

MOST_BYTES = 512 * 2**20  # of all requests being read or decided at once
MEMBERS_AT_LEAST = 4  # a member may have no more of it than leaves room for so many


class TooMany(TokenpoolError):
    """A member has as many requests under way as they may have; one of them ends soon."""

    status = 429
    kind = "rate_limit_error"


class Attempting(NamedTuple):
    """Whose a running attempt is, and whether it streams."""

    organization_id: str
    member_id: str
    streams: bool = False


@dataclass
class Running:
    """The attempts under way in this process, by hold; at most so many of one member (0: any number)."""

    most_of_member: int = 0
    pace: Pace = field(init=False)
    _attempts: dict[str, Attempting] = field(default_factory=dict)
    _of_member: Counter[str] = field(default_factory=Counter)
    _under_way: int = 0  # attempts, and requests that are decided or wait for it

    def __post_init__(self) -> None:
        self.pace = Pace(lambda: self._under_way)

    @contextmanager
    def admitting(self, member_id: str) -> Iterator[None]:
        """Count a request of a member while it is decided.

        Raises:
            TooMany: the member has as many as they may have.
        """
        if 0 < self.most_of_member <= self._of_member[member_id]:
            raise TooMany(
                f"You have {self.most_of_member} requests running, which is the most at once; try again soon."
            )
        self._more(member_id)
        try:
            yield
        finally:
            self._less(member_id)

    def begin(self, hold_id: str, organization_id: str, member_id: str, *, streams: bool = False) -> None:
        """Count an attempt until it ends."""
        self._attempts[hold_id] = Attempting(organization_id, member_id, streams)
        self._more(member_id)
        if streams:
            self.pace.stream_begins()

    def end(self, hold_id: str) -> None:
        """Count an attempt no more; whether its hold has ended or is left to its evidence, once is enough."""
        attempt = self._attempts.pop(hold_id, None)
        if attempt is not None:
            self._less(attempt.member_id)
            if attempt.streams:
                self.pace.stream_ends()

    def items(self) -> ItemsView[str, Attempting]:
        """Return the holds and whose they are."""
        return self._attempts.items()

    def __contains__(self, hold_id: str) -> bool:
        return hold_id in self._attempts

    def __len__(self) -> int:
        return len(self._attempts)

    def _more(self, member_id: str) -> None:
        self._under_way += 1
        self._of_member[member_id] += 1

    def _less(self, member_id: str) -> None:
        self._under_way -= 1
        self._of_member[member_id] -= 1
        if self._of_member[member_id] <= 0:
            del self._of_member[member_id]


class Bodies:
    """How many bytes of requests are in memory."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._of_member: Counter[str] = Counter()

    def take(self, size: int, member_id: str = "") -> None:
        """Count *size* bytes more, of a member or of nobody in particular.

        Raises:
            TooMany: the member has their share already.
            Unavailable: there is no room for them now.
        """
        if self._bytes + size > self._most_bytes:
            raise Unavailable("This process has its hands full; try again.")
        share = self._most_bytes // MEMBERS_AT_LEAST
        if member_id and self._of_member[member_id] + size > share:
            raise TooMany(
                f"Your running requests have {share // 2**20} MiB together, the most at once; try again soon."
            )
        self._bytes += size
        self._of_member[member_id] += size

    def give_back(self, size: int, member_id: str = "") -> None:
        """Count *size* bytes less."""
        self._bytes -= size
        self._of_member[member_id] -= size
        if self._of_member[member_id] <= 0:
            del self._of_member[member_id]


bodies = Bodies()
