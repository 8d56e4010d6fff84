"""What a process has promised, and whether the stored data keeps it: nothing lost, doubled, freed or half there."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from tokenpool.gateway.spool import Spool
from tokenpool.kernel import ids
from tokenpool.kernel.group_commit import Store
from tokenpool.proofs import scratch


@dataclass
class Promises:
    """By hold: what was asked and tried, and what was acknowledged; amounts in nano-dollars."""

    asked: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    settling: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    journaled: dict[str, int] = field(default_factory=dict)
    unavailable: dict[str, int] = field(default_factory=dict)  # answered so, once or more
    wrong: dict[str, int] = field(default_factory=dict)  # answers that no caller should get
    slowest: dict[str, int] = field(default_factory=dict)  # by caller: its longest turn, in milliseconds

    @classmethod
    def read(cls, lines: Iterable[str]) -> "Promises":
        """Read the lines of a worker: a word, a hold, an amount."""
        promises = cls()
        for line in lines:
            word, name, nano = line.split()
            getattr(promises, word)[name] = int(nano)
        return promises

    def __len__(self) -> int:
        return len(self.held) + len(self.settled) + len(self.journaled)


@dataclass
class Kept:
    """What the examinations came to."""

    states: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    freed: int = 0
    half: int = 0
    damaged: int = 0

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def holds(self) -> bool:
        """True when every promise was kept."""
        return not (self.lost or self.doubled or self.freed or self.half or self.damaged)


async def examine(store: Store, spool: Path, organization_id: str, promises: Promises, kept: Kept) -> None:
    """Replay the journal in *spool*, then compare what was promised with what is stored."""
    await Spool(spool).replay(scratch.ledger_on(store))
    rows = await store.read(
        "select id, state, reserved_nano, settled_nano from limits_hold where organization_id = ?", (organization_id,)
    )
    events = await store.read(
        "select request_id, cost_nano from metering_usageevent where organization_id = ?", (organization_id,)
    )
    days = await store.read(
        "select sum(cost_nano) from metering_dailyusage where organization_id = ?", (organization_id,)
    )
    stored = {row[0]: tuple(row[1:]) for row in rows}
    billed = dict[str, int](events)
    kept.states += 1
    kept.acknowledged += len(promises)
    kept.lost += sum(hold_id not in stored for hold_id in promises.held)
    waiting = {json.loads(path.read_text())["settle"] for path in Spool(spool).waiting()}  # of a database that is away
    for hold_id, nano in (promises.settled | promises.journaled).items():
        if hold_id in waiting:
            continue
        kept.lost += (stored.get(hold_id, ("",))[0], billed.get(ids.twin("req", hold_id))) != ("settled", nano)
    kept.doubled += len(events) - len(billed)
    for hold_id, (state, reserved_nano, settled_nano) in stored.items():
        kept.freed += state not in ("reserved", "in_doubt", "settled")
        kept.half += promises.asked.get(hold_id) != reserved_nano
        kept.half += billed.get(ids.twin("req", hold_id)) != settled_nano
        kept.half += settled_nano is not None and promises.settling.get(hold_id) != settled_nano
    kept.half += len(billed.keys() - {ids.twin("req", hold_id) for hold_id in stored})
    kept.half += sum(billed.values()) != int(days[0][0] or 0)
    kept.half += len(await scratch.broken_sums(store, organization_id))
