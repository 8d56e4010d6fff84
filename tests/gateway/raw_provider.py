"""A provider that says what a test lets it say, byte for byte, and who asks it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tokenpool.gateway.connections import Answer
from tokenpool.gateway.origins import Origin

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def provider(serve: Serve, path: str = "") -> AsyncIterator[Origin]:
    """Yield the origin of a server that lets *serve* have each connection."""
    running: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
            await reader.read()
        writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.create_task(one(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    origin = Origin(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}", internal=False)
    try:
        yield origin
    finally:
        origin.close()
        server.close()
        await asyncio.wait_for(asyncio.gather(*running), 5)


async def ask(origin: Origin, target: str = "/v1/x", **headers: str) -> Answer:
    """Ask for *target*."""
    return await origin.ask("GET", target, headers=headers, body=b"", patience=5)


async def body_of(answer: Answer) -> bytes:
    """Return the whole body."""
    return b"".join([piece async for piece in answer])
