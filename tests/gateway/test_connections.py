"""One connection to a provider: what it sends is an answer, or the end of the connection."""

import asyncio
from collections.abc import Awaitable

import pytest

from tokenpool.gateway import connections
from tokenpool.gateway.connections import Answer, Broken

from .raw_provider import ANSWER, Serve, ask, body_of, provider

START = b"HTTP/1.1 200 OK\r\n"


def says(*pieces: bytes, ends: bool = False, later: float = 0.0) -> Serve:
    """Return a server that answers every request of a connection with *pieces*."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(later)
            if ends:
                writer.close()
                return

    return serve


async def gather(asked: Awaitable[Answer], into: list[bytes]) -> None:
    """Take the pieces of an answer for as long as they come."""
    answer = await asked
    async for piece in answer:
        into += [piece]


@pytest.mark.parametrize("later", [0.0, 0.005])
@pytest.mark.parametrize(
    ("pieces", "ends", "status", "body"),
    [
        ([ANSWER], False, 200, b"ok"),
        ([bytes([one]) for one in ANSWER], False, 200, b"ok"),
        ([START + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n", b"1\r\n!\r\n0\r\n\r\n"], False, 200, b"ok!"),
        ([START + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n"], False, 200, b"ok"),
        ([b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", ANSWER], False, 200, b"ok"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], False, 204, b""),
        ([START + b"\r\n", b"until", b" the end"], True, 200, b"until the end"),
        ([b"HTTP/1.0 200 OK\r\n\r\nold"], True, 200, b"old"),
    ],
)
async def test_an_answer_is_read_however_it_is_cut(
    pieces: list[bytes], ends: bool, status: int, body: bytes, later: float
) -> None:
    """With a length, in chunks, until the end, after provisional ones; twice on one connection where it is kept."""
    async with provider(says(*pieces, ends=ends, later=later)) as origin:
        for _ in range(2):
            answer = await ask(origin)
            assert (status, body) == (answer.status, await body_of(answer))
            assert "x-trailer" not in dict(answer.headers)
            assert "link" not in dict(answer.headers)


NONSENSE = [  # (what a provider sends, what of it is an answer's body)
    (b"\x00\xff\xfe", b""),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!", b""),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b""),
    (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", b""),
    (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", b""),
    (b"HTTP/1.1 200 OK\r\n" + b"x-h: %s\r\n" % (b"y" * 1000) * 100, b""),
    (b"HTTP/1.1 100 Continue\r\nx: %s\r\n\r\n" % (b"y" * 1000) * 100, b""),
    (START + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n", b"ok"),
    (b"HTTP/1.1 600 Nothing\r\ncontent-length: 2\r\n\r\nok", b""),
]


@pytest.mark.parametrize(("sent", "body"), NONSENSE)
async def test_nonsense_ends_the_connection(sent: bytes, body: bytes) -> None:
    """What came before it is handed on; then it is broken, and the next request gets a connection of its own."""
    async with provider(says(sent)) as origin:
        for _ in range(2):
            received: list[bytes] = []
            with pytest.raises(Broken, match="no HTTP"):
                await gather(ask(origin), received)
            assert body == b"".join(received)


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (START + b"x-h: ", b"y"),
        (START, b"y"),
        (b"HTTP/1.1 200 ", b"y"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"\r\n"),
        (START + b"transfer-encoding: chunked\r\n\r\n2;", b"y"),
        (START + b"transfer-encoding: chunked\r\n\r\n0\r\nx-h: ", b"y"),
    ],
)
async def test_what_has_no_end_and_is_no_body_ends_the_connection(start: bytes, again: bytes) -> None:
    """After 64 KiB of it: a header, its name, a reason, provisional answers, empty lines, an extension, a trailer."""
    flood = again * (2**23 // len(again))
    taken = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        while taken < len(flood):
            writer.write(flood[taken : taken + 2**14])
            await writer.drain()
            taken += 2**14

    async with provider(serve) as origin:
        with pytest.raises(Broken, match="no HTTP"):
            await asyncio.wait_for(gather(ask(origin), []), 5)

    assert taken < len(flood)


async def test_an_answer_that_nobody_asked_for_is_given_to_nobody() -> None:
    """Behind another one or on a quiet connection: the connection ends, and the next request gets its own answer."""
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        number = 0
        while await reader.readuntil(b"\r\n\r\n"):
            number += 1
            writer.write(ANSWER + (ANSWER.replace(b"ok", b"no") if opened == 1 else b""))
            if opened == 2 and number == 1:
                await asyncio.sleep(0.02)
                writer.write(ANSWER.replace(b"ok", b"no"))

    async with provider(serve) as origin:
        found = []
        for _ in range(3):
            found.append(await body_of(await ask(origin)))
            await asyncio.sleep(0.05)

    assert ([b"ok"] * 3, 3) == (found, opened)


@pytest.mark.parametrize("late", [ANSWER.replace(b"ok", b"no"), b""])
async def test_what_came_before_a_request_is_no_answer_to_it(late: bytes) -> None:
    """An answer that nobody asked for, or the connection's end, that the loop has not read yet when the next asks."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)

    async with provider(serve) as origin:
        assert b"ok" == await body_of(await ask(origin))
        writers[0].write(late)
        if not late:
            writers[0].write_eof()
        assert b"ok" == await body_of(await ask(origin))

    assert 2 == len(writers)


