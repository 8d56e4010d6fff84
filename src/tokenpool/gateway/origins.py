"""A provider's place: its address, the connections to it that are kept, and whether it may be connected to at all.

Nothing of the environment (proxies, netrc) is consulted.
"""

import asyncio
import re
import socket
import ssl
from collections import deque
from ipaddress import ip_address
from string import punctuation
from typing import Any
from urllib.parse import quote, urlsplit

import aiohappyeyeballs

from tokenpool.gateway.connections import Answer, Broken, Connection

CONNECT_SECONDS = 5
KEPT_SECONDS = 60.0
RESOLVED_SECONDS = 10.0
NEXT_ADDRESS_SECONDS = 0.25  # then another address of the same name is tried beside the first
_LINE = re.compile(r"[\t -~\x80-\xff]+")
_METADATA = {ip_address(one) for one in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Addresses = list[tuple[Any, Any, int, str, Any]]  # as `getaddrinfo` returns them


class Unreached(Broken):
    """No connection: nobody took the request."""


class Origin:
    """Where a base address leads, through as many connections as there are requests at once."""

    def __init__(self, url: str, *, internal: bool) -> None:
        """*internal* lets its name lead to private addresses."""
        parts = urlsplit(url)
        self._host, self._internal, self._path = parts.hostname or "", internal, parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._named = parts.netloc
        self._idle: deque[Connection] = deque()
        self._every: set[Connection] = set()
        self._resolving = asyncio.Lock()
        self._addresses, self._resolved_at = Addresses(), 0.0

    async def ask(self, method: str, target: str, *, headers: dict[str, str], body: bytes, patience: float) -> Answer:
        """Send a request to *target* below the base address, and return its answer once its headers are here.

        *patience*: for how many seconds the provider may be silent.

        Raises:
            Unreached: nobody took the request: no connection, or no request can be written with these words.
            Broken: the connection did before the headers were here.
        """
        head = self._head(method, quote(target.encode("latin-1"), safe=punctuation), headers, len(body))
        connection = self._kept()
        if connection is None:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    connection = await self._connected()
            except (OSError, TimeoutError) as error:
                raise Unreached(type(error).__name__) from error
        return await connection.ask(head, body, patience)

    def close(self) -> None:
        """Close every connection."""
        for connection in tuple(self._every):
            connection.abort()

    def _head(self, method: str, target: str, headers: dict[str, str], length: int) -> bytes:
        lines = [f"{method} {self._path}{target} HTTP/1.1", f"host: {self._named}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if length or method != "GET":
            lines.append(f"content-length: {length}")
        if not all(map(_LINE.fullmatch, lines)):
            raise Unreached("a character that no header may have")
        return "\r\n".join((*lines, "", "")).encode("latin-1")

    def _kept(self) -> Connection | None:
        oldest = asyncio.get_running_loop().time() - KEPT_SECONDS
        while self._idle and self._idle[0].free_since < oldest:
            self._idle.popleft().abort()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            connection.abort()
        return None

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        sock = await aiohappyeyeballs.start_connection(
            await self.addresses(), happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, interleave=1, loop=loop
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, connection = await loop.create_connection(
            lambda: Connection(self._idle.append, self._forget),
            sock=sock,
            ssl=self._tls,
            server_hostname=self._host if self._tls else None,
        )
        self._every.add(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        self._every.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    async def addresses(self) -> Addresses:
        """Return the addresses that may be connected to; what is looked at here is what is connected to.

        Raises:
            OSError: there is none.
        """
        loop = asyncio.get_running_loop()
        async with self._resolving:
            if not self._addresses or self._resolved_at < loop.time() - RESOLVED_SECONDS:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                self._addresses = [one for one in found if self._allows(str(one[4][0]))]
                self._resolved_at = loop.time()
        if not self._addresses:
            raise OSError(f"{self._host} has no address that may be connected to")
        return self._addresses

    def _allows(self, address: str) -> bool:
        """Tell whether *address* is public, or private where the operator said so; of metadata services never."""
        found = ip_address(address)
        found = getattr(found, "ipv4_mapped", None) or found
        if found.is_loopback and self._host in _LOOPBACK:
            return True
        if found.is_link_local or found in _METADATA:  # of AWS over IPv6, Alibaba, Oracle, Azure
            return False
        return found.is_global or self._internal
