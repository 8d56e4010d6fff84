"""The shared store: atomic, in bulk, one lock per organization, and honest when the server is away."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from postgres import Server
from tokenpool.kernel.errors import Unavailable
from tokenpool.kernel.group_commit import Statement, Transaction
from tokenpool.kernel.postgres import PostgresStore

INSERT = "insert into note (text, size) values (?, ?)"
TYPES = ("text", "bigint")


@pytest.fixture
async def store(postgres_server: Server) -> AsyncIterator[PostgresStore]:
    """Return a store on a database with one small table."""
    postgres_server.run("create database small")
    store = PostgresStore(postgres_server.url("small"))
    await store.read("select 1")
    await store.run(lambda: write([Statement("create table note (text text primary key, size bigint)", [()])]))
    yield store
    await store.close()
    postgres_server.run("drop database small with (force)")


def write(statements: list[Statement], *, fail: bool = False) -> Transaction[str]:
    """Perform *statements* and perhaps change one's mind."""
    yield statements
    if fail:
        raise ValueError("second thoughts")
    return "written"


def counted() -> Transaction[int]:
    """Return how many notes there are."""
    ((count,),) = (yield [Statement("select count(*) from note where text in (?*)", [(["a", "b", "c"],)])])[0]
    return int(count)


def increased(name: str) -> Transaction[int]:
    """Read a size under its lock and write it one higher."""
    ((size,),) = (yield [Statement("select size from note where text = ?", [(name,)], locks=True)])[0]
    yield [Statement("update note set size = ? where text = ?", [(size + 1, name)])]
    return int(size) + 1


async def test_many_rows_go_in_one_statement(store: PostgresStore) -> None:
    """Rows are unnested from arrays, null included, and a list is matched as an array."""
    assert "written" == await store.run(lambda: write([Statement(INSERT, [("a", 1), ("b", None)], TYPES)]))

    assert 2 == await store.run(counted)
    assert [("a", 1), ("b", None)] == await store.read(
        "select text, size from note where size is null or size = ? order by text", (1,)
    )


async def test_every_text_arrives_as_it_was_sent(store: PostgresStore) -> None:
    """Quotes, backslashes, braces, commas, words that mean something in an array, the empty text, other scripts."""
    texts = [
        '"',
        "\\",
        '\\"',
        "{a,b}",
        ",",
        "null",
        "NULL",
        "true",
        "",
        " ",
        "\n",
        "'",
        "%s",
        "?",
        "č漢🙂",
        '{"a": "\\u0000"}',
    ]

    await store.run(lambda: write([Statement(INSERT, [(text, 1) for text in texts], TYPES)]))

    assert sorted(texts) == sorted(text for (text,) in await store.read("select text from note"))


async def test_numbers_and_truths_arrive_as_they_were_sent(store: PostgresStore) -> None:
    """0 and 1 are numbers in a column of numbers and no truths; the ends of 64 bits fit."""
    sql, types = "insert into fact (size, so) values (?, ?)", ("bigint", "boolean")
    rows = [(0, False), (1, True), (2**63 - 1, None), (-(2**63), True)]
    await store.run(lambda: write([Statement("create table fact (size bigint, so boolean)", [()])]))

    await store.run(lambda: write([Statement(sql, rows, types)]))

    assert sorted(rows) == sorted(await store.read("select size, so from fact"))


async def test_an_error_inside_leaves_nothing_behind(store: PostgresStore) -> None:
    """All or nothing, and the connection is whole again."""
    with pytest.raises(ValueError, match="second thoughts"):
        await store.run(lambda: write([Statement(INSERT, [("a", 1)], TYPES)], fail=True))

    assert 0 == await store.run(counted)


async def test_a_refused_last_write_is_no_success(store: PostgresStore) -> None:
    """A write nobody waits for still fails the transaction before the answer is given."""
    with pytest.raises(Exception, match="duplicate key"):
        await store.run(lambda: write([Statement(INSERT, [("a", 1)], TYPES), Statement(INSERT, [("a", 2)], TYPES)]))

    assert 0 == await store.run(counted)


async def test_the_locked_row_orders_transactions_of_many_connections(store: PostgresStore) -> None:
    """Forty increments from eight connections end at forty: none was lost."""
    await store.run(lambda: write([Statement(INSERT, [("a", 0)], TYPES)]))

    await asyncio.gather(*(store.run(lambda: increased("a")) for _ in range(40)))

    assert [(40,)] == await store.read("select size from note")


async def test_a_lost_connection_is_replaced(store: PostgresStore, postgres_server: Server) -> None:
    """A connection that died while it was idle is noticed before anything was written: another takes over."""
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'small'"
    postgres_server.run(kill)

    assert 0 == await store.run(counted)


async def test_a_server_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the patience of the pool the answer is that the database is away."""
    monkeypatch.setattr("tokenpool.kernel.postgres.PATIENCE_SECONDS", 0.3)
    store = PostgresStore("postgresql://nobody@/nothing?host=/nowhere")

    with pytest.raises(Unavailable, match="The database is away"):
        await store.read("select 1")
    await store.close()


async def test_a_gateway_that_stands_still_inside_a_transaction_is_ended(
    postgres_server: Server, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is free after the patience, here one second; the others go on."""
    monkeypatch.setattr("tokenpool.kernel.postgres.PATIENCE_SECONDS", 1)
    await store.run(lambda: write([Statement(INSERT, [("a", 0)], TYPES)]))
    still = PostgresStore(postgres_server.url("small"))
    await still._open()
    connection = await still._pool.getconn()
    await connection.execute("begin")
    await connection.execute("select size from note where text = 'a' for update")
    monkeypatch.setattr("tokenpool.kernel.postgres.PATIENCE_SECONDS", 5)
    try:
        assert 1 == await store.run(lambda: increased("a"))
    finally:
        await still._pool.putconn(connection)
        await still.close()
