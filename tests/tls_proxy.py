"""What stands before a Tokenpool that others reach: a small TLS proxy of our own, and nginx as the docs set it up."""

import asyncio
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from installation import free_port

PAGE = Path(__file__).parents[1] / "docs" / "deployment.md"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
BARE = """server {
    listen 443 ssl http2;
    ssl_certificate /etc/tokenpool/tls/site.pem;
    ssl_certificate_key /etc/tokenpool/tls/site.key;
    location / { proxy_pass http://127.0.0.1:8787; }
}"""  # what is written first: every default of nginx, its buffers among them
_REST = """daemon off; worker_processes 1; {user} pid nginx.pid; error_log error.log;
events {{}}
http {{
access_log off;
client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
{server}
}}
"""
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


class Papers:
    """An authority of our own, and a certificate of it for this machine."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.authority, self.certificate, self.key = (folder / name for name in ("ca.pem", "site.pem", "site.key"))
        own = ("-keyout", str(folder / "ca.key"), "-out", str(self.authority), "-subj", "/CN=Tests")
        _openssl(*own, "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        site = ("-keyout", str(self.key), "-out", str(self.certificate), "-subj", "/CN=localhost")
        by = ("-CA", str(self.authority), "-CAkey", str(folder / "ca.key"))
        _openssl(*site, *by, "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE")
        self.trusting = ssl.create_default_context(cafile=str(self.authority))

    def session(self, address: str = "127.0.0.1") -> aiohttp.ClientSession:
        """Return a client that believes the authority and comes from *address*."""
        connector = aiohttp.TCPConnector(ssl=self.trusting, local_addr=(address, 0))
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True))


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", "req", "-x509", *_CURVE, *words], check=True, capture_output=True)


@asynccontextmanager
async def relay(behind: str, papers: Papers, port: int) -> AsyncIterator[None]:
    """Speak TLS at *port* within the block and hand on to *behind*: one request a connection, from whom in its head."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(papers.certificate, papers.key)
    target = urlsplit(behind)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            request, *given = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
            kept = [line for line in given if not line.lower().startswith((b"connection:", b"x-forwarded-proto:"))]
            client = writer.get_extra_info("peername")[0]
            more = f"X-Forwarded-For: {client}", "X-Forwarded-Proto: https", "Connection: close"
            answers, inner = await asyncio.open_connection(target.hostname, target.port)
            inner.write(b"\r\n".join([request, *kept, *(line.encode() for line in more), b"", b""]))
            ways = {asyncio.create_task(_pass(*way)) for way in ((reader, inner), (answers, writer))}
            _, others = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for task in others:
                task.cancel()
            inner.close()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port, ssl=context):
        yield


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def nginx(behind: str, papers: Papers, port: int, server: str = "") -> AsyncIterator[None]:
    """Run nginx at *port* within the block, by default with the block of the deployment page, before *behind*."""
    folder = papers.key.parent / f"nginx-{port}"
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    written = _here(server or documented("nginx"), behind, papers, port)
    (folder / "nginx.conf").write_text(_REST.format(user=user, server=written))
    words = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    process = await asyncio.create_subprocess_exec(*words)
    try:
        await _answers(port)
        yield
    finally:
        process.terminate()
        await process.wait()


def documented(language: str) -> str:
    """Return the one block of the deployment page in *language*."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(block)


def _here(server: str, behind: str, papers: Papers, port: int) -> str:
    """Return a server's block with the names and ports of this test; each must stand in it."""
    names: dict[str, Any] = {
        r"listen 443 ": f"listen 127.0.0.1:{port} ",
        r"/etc/tokenpool/tls/site\.pem": papers.certificate,
        r"/etc/tokenpool/tls/site\.key": papers.key,
        r"http://127\.0\.0\.1:8787": behind,
    }
    text = re.sub(r"^ *listen \[::\].*\n", "", server, flags=re.MULTILINE)
    for old, new in names.items():
        text, count = re.subn(old, str(new), text)
        assert count == 1, old
    return text


async def _answers(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


__all__ = ["BARE", "Papers", "documented", "free_port", "nginx", "relay"]
