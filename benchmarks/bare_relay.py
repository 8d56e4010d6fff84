"""The floor of a gateway that keeps its word: a relay that reads nothing and syncs a few pages as often as it must.

Once before the provider sees a byte, once before the client sees a whole answer; a stream's first bytes pass.
Prints its port. Usage: python benchmarks/bare_relay.py PROVIDER_PORT
"""

import asyncio
import os
import sys
import tempfile
from functools import partial

import uvloop

PAGES, LOG_BYTES = b"x" * 4 * 4096, 2**22


class Log:
    """A log of constant size that is written in a circle."""

    def __init__(self) -> None:
        self._file, _ = tempfile.mkstemp(prefix="tokenpool-bench-")
        os.write(self._file, bytes(LOG_BYTES))
        self._at = 0

    def sync(self) -> None:
        """Write and wait for the disk."""
        os.pwrite(self._file, PAGES, self._at)
        os.fdatasync(self._file)
        self._at = (self._at + len(PAGES)) % LOG_BYTES


class Outward(asyncio.Protocol):
    """The way to the provider."""

    def __init__(self, client: asyncio.Transport, log: Log) -> None:
        self._client, self._log = client, log

    def data_received(self, data: bytes) -> None:
        """Pass an answer back."""
        if b"content-length" in data:
            self._log.sync()
        self._client.write(data)


class Inward(asyncio.Protocol):
    """A client, with a connection to the provider of its own."""

    def __init__(self, port: int, log: Log) -> None:
        self._port, self._log = port, log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the provider."""
        outward = partial(Outward, transport, self._log)  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()
        self._provider = loop.create_task(loop.create_connection(outward, "127.0.0.1", self._port))

    def data_received(self, data: bytes) -> None:
        """Pass a request on, once the connection is made."""
        self._log.sync()
        self._provider.add_done_callback(lambda made: made.result()[0].write(data))


async def relay(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(partial(Inward, port, Log()), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(relay(int(sys.argv[1])))
