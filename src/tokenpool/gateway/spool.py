"""The settlement journal: what the database does not take goes to this machine's disk first, and is replayed.

One file a settlement, named by its instant, so that the order is the names'. It is on the disk
(file, folder and the folder's own name fsynced) before the client sees the end of its answer; its id
is the hold's, so a replay that was half done before a crash changes nothing. A failed fsync is never
tried again on the same file: the kernel would say yes to what it has dropped.
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
from tokenpool.limits.operations import Done, Ended, Settle, Unknown, Void
from tokenpool.metering import allowance
from tokenpool.metering.record import RatedUsage
from tokenpool.pricing.book import HourPrice
from tokenpool.pricing.cost import Cost

logger = logging.getLogger("tokenpool.gateway")


class Spool:
    """A folder of settlements that wait for the database."""

    def __init__(self, folder: Path) -> None:
        """*folder* is made when it is first needed, readable by its owner alone."""
        self.folder = folder
        self.folder_is_durable = False

    @cached_property
    def name(self) -> str:
        """Return what this folder is called by evidence, made once for all processes that share it."""
        path = self.folder / "name"
        if not path.exists():
            self._make_folder()
            mine = self.folder / f"{ids.new('spool')}.part"
            _write(mine, mine.stem)
            with suppress(FileExistsError):
                path.hardlink_to(mine)
            mine.unlink()
            _sync(self.folder)
        return path.read_text()

    def write(self, organization_id: str, operation: Settle | Void) -> None:
        """Put *operation* on the disk; on return it survives power loss.

        Raises:
            OSError: the disk did not take it; it does not count, unless its name alone was not synced.
        """
        self._make_folder()
        path = self.folder / f"{ids.new('end')}.json"
        part = path.with_suffix(".part")
        try:
            _write(part, json.dumps({"organization_id": organization_id, **_facts(operation)}))
            part.rename(path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise
        _sync(self.folder)

    def waiting(self) -> list[Path]:
        """Return what waits, in the order in which it was written."""
        return sorted(self.folder.glob("end_*.json"))

    async def replay(self, commits: GroupCommit) -> int:
        """Commit what waits, in order, until the database is away again; return how many were committed."""
        done = 0
        for path in self.waiting():
            try:
                facts = json.loads(path.read_text())
                operation = _operation(facts)
            except FileNotFoundError:  # another process of this folder was faster
                continue
            except (ValueError, KeyError, TypeError) as error:
                _set_aside(path, f"it cannot be read ({error})")
                continue
            try:
                answer = await commits.submit(facts["organization_id"], operation)
            except Unavailable:
                break
            if isinstance(answer, Done) or _same(answer, operation):
                path.unlink(missing_ok=True)
                done += 1
            else:
                _set_aside(path, f"hold {operation.hold_id} has ended another way: {answer}")
        if done:
            _sync(self.folder)
            logger.warning("%s settlements were replayed from the journal", done)
        return done

    def _make_folder(self) -> None:
        """Make the folder; once in this process also see to it that its name survives power loss."""
        if self.folder_is_durable:
            return
        missing = [folder for folder in self.folder.parents if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.folder, *missing):
            _sync(folder.parent)
        self.folder_is_durable = True


def _set_aside(path: Path, why: str) -> None:
    """Keep for people what cannot be settled; the others go on."""
    path.rename(path.with_suffix(".refused"))
    logger.error("the settlement in %s is set aside: %s", path.name, why)


def _write(path: Path, text: str) -> None:
    """Write a new file whose bytes are on the disk on return; its name is not yet."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _facts(operation: Settle | Void) -> dict[str, Any]:
    if isinstance(operation, Void):
        admitted_at = operation.admitted_at and clock.timestamp(operation.admitted_at)
        facts = {"void": operation.hold_id, "reason": operation.reason, "admitted_at_us": admitted_at}
        return {**facts, "at_us": clock.timestamp(operation.ended_at)}
    return {
        "settle": operation.hold_id,
        "usage": [asdict(part) for part in operation.usage],
        "flags": operation.flags,
        "at_us": clock.timestamp(operation.settled_at),
    }


def _operation(facts: dict[str, Any]) -> Settle | Void:
    at = clock.from_timestamp(facts["at_us"])
    if "void" in facts:
        admitted_at_us = facts.get("admitted_at_us")
        return Void(facts["void"], facts["reason"], at, admitted_at_us and clock.from_timestamp(admitted_at_us))
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
    """Tell whether the hold had ended just as *operation* wants, or was to be given back and is not there."""
    if isinstance(operation, Void) and operation.admitted_at:
        return isinstance(answer, Ended | Unknown)
    if not isinstance(answer, Ended):
        return False
    if isinstance(operation, Void):
        return answer.state == "void"
    return allowance.may_have_cost(operation.usage, answer.settled_nano)
