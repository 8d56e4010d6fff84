"""How many requests are under way at once while streams run: as many as the event loop serves on time.

A full loop serves every stream a little later with each request more. So when it is late, what is under way
is more than may be: new requests wait for some of it to end. On time, one more may begin at each tick, and
soon nobody waits. Members take turns, each with their own in the order of arrival, and one begins at each
tick at least: nobody waits for ever, nor behind all that another member asks.
Where nothing streams, nobody sees that the loop is late, and nobody waits.
"""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable

from tokenpool.kernel.errors import Unavailable

TICK_SECONDS = 0.005
LATE_SECONDS = 0.012  # this late is on time
TWICE_TOO_MANY_SECONDS = 0.05  # so late with what is under way: half of it goes well
MOST_WAITING = 2_048


class Pace:
    """The turns of one process's requests."""

    def __init__(self, under_way: Callable[[], int]) -> None:
        """*under_way* tells how many requests are, with those that wait for their turn."""
        self._under_way = under_way
        self._streams = 0
        self._most = math.inf
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # by member
        self._count = 0  # of those that wait
        self._tick: asyncio.TimerHandle | None = None

    def stream_begins(self) -> None:
        """Count a stream, and look after it while it runs."""
        self._streams += 1
        if self._tick is None:
            self._wait_a_tick()

    def stream_ends(self) -> None:
        """Count a stream less."""
        self._streams -= 1

    async def turn(self, member_id: str, *, streams: bool) -> bool:
        """Return when a new request of a member may begin, and whether it had to wait.

        Raises:
            Unavailable: as many wait as may.
        """
        if not self._waiting and (self._under_way() <= self._most or not (streams or self._streams)):
            return False
        if self._count >= MOST_WAITING:
            raise Unavailable("This process has its hands full; try again.")
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(member_id, deque()).append(turn)
        self._count += 1
        if self._tick is None:
            self._wait_a_tick()
        await turn
        return True

    def look(self, late_seconds: float) -> None:
        """Learn how late the loop was at a tick, and let as many begin as may."""
        running = self._under_way() - self._count
        if late_seconds <= LATE_SECONDS:
            self._most += 1
        else:
            self._most = min(self._most, running * max(0.5, 1 - late_seconds / TWICE_TOO_MANY_SECONDS / 2))
        room = max(1, self._most - running)
        while self._waiting and room >= 1:
            turn = self._next()
            if not turn.done():  # else its request was given up
                turn.set_result(None)
                room -= 1

    def _next(self) -> asyncio.Future[None]:
        """Take the first request of the member whose turn it is; the member's others wait behind everybody."""
        member_id, turns = self._waiting.popitem(last=False)
        turn = turns.popleft()
        self._count -= 1
        if turns:
            self._waiting[member_id] = turns
        return turn

    def _wait_a_tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._tick = loop.call_later(TICK_SECONDS, self._on_tick, loop.time() + TICK_SECONDS)

    def _on_tick(self, due: float) -> None:
        self.look(asyncio.get_running_loop().time() - due)
        if self._streams or self._waiting:
            self._wait_a_tick()
        else:
            self._tick = None
