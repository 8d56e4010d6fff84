"""A provider whose every byte is scripted: it ends, closes, resets, stalls or writes nonsense where it is told to."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ENDINGS = ("end", "close", "reset", "stall")


def sse(facts: dict[str, Any]) -> bytes:
    """Return one event as the provider writes it."""
    return f"event: {facts['type']}\ndata: {json.dumps(facts, ensure_ascii=False)}\n\n".encode()


@dataclass
class Scripted:
    """What the provider will write to the next request, how it ends then, and how many requests it has had."""

    url: str = ""
    chunks: Sequence[bytes] = ()
    ending: str = "end"
    pause: float = 0.0
    requests: int = 0
    stalled: asyncio.Event = field(default_factory=asyncio.Event)

    def will(self, chunks: Sequence[bytes], ending: str = "end", pause: float = 0.0) -> None:
        """Answer the next requests with *chunks*, each a write of its own, and end as told."""
        self.chunks, self.ending, self.pause, self.stalled = chunks, ending, pause, asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line.split(b":")[1] for line in head.lower().splitlines() if b"content-length" in line)
            await reader.readexactly(int(length))
            self.requests += 1
            await self._answer(writer)
            if self.ending == "stall":
                self.stalled.set()
                await reader.read()  # until the other side closes
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # a peer that leaves is what some scripts are about
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for chunk in self.chunks:
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
            await asyncio.sleep(self.pause)
        if self.ending == "end":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        elif self.ending == "reset":
            await asyncio.sleep(0.005)  # a reset throws away what has not been read yet
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    """Serve a scripted provider within the block."""
    provider = Scripted()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield provider
    server.close()
