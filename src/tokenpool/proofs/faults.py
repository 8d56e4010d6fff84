"""A disk that fails or is full: system calls of a working process are made to fail, and it must say so and go on.

What it acknowledged before, between and after the faults is there, also when the power fails on top:
the model of the disk drops what a failed sync should have stored.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tokenpool.proofs import power
from tokenpool.proofs.power import Opening, Recorded
from tokenpool.proofs.promises import Kept

SQLITE = (("fdatasync", 12), ("pwrite64", 60), ("pread64", 20), ("fsync", 4), ("write", 2), ("rename", 2))
POSTGRES = (("fdatasync", 20), ("fsync", 4))  # a server whose every process fails to write would never recover
_LAST_FAULT = 9  # of a series; what comes after must succeed


@dataclass
class Survived:
    """What came of one series of faults."""

    fault: str
    failed: int  # calls
    felt: int  # holds whose asking or ending was answered with “unavailable”
    wrong: list[str]  # any other error that a caller got
    recovered: bool  # a promise was made after the first fault; after a series that ends, the last hold ended
    kept: Kept = field(default_factory=Kept)

    @property
    def holds(self) -> bool:
        """True when calls failed and were told rightly, the last hold went through, and every promise was kept."""
        return bool(self.failed and not self.wrong and self.recovered and self.kept.holds)


def on_sqlite(seed: int) -> Iterator[str]:
    """Yield ten faults for every kind of call: of the log, of the main file, of the journal; *seed* draws which."""
    dice = random.Random(seed)  # noqa: S311 - seeded
    for call, usual in SQLITE:
        first, step = dice.randint(usual, 2 * usual), dice.randint(max(2, usual // 3), usual)
        yield f"{call}:error={_error(call, dice)}:when={first}..{first + _LAST_FAULT * step}+{step}"


def on_postgres(seed: int) -> Iterator[str]:
    """Yield a fault for every kind of call, in each process of the server that comes so far; *seed* draws which."""
    dice = random.Random(seed)  # noqa: S311 - seeded
    for call, usual in POSTGRES:
        yield f"{call}:error={_error(call, dice)}:when={dice.randint(usual, usual * 3 // 2)}"


async def survive(recorded: Recorded, fault: str, opening: Opening, *, moments: int) -> Survived:
    """Look at what a worker left that met *fault*: as it is, and after power loss at *moments* moments."""
    promises, faults = recorded.promises(), [call for call in recorded.calls if call.failed_by_us]
    if ".." in fault:
        recovered = list(promises.asked)[-1] in promises.settled | promises.journaled
    else:
        recovered = any(call.begun > faults[0].ended and call.data.startswith(b"held") for call in recorded.told)
    survived = Survived(
        fault=fault,
        failed=len(faults),
        felt=len(promises.unavailable),
        wrong=sorted(promises.wrong),
        recovered=recovered,
    )
    survived.kept = await power.lose(recorded, moments, opening, chances=("none", "torn"))
    await power.look(recorded.root, recorded.task.organization_id, promises, opening, survived.kept)
    return survived


def _error(call: str, dice: random.Random) -> str:
    return dice.choice(("EIO", "ENOSPC")) if call in ("write", "pwrite64", "rename") else "EIO"
