"""A disk as POSIX promises it and no better: what was synced survives power loss, of the rest what chance leaves.

A write waits until its file is synced, a name until its folder is. A failed sync drops what waited:
the kernel calls those pages clean, a later sync passes over them, and only a new write to a page
takes it along (“fsyncgate”).
"""

import random
from dataclasses import dataclass, field
from pathlib import Path

from tokenpool.proofs.strace import Call

PAGE, SECTOR = 4096, 512
CHANCES = ("none", "all", "a prefix", "torn")
_MEMORY = "-shm"  # SQLite's shared memory: no part of what is durable, garbage after power loss
_COIN, _STANDARD_ERROR = 0.5, 2


@dataclass(frozen=True)
class Change:
    """Bytes written at an offset, or a new size (*data* None), made at place *at* of the record."""

    at: int
    offset: int
    data: bytes | None


@dataclass
class File:
    """A file as processes read it, as the disk has it, and the changes that wait between the two."""

    origin: Path | None = None  # the content before the record; None: it began empty
    cached: bytearray | None = None
    stored: bytearray = field(default_factory=bytearray)
    waiting: list[Change] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)  # pages called clean that never reached the disk

    def change(self, at: int, offset: int, data: bytes | None) -> None:
        """Write *data* at *offset*, or cut or lengthen the file to *offset* bytes."""
        cached = self._load()
        _apply(cached, offset, data)
        if data is not None and (again := self.dropped & _pages(offset, len(data))):
            self.dropped -= again
            end = max(offset + len(data), (max(again) + 1) * PAGE)
            offset = min(offset, min(again) * PAGE)
            data = bytes(cached[offset:end])
        self.waiting.append(Change(at, offset, data))

    def sync(self, begun: int, *, failed: bool) -> None:
        """Store what had been written before the sync began; drop it when the sync failed."""
        later = [change for change in self.waiting if change.at >= begun]
        for change in self.waiting[: len(self.waiting) - len(later)]:
            if not failed:
                _apply(self.stored, change.offset, change.data)
            elif change.data is not None:
                self.dropped |= _pages(change.offset, len(change.data))
        self.waiting = later

    def size(self) -> int:
        """Return the size that processes see."""
        return len(self._load())

    def left(self, until: int, torn: random.Random | None) -> bytes:
        """Return the content after power loss: of what waits all before *until*, or any sectors of it when *torn*."""
        self._load()
        left = bytearray(self.stored)
        for change in self.waiting:
            parts = _sectors(change) if torn else [change]
            for part in parts:
                if torn.random() < _COIN if torn else part.at < until:
                    _apply(left, part.offset, part.data)
        return bytes(left)

    def _load(self) -> bytearray:
        if self.cached is None:
            content = self.origin.read_bytes() if self.origin else b""
            self.cached, self.stored = bytearray(content), bytearray(content)
        return self.cached


@dataclass(frozen=True)
class Naming:
    """Names given (to a file, or None for a folder) and taken away in one folder, made at place *at*."""

    at: int
    folder: Path
    given: dict[Path, File | None]
    taken: tuple[Path, ...] = ()


