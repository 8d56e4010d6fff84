"""Callers of a server, who write down what they were promised."""

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tokenpool.kernel import ids
from tokenpool.proofs.provider import MODEL, MOST_OUTPUT, Drawn, DrawnBatch

_OK, _CREATED = 200, 201
_BATCHES = "/v1/messages/batches"
_MESSAGE = {"role": "user", "content": "Hello, and a little more, so that the bound is enough."}
_BODY = {"model": MODEL, "max_tokens": MOST_OUTPUT, "messages": [_MESSAGE]}
PATIENCE_SECONDS = 5.0


@dataclass
class Promises:
    """What the callers were told, by the names of their requests or the ids of their holds."""

    begun: set[str] = field(default_factory=set)  # an answer has begun: its hold stands
    ended: set[str] = field(default_factory=set)  # an answer came to its end, a batch to this result: it is settled
    holds: dict[str, str] = field(default_factory=dict)  # id -> how a hold of the hold API stands: held, settled, void

    def __len__(self) -> int:
        return len(self.begun) + len(self.ended) + len(self.holds)


@dataclass
class Answer:
    """An answer as far as it came."""

    status: int = 0
    body: bytes = b""
    complete: bool = False


async def call(port: int, key: str, name: str, promises: Promises) -> None:
    """Send the request *name*; write down what was promised."""
    drawn = Drawn.of(name)
    body = {**_BODY, "stream": drawn.streams}
    headers = {"x-api-key": key, "x-client-request-id": name, "x-tokenpool-project": name}
    answer = await exchange(port, "POST /v1/messages", headers, body, leaves=drawn.leaves)
    if answer.status == _OK:
        promises.begun.add(name)
        if b'"message_stop"' in answer.body if drawn.streams else answer.complete:
            promises.ended.add(name)


async def hold(port: int, key: str, member: str, chance: random.Random, promises: Promises) -> None:
    """Hold, then settle, void, or leave it; write down what was promised."""
    asked = {"member": member, "product": "claude_code", "model": MODEL, "max_tokens": 10, "input_tokens_bound": 10}
    made = await exchange(port, "POST /v1/tokenpool/holds", {"x-api-key": key}, {**asked, "request_id": ids.new("r")})
    if not (made.complete and made.status == _CREATED):
        return
    hold_id = json.loads(made.body)["id"]
    promises.holds[hold_id] = "held"
    ends: list[tuple[str, dict[str, Any]]] = [("settle", {"usage": {"output": 3}}), ("void", {"reason": "tried"})]
    verb, body = chance.choice(ends)
    ended = await exchange(port, f"POST /v1/tokenpool/holds/{hold_id}/{verb}", {"x-api-key": key}, body)
    if ended.complete and ended.status == _OK:
        promises.holds[hold_id] = json.loads(ended.body)["state"]


async def batch(port: int, key: str, name: str, promises: Promises) -> None:
    """Send the batch *name*, read its results when they are there, delete it; write down what was promised."""
    names, headers = DrawnBatch.of(name).names, {"x-api-key": key}
    named = {**headers, "x-client-request-id": name, "x-tokenpool-project": name}
    body = {"requests": [{"custom_id": one, "params": _BODY} for one in names]}
    made = await exchange(port, f"POST {_BATCHES}", named, body)
    if not (made.complete and made.status == _OK):
        return
    promises.begun |= set(names)
    address = f"{_BATCHES}/{json.loads(made.body)['id']}"
    for _ in range(10):
        await asyncio.sleep(0.1)
        found = await exchange(port, f"GET {address}/results", headers)
        if found.status == _OK:
            lines = [line for line in found.body.split(b"\n")[:-1] if line.startswith(b"{")]  # what came whole
            promises.ended |= {json.loads(line)["custom_id"] for line in lines}
            await exchange(port, f"DELETE {address}", headers)
            return


async def exchange(
    port: int, what: str, headers: dict[str, str], body: dict[str, Any] | None = None, *, leaves: bool = False
) -> Answer:
    """Send a request on a connection of its own; return the answer as far as it came before the server died."""
    answer, text = Answer(), json.dumps(body) if body else ""
    lines = [f"{what} HTTP/1.1", "host: localhost", "connection: close", "content-type: application/json",
             f"content-length: {len(text)}", *(f"{name}: {value}" for name, value in headers.items())]  # fmt: skip
    with suppress(OSError, EOFError, asyncio.IncompleteReadError, TimeoutError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n" + text).encode())
            async with asyncio.timeout(PATIENCE_SECONDS + 5):
                await _receive(reader, answer, leaves=leaves)
        finally:
            writer.close()
    return answer


async def _receive(reader: asyncio.StreamReader, answer: Answer, *, leaves: bool) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    answer.status = int(head.split(" ", 2)[1])
    if leaves:
        await reader.read(1)
        return
    while chunk := await reader.read(2**16):
        answer.body += chunk
    if "transfer-encoding: chunked" in head:
        answer.complete = answer.body.endswith(b"0\r\n\r\n")
    else:
        length = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:"))
        answer.complete = len(answer.body) == int(length)
