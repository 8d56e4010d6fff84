"""The embedded store: atomic, durable, never waiting inside the loop."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import Statement, Transaction
from tokenpool.kernel.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """Return a store with one small table."""
    path = tmp_path / "small.sqlite3"
    with sqlite3.connect(path) as setup:
        setup.execute("create table note (id integer primary key, text text not null)")
    setup.close()
    return SqliteStore(path)


def insert(*texts: str, fail: bool = False) -> Transaction[int]:
    """Insert *texts* and return how many rows there are then."""
    yield [Statement("insert into note (text) values (?)", [(text,) for text in texts])]
    if fail:
        raise ValueError("second thoughts")
    ((count,),) = (yield [Statement("select count(*) from note", [()])])[0]
    return int(count)


async def test_a_transaction_sees_its_own_rows_and_returns_its_answer(store: SqliteStore) -> None:
    """Statements run in the order in which they were yielded."""
    assert 2 == await store.run(lambda: insert("a", "b"))


async def test_an_error_inside_leaves_nothing_behind(store: SqliteStore) -> None:
    """All or nothing."""
    with pytest.raises(ValueError, match="second thoughts"):
        await store.run(lambda: insert("a", fail=True))

    assert [(0,)] == await store.read("select count(*) from note")


async def test_a_foreign_write_lock_does_not_stop_the_loop(store: SqliteStore, tmp_path: Path) -> None:
    """While another connection writes, the loop turns; the transaction goes through afterwards."""
    other = sqlite3.connect(tmp_path / "small.sqlite3", isolation_level=None)
    other.execute("begin immediate")
    waiting = asyncio.create_task(store.run(lambda: insert("a")))
    turns = 0
    while turns < 20:
        await asyncio.sleep(0.001)
        turns += 1

    assert not waiting.done()
    other.execute("commit")
    assert 1 == await waiting
    other.close()


async def test_a_lock_that_never_comes_free_is_an_error(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller hears that nothing was written instead of waiting for ever."""
    monkeypatch.setattr("tokenpool.kernel.sqlite._LOCK_PATIENCE_SECONDS", 0.01)
    other = sqlite3.connect(tmp_path / "small.sqlite3", isolation_level=None)
    other.execute("begin immediate")

    with pytest.raises(Unavailable, match="busy or away"):
        await store.run(lambda: insert("a"))
    other.close()


async def test_every_commit_reaches_the_disk(store: SqliteStore) -> None:
    """`synchronous` is FULL (2) and the journal is a write-ahead log."""
    assert [(2,)] == await store.read("pragma synchronous")
    assert [("wal",)] == await store.read("pragma journal_mode")
