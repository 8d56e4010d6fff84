"""The gateway with three limits and durable settlement, against the provider asked directly and a peer, in one run.

Starts a provider, `tokenpool serve` in front of it, and a driver. Prints whole answers and streams per
second at saturation and their ratio to a peer that already listens (its provider at --provider-port),
what a refusal costs against an admission, and what the gateway adds at 40 requests a second, beside a
relay that reads nothing and syncs as often: to a whole answer, and to the first byte of a stream. Usage:
python benchmarks/gateway.py [--seconds 6] [--rounds 3] [--connections 128] [--streams 400]
    [--peer http://127.0.0.1:4000 --peer-key sk-... --provider-port 9102]
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import uvloop

import wire

RATE, PEER_CONNECTIONS, REFUSED = 40, 8, 429


async def low_load(url: str, key: str, *, stream: bool, seconds: float) -> list[float]:
    """Return in order the seconds to the first byte (of a stream) or to the end (of a whole answer) at 40/s."""
    free, waits, tasks = [await wire.connected(url, key, stream=stream) for _ in range(16)], [], []
    await asyncio.gather(*(connection.ask() for connection in free))

    async def one() -> None:
        began = time.perf_counter()
        connection = free.pop() if free else await wire.connected(url, key, stream=stream)
        await connection.ask()
        waits.append((connection.first if stream else time.perf_counter()) - began)
        free.append(connection)

    began = time.perf_counter()
    for number in range(int(RATE * seconds)):
        await asyncio.sleep(max(0, began + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    return sorted(waits)


async def measure(given: argparse.Namespace) -> None:
    """Measure in turn, and print medians and ratios."""
    upstream = await wire.provided(given.provider_port)
    with wire.relaying(upstream) as relay, wire.serving(upstream) as server:
        found = await _saturations(given, server)
        _print_saturations(found, peer=bool(given.peer))
        for stream in (False, True):
            direct = await low_load(upstream, "x", stream=stream, seconds=given.seconds)
            bare = await low_load(relay, "x", stream=stream, seconds=given.seconds)
            ours = await low_load(server.url, server.keys[0], stream=stream, seconds=given.seconds)
            _print_added("first byte of a stream" if stream else "whole answer", direct, ours, bare)


async def _saturations(given: argparse.Namespace, server: wire.Server) -> dict[str, float]:
    """Return per second, in turn and by medians: whole answers, streams, refusals, and the peer's."""

    async def at(url: str, keys: list[str], count: int, *, stream: bool = False, status: int = wire.OK) -> float:
        opened = [await wire.connected(url, keys[one % len(keys)], stream=stream) for one in range(count)]
        try:
            return await wire.saturation(opened, given.seconds, status=status)
        finally:
            for connection in opened:
                connection.transport.close()

    *spending, refused = server.keys
    work: dict[str, Callable[[], Awaitable[float]]] = {
        "whole": lambda: at(server.url, spending, given.connections),
        "streamed": lambda: at(server.url, spending, given.streams, stream=True),
        "refused": lambda: at(server.url, [refused], given.connections, status=REFUSED),
    }
    if given.peer:
        work["peer, whole"] = lambda: at(given.peer, [given.peer_key], PEER_CONNECTIONS)
        work["peer, streamed"] = lambda: at(given.peer, [given.peer_key], PEER_CONNECTIONS, stream=True)
    for measured in work.values():
        await measured()  # warm
    rounds = [{name: await measured() for name, measured in work.items()} for _ in range(given.rounds)]
    return {name: statistics.median(one[name] for one in rounds) for name in work}


def _print_saturations(found: dict[str, float], *, peer: bool) -> None:
    for name, per_second in found.items():
        print(f"{name:16} {per_second:8,.0f} per second")
    print(f"a refusal costs {found['whole'] / found['refused']:8.2f} of an admission")
    for name in ("whole", "streamed") if peer else ():
        print(f"{name:16} {found[name] / found[f'peer, {name}']:8.1f} x the peer")


def _print_added(what: str, direct: list[float], ours: list[float], bare: list[float]) -> None:
    for share in (0.5, 0.99):
        near, far, floor = (1000 * one[int(len(one) * share)] for one in (direct, ours, bare))
        print(f"added, {what:22} p{100 * share:.0f} {far - near:6.2f} ms at {RATE}/s ({far:.2f} against {near:.2f}; "
              f"a bare relay that syncs as often adds {floor - near:.2f})")  # fmt: skip


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=6)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--connections", type=int, default=128)
    options.add_argument("--streams", type=int, default=400)
    options.add_argument("--provider-port", type=int, default=0)
    options.add_argument("--peer", default="")
    options.add_argument("--peer-key", default="")
    uvloop.run(measure(options.parse_args()))
