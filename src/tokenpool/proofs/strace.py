"""The system calls of a process, recorded or made to fail by strace, and read back in the order in which they ended."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from tokenpool.kernel.errors import InvalidInput

MISSING = "strace is missing, and without it no write can be lost or made to fail: sudo apt-get install strace"
FORBIDDEN = "strace may not trace processes here; in a container: --cap-add SYS_PTRACE"
_WRITING = (
    "write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,ftruncate,truncate,fallocate,lseek,"
    "open,creat,openat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)(.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_STRING = re.compile(r'"([^"]*)"')  # every text is in hexadecimal digits: no quotes, brackets or commas in it
_FILE = re.compile(r"\d*<(\\x[^>]+)>(\(deleted\))?")
_UNFINISHED = " <unfinished ...>"


class Call(NamedTuple):
    """One system call. *begun* and *ended* are positions in the record: what ended before another began came first."""

    process: int
    name: str
    arguments: str
    result: int
    returned: str
    begun: int
    ended: int

    @property
    def failed_by_us(self) -> bool:
        """True when strace made it fail."""
        return self.returned.endswith("(INJECTED)")

    @property
    def path(self) -> Path | None:
        """The file behind the first descriptor (of an opening call: the file opened); None when it is gone."""
        found = _FILE.match(self.returned if self.name in ("open", "openat", "creat") else self.arguments)
        return _path(found[1]) if found and not found[2] else None

    @property
    def descriptor(self) -> int:
        """The first argument."""
        return int(self.arguments.partition("<")[0])

    @property
    def names(self) -> list[str]:
        """Every path given as text, in order."""
        return [_text(one) for one in _STRING.findall(self.arguments)]

    @property
    def data(self) -> bytes:
        """What was written."""
        return b"".join(_bytes(one) for one in _STRING.findall(self.arguments))[: self.result]

    @property
    def numbers(self) -> list[int]:
        """The plain numbers after the last text, list or descriptor: lengths and offsets."""
        end = max(self.arguments.rfind(mark) for mark in ']>")')
        return [int(one) for one in self.arguments[end + 1 :].split(", ") if one.isdigit()]


def recording(record: Path, *, failing: str = "") -> list[str]:
    """Return the words before a command that record its writes; *failing* is `fsync:error=EIO:when=3+2` or none."""
    words = [program(), "-f", "--seccomp-bpf", "-y", "-xx", "-s", "100000000", "-qqq", "-e", "signal=none"]
    words += ["-o", str(record), "-e", f"trace={_WRITING},{failing.partition(':')[0]}"]
    return [*words, "-e", f"inject={failing}"] if failing else words


@cache
def program() -> str:
    """Return the path of strace.

    Raises:
        InvalidInput: it is not installed, or may not trace here; says what to do.
    """
    found = shutil.which("strace")
    if found is None:
        raise InvalidInput(MISSING)
    if subprocess.run([found, "-qqq", "-o", "/dev/null", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        raise InvalidInput(FORBIDDEN)
    return found


def calls(record: Path) -> Iterator[Call]:
    """Yield the calls of a record as they ended."""
    pending: dict[str, tuple[int, str]] = {}
    with record.open() as lines:
        for number, line in enumerate(lines):
            process, _, rest = line.rstrip("\n").partition(" ")
            text, begun = rest.lstrip(), number
            if text.endswith(_UNFINISHED):
                pending[process] = (number, text.removesuffix(_UNFINISHED))
                continue
            if resumed := _RESUMED.match(text):
                begun, head = pending.pop(process)
                text = head + resumed[1]
            if found := _CALL.match(text):
                yield Call(int(process), found[1], found[2], int(found[3]), found[4], begun, number)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _text(text: str) -> str:
    return _bytes(text).decode()


@lru_cache(maxsize=4096)
def _path(text: str) -> Path:
    return Path(_text(text))
