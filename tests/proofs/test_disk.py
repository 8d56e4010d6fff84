"""The model of a disk: what is left after power loss, and what a failed fsync does to what was written."""

import random
from pathlib import Path

import pytest

from tokenpool.proofs.disk import PAGE, Disk
from tokenpool.proofs.strace import Call


class Told:
    """A disk with one stored file, told calls as strace would tell them."""

    def __init__(self, folder: Path) -> None:
        self.root, self.folder, self.at = folder / "disk", folder, 0
        before = folder / "before"
        before.mkdir()
        (before / "old").write_bytes(b"." * 10)
        self.disk = Disk(self.root, before, self.root)

    def call(self, name: str, arguments: str, result: int = 0, returned: str = "") -> None:
        """Make one call."""
        self.at += 1
        self.disk.apply(Call(1, name, arguments, result, returned, self.at, self.at))

    def open(self, name: str, descriptor: int = 3, flags: str = "O_CREAT") -> None:
        """Open a file."""
        self.call("openat", f"AT_FDCWD</>, {flags}", descriptor, f"<{coded(str(self.root / name))}>")

    def write(self, name: str, data: bytes, offset: int = 0) -> None:
        """Write into a file."""
        self.call("pwrite64", f'3<{self.path(name)}>, "{coded(data.decode())}", {len(data)}, {offset}', len(data))

    def sync(self, name: str = "", result: int = 0) -> None:
        """Sync a file, or the folder."""
        self.call("fsync", f"3<{self.path(name)}>", result)

    def path(self, name: str) -> str:
        """Return a path as strace writes it."""
        return coded(str(self.root / name))

    def left(self, chance: str, seed: int = 1) -> dict[str, bytes]:
        """Return what is left after power loss."""
        target = self.folder / f"left{self.at}{chance}{seed}"
        self.disk.lose_power(target, chance, random.Random(seed))
        return {path.name: path.read_bytes() for path in target.iterdir()}


def coded(text: str) -> str:
    """Return a text as strace writes it."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """Return a disk of ten stored bytes."""
    return Told(tmp_path)


def test_what_was_synced_is_left_and_the_rest_is_chance(told: Told) -> None:
    """Three bytes synced, three not: gone, or there."""
    told.write("old", b"abc")
    told.sync("old")
    told.write("old", b"xyz", 8)

    assert b"abc......." == told.left("none")["old"]
    assert b"abc.....xyz" == told.left("all")["old"]


def test_a_file_has_its_name_from_the_sync_of_its_folder(told: Told) -> None:
    """Synced, but nameless; and a name taken away comes back until the folder is synced."""
    told.open("new")
    told.write("new", b"abc")
    told.sync("new")
    assert ["old"] == sorted(told.left("none"))
    told.sync()
    told.call("unlink", f'"{told.path("old")}"')
    assert ["new", "old"] == sorted(told.left("none"))
    told.sync()
    assert {"new": b"abc"} == told.left("none")


def test_a_failed_sync_drops_what_waited_until_the_page_is_written_again(told: Told) -> None:
    """The next sync says yes and stores nothing; a new write to the page takes the dropped bytes along."""
    told.write("old", b"abc")
    told.write("old", b"far", 5 * PAGE)
    told.sync("old", -1)
    told.sync("old")
    assert b".........." == told.left("all")["old"]
    told.write("old", b"z", 9)
    told.sync("old")

    assert b"abc......z" == told.left("none")["old"].rstrip(b"\0")


def test_sectors_are_torn_but_never_halved(told: Told) -> None:
    """Of a write over three sectors each is there or not, over a hundred seeds in each of the eight ways."""
    told.write("old", b"x" * 1536)
    lefts = {told.left("torn", seed)["old"].ljust(1536, b"\0") for seed in range(100)}

    assert 8 == len(lefts)
    for left in lefts:
        assert {left[start : start + 512].count(b"x") for start in (0, 512, 1024)} <= {0, 512}


def test_a_write_during_a_sync_is_not_stored_by_it(told: Told) -> None:
    """Only what ended before the sync began is."""
    told.write("old", b"abc")
    told.disk.apply(Call(1, "fsync", f"3<{told.path('old')}>", 0, "", told.at, told.at + 2))

    assert b".........." == told.left("none")["old"]


def test_an_unknown_call_is_an_error(told: Told) -> None:
    """Rather than a disk that is wrong in silence."""
    with pytest.raises(ValueError, match="does not know truncate"):
        told.call("truncate", '"x", 1')