class Disk:
    """Everything below one folder."""

    def __init__(self, root: Path, before: Path, working: Path) -> None:
        """*before* is *root* as it was, wholly on the disk, when the record began; names are relative to *working*."""
        self._root, self._working = root, working
        self._names: dict[Path, File | None] = {root: None}
        for path in before.rglob("*"):
            self._names[root / path.relative_to(before)] = None if path.is_dir() else File(path)
        self._stored = dict(self._names)
        self._waiting: list[Naming] = []
        self._positions: dict[tuple[int, int], int] = {}

    def apply(self, call: Call) -> None:
        """Let *call* have its effect."""
        handle = _HANDLERS.get(call.name)
        if handle is None:
            raise ValueError(f"the model of the disk does not know {call.name}")
        if call.result >= 0 or call.name in ("fsync", "fdatasync"):
            handle(self, call)

    def lose_power(self, target: Path, chance: str, dice: random.Random) -> None:
        """Write into *target* what is there after power loss now, if *chance* decides about what was not synced."""
        waiting = [naming.at for naming in self._waiting]
        waiting += [change.at for file in self._names.values() if file for change in file.waiting]
        end = max(waiting, default=0) + 1
        until = {"none": 0, "all": end, "a prefix": dice.choice([*waiting, end]), "torn": end}[chance]
        names = dict(self._stored)
        for naming in self._waiting:
            if naming.at < until and (chance != "torn" or dice.random() < _COIN):
                _rename(names, naming)
        target.mkdir()
        for path, file in sorted(names.items()):
            place = target / path.relative_to(self._root)
            if not place.parent.is_dir():
                continue  # its folder's own name was lost
            if file is None:
                place.mkdir(exist_ok=True)
            elif path.name.endswith(_MEMORY):
                place.write_bytes(dice.randbytes(file.size()))
            else:
                place.write_bytes(file.left(until, dice if chance == "torn" else None))

    def open(self, call: Call) -> None:
        """Open, make or empty a file."""
        path = call.path
        if path is None or not path.is_relative_to(self._root):
            return
        if path not in self._names:
            self._name(call, {path: File()})
        file = self._names[path]
        self._positions[call.process, call.result] = 0
        if file and "O_TRUNC" in call.arguments and file.size():
            file.change(call.ended, 0, None)
        if file and "O_APPEND" in call.arguments:
            self._positions[call.process, call.result] = file.size()

    def write(self, call: Call) -> None:
        """Write at the descriptor's position; the standard streams, a log, are nobody's promise."""
        if call.descriptor > _STANDARD_ERROR and (file := self.file_of(call)):
            key = (call.process, call.descriptor)
            file.change(call.ended, self._positions[key], call.data)
            self._positions[key] += call.result

    def seek(self, call: Call) -> None:
        """Move the descriptor's position."""
        if self.file_of(call):
            self._positions[call.process, call.descriptor] = call.result

    def write_at(self, call: Call) -> None:
        """Write at an offset."""
        if file := self.file_of(call):
            file.change(call.ended, call.numbers[1], call.data)

    def resize(self, call: Call) -> None:
        """Cut or lengthen a file."""
        if file := self.file_of(call):
            file.change(call.ended, call.numbers[0], None)

    def allocate(self, call: Call) -> None:
        """Lengthen a file to the end of what was allocated."""
        _, offset, length = call.numbers
        if (file := self.file_of(call)) and offset + length > file.size():
            file.change(call.ended, offset + length, None)

    def sync(self, call: Call) -> None:
        """Store a file's content, or a folder's names."""
        path, failed = call.path, call.result < 0
        if path is None or path not in self._names:
            return
        if file := self._names[path]:
            file.sync(call.begun, failed=failed)
            return
        for naming in self._waiting:
            if naming.folder == path and naming.at < call.begun and not failed:
                _rename(self._stored, naming)
        self._waiting = [one for one in self._waiting if one.folder != path or one.at >= call.begun]

    def rename(self, call: Call) -> None:
        """Give a file another name in its folder."""
        old, new = self._paths(call)
        if old in self._names:
            self._name(call, {new: self._names[old]}, old)

    def link(self, call: Call) -> None:
        """Give a file one more name."""
        old, new = self._paths(call)
        if old in self._names:
            self._name(call, {new: self._names[old]})

    def remove(self, call: Call) -> None:
        """Take a name away."""
        (path,) = self._paths(call)
        if path in self._names:
            self._name(call, {}, path)

    def make_folder(self, call: Call) -> None:
        """Make a folder."""
        (path,) = self._paths(call)
        if path.is_relative_to(self._root):
            self._name(call, {path: None})

    def _name(self, call: Call, given: dict[Path, File | None], *taken: Path) -> None:
        folders = {path.parent for path in (*given, *taken)}
        if len(folders) > 1:
            raise ValueError(f"a name moved between {folders}: the model of the disk knows one folder at a time")
        naming = Naming(call.ended, folders.pop(), given, taken)
        _rename(self._names, naming)
        self._waiting.append(naming)

    def _paths(self, call: Call) -> list[Path]:
        return [self._working / name for name in call.names]

    def file_of(self, call: Call) -> File | None:
        """Return the file behind a call's descriptor; a read does no more."""
        return self._names.get(call.path) if call.path else None


_HANDLERS = {
    **dict.fromkeys(("open", "openat", "creat"), Disk.open),
    **dict.fromkeys(("write", "writev"), Disk.write),
    **dict.fromkeys(("pwrite64", "pwritev", "pwritev2"), Disk.write_at),
    **dict.fromkeys(("fsync", "fdatasync"), Disk.sync),
    **dict.fromkeys(("rename", "renameat", "renameat2"), Disk.rename),
    **dict.fromkeys(("link", "linkat"), Disk.link),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), Disk.remove),
    **dict.fromkeys(("mkdir", "mkdirat"), Disk.make_folder),
    "ftruncate": Disk.resize,
    "fallocate": Disk.allocate,
    "lseek": Disk.seek,
    "pread64": Disk.file_of,
}


def _rename(names: dict[Path, File | None], naming: Naming) -> None:
    for path in naming.taken:
        names.pop(path, None)
    names.update(naming.given)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
    content.extend(bytes(max(0, offset - len(content))))
    if data is not None:
        content[offset : offset + len(data)] = data


def _pages(offset: int, length: int) -> set[int]:
    return set(range(offset // PAGE, (offset + length - 1) // PAGE + 1))


def _sectors(change: Change) -> list[Change]:
    """Cut a write at the disk's sectors, none of which is ever half written."""
    if change.data is None:
        return [change]
    end, parts, start = change.offset + len(change.data), [], change.offset
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        parts.append(Change(change.at, start, change.data[start - change.offset : stop - change.offset]))
        start = stop
    return parts
