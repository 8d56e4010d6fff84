"""The settlement journal: what the database does not take goes to this machine's disk first, and is replayed.

One file a settlement, named by its instant, so that the order is the names'. It is on the disk
(file and folder fsynced) before the client sees the end of its answer; its id is the hold's, so a
replay that was half done before a crash changes nothing.
"""

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenpool.kernel import clock, ids
from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import GroupCommit
from tokenpool.kernel.tokens import TokenCounts
from tokenpool.limits.operations import Done, Ended, Settle, Void
from tokenpool.metering import allowance
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing.book import HourPrice
from tokenpool.pricing.cost import Cost

logger = logging.getLogger("tokenpool.gateway")


class Spool:
    """A folder of settlements that wait for the database."""

    def __init__(self, folder: Path) -> None:
        """*folder* is made when it is first needed, readable by its owner alone."""
        self._folder = folder

    @cached_property
    def name(self) -> str:
        """Return what this folder is called by evidence, made once for all processes that share it."""
        path = self._folder / "name"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            mine = self._folder / f"{ids.new('spool')}.part"
            mine.write_text(mine.stem)
            with suppress(FileExistsError):
                path.hardlink_to(mine)
            mine.unlink()
        return path.read_text()

    def write(self, organization_id: str, operation: Settle | Void) -> None:
        """Put *operation* on the disk; on return it survives power loss.

        Raises:
            OSError: the disk did not take it; nothing of it counts.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{ids.new('end')}.json"
        text = json.dumps({"organization_id": organization_id, **_facts(operation)})
        descriptor = os.open(self._folder / f"{name}.part", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        (self._folder / f"{name}.part").rename(self._folder / name)
        self._sync_folder()

    def waiting(self) -> list[Path]:
        """Return what waits, in the order in which it was written."""
        return sorted(self._folder.glob("end_*.json"))

    async def replay(self, commits: GroupCommit) -> int:
        """Commit what waits, in order, until the database is away again; return how many were committed."""
        done = 0
        for path in self.waiting():
            try:
                facts = json.loads(path.read_text())
            except FileNotFoundError:  # another process of this folder was faster
                continue
            operation = _operation(facts)
            try:
                answer = await commits.submit(facts["organization_id"], operation)
            except Unavailable:
                break
            if isinstance(answer, Done) or _same(answer, operation):
                path.unlink(missing_ok=True)
                done += 1
            else:  # kept for people: somebody else ended this hold another way
                path.rename(path.with_suffix(".refused"))
                logger.error("the settlement of hold %s in %s was refused: %s", operation.hold_id, path.name, answer)
        if done:
            self._sync_folder()
            logger.warning("%s settlements were replayed from the journal", done)
        return done

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _facts(operation: Settle | Void) -> dict[str, Any]:
    if isinstance(operation, Void):
        return {"void": operation.hold_id, "reason": operation.reason, "at_us": clock.timestamp(operation.ended_at)}
    return {
        "settle": operation.hold_id,
        "usage": [asdict(part) for part in operation.usage],
        "flags": operation.flags,
        "at_us": clock.timestamp(operation.settled_at),
    }


def _operation(facts: dict[str, Any]) -> Settle | Void:
    at = clock.from_timestamp(facts["at_us"])
    if "void" in facts:
        return Void(facts["void"], facts["reason"], at)
    usage = tuple(
        RatedUsage(
            **{
                **part,
                "counts": TokenCounts(**part["counts"]),
                "cost": Cost(*part["cost"]),
                "hourly": HourPrice(**part["hourly"]) if part.get("hourly") else None,
            }
        )
        for part in facts["usage"]
    )
    return Settle(facts["settle"], usage, at, facts["flags"])


def _same(answer: object, operation: Settle | Void) -> bool:
    """Tell whether the hold had ended just as *operation* wants."""
    if not isinstance(answer, Ended):
        return False
    if isinstance(operation, Void):
        return answer.state == "void"
    return allowance.may_have_cost(operation.usage, answer.settled_nano)