async def test_a_broken_answer_gives_what_had_arrived_and_then_breaks() -> None:
    """Nothing that was paid for is lost."""
    cut = START + b"content-length: 10\r\n\r\nhalf"
    async with provider(says(cut, ends=True)) as origin:
        answer = await ask(origin)
        await asyncio.sleep(0.05)

        assert b"half" == await anext(answer)
        with pytest.raises(Broken, match="disconnected"):
            await anext(answer)
        with pytest.raises(Broken, match="disconnected"):
            await anext(answer)


async def test_silence_ends_the_connection_before_and_within_an_answer() -> None:
    """After as many seconds as were given, counted from the last byte."""
    for pieces, received in (([], b""), ([START + b"content-length: 4\r\n\r\nab"], b"ab")):
        async with provider(says(*pieces)) as origin:
            found: list[bytes] = []
            with pytest.raises(Broken, match=r"silent for 0\.05 seconds"):
                await gather(origin.ask("GET", "/", headers={}, body=b"", patience=0.05), found)
            assert received == b"".join(found)


async def test_a_slow_reader_makes_the_provider_wait_and_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most what waits and one read are in memory, and patience is with the provider only."""
    monkeypatch.setattr(connections, "MOST_WAITING_BYTES", 1000)
    size = 8 * 2**20
    written = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(START + b"content-length: %d\r\n\r\n" % size)
        while written < size:
            writer.write(bytes(2**16))
            await writer.drain()
            written += 2**16

    async with provider(serve) as origin:
        answer = await origin.ask("GET", "/", headers={}, body=b"", patience=0.05)
        await asyncio.sleep(0.2)
        assert written < size
        assert answer.waiting < 2**20

        assert size == len(await body_of(answer))


async def test_a_large_body_is_sent_in_pieces_and_an_early_answer_ends_it() -> None:
    """All of 3 MiB where it is read; where it is refused halfway, the answer counts and the connection is not kept."""
    body, opened = bytes(range(256)) * 12 * 2**10, 0
    whole = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/refused" in head:
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            return
        assert body == await reader.readexactly(len(body))
        whole.set()
        writer.write(ANSWER)

    async with provider(serve) as origin:
        for target, status, found in (("/refused", 413, b"no"), ("/taken", 200, b"ok")):
            answer = await origin.ask("POST", target, headers={}, body=body, patience=5)
            assert (status, found) == (answer.status, await body_of(answer))

    assert (True, 2) == (whole.is_set(), opened)


async def test_who_leaves_an_answer_closes_the_connection() -> None:
    """The provider sees it at once; an answer that is over keeps its connection."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(START + b"content-length: 100\r\n\r\nab")
        await reader.read()
        closed.set()

    async with provider(serve) as origin:
        answer = await ask(origin)
        answer.close()
        await asyncio.wait_for(closed.wait(), 1)

        with pytest.raises(Broken, match="closed"):
            await body_of(answer)


async def test_who_stops_waiting_for_an_answer_closes_the_connection() -> None:
    """Its answer would be the next one's otherwise."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        closed.set()

    async with provider(serve) as origin:
        waiting = asyncio.create_task(ask(origin))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait_for(closed.wait(), 1)


async def test_who_stops_waiting_when_the_answer_is_whole_leaves_the_connection() -> None:
    """It is free by then, perhaps with another request on it."""
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(0.05)
            writer.write(ANSWER)

    async with provider(serve) as origin:
        first = asyncio.create_task(ask(origin))
        while opened == 0 or not origin._idle:  # noqa: ASYNC110 - the turn in which the answer came
            await asyncio.sleep(0)
        second = asyncio.create_task(ask(origin))
        first.cancel()
        assert b"ok" == await body_of(await second)

    assert 1 == opened
