"""How late the events of many streams leave, and what memory the process takes, under load and over many requests.

Prints for few and for 400 live streams of 109 ms: streams per second and the age of a delta at the client,
beside the same asked of the provider directly; then the process's memory under that load, after many
requests, and what a body of 10 MiB adds. Usage:
python benchmarks/gateway_streams.py [--seconds 10] [--streams 400] [--requests 100000]
"""

import argparse
import json
import time

import uvloop

import wire

FEW, MIB, BODY_BYTES = 4, 2**20, 10 * 2**20


async def lateness(connections: list[wire.Connection], seconds: float) -> tuple[float, list[float]]:
    """Return streams per second and, in order, the ages of their deltas in seconds."""
    per_second = await wire.saturation(connections, seconds)
    return per_second, sorted(delay for connection in connections for delay in connection.delays)


async def measure(given: argparse.Namespace) -> None:
    """Measure and print."""
    upstream = await wire.provided()
    with wire.serving(upstream) as server:
        print(f"memory at rest                {server.memory_bytes() / MIB:7.1f} MiB")
        for count in (FEW, given.streams):
            direct = [await wire.connected(upstream, "x", stream=True) for _ in range(count)]
            for name, connections in (("direct", direct), ("gateway", await server.connected(count, stream=True))):
                _print_lateness(f"{count} streams, {name}", *await lateness(connections, given.seconds))
        print(f"memory under {given.streams} streams      {server.memory_bytes() / MIB:7.1f} MiB")
        await _print_growth(server, given.requests)
        await _print_large_body(server)


async def _print_growth(server: wire.Server, requests: int) -> None:
    """Print the memory after each quarter of *requests* whole answers."""
    connections = await server.connected(32)
    for quarter in range(1, 5):
        sent = 0
        while sent < requests / 4:
            sent += round(2 * await wire.saturation(connections, 2))
        print(f"memory after {quarter}/4 of {requests:9,} {server.memory_bytes() / MIB:7.1f} MiB")


async def _print_large_body(server: wire.Server) -> None:
    text = {**wire.BODY, "messages": [{"role": "user", "content": "x" * BODY_BYTES}]}
    connection = await wire.connected(server.url, server.keys[0], body=json.dumps(text).encode())
    server.forget_peak()
    before, began = server.memory_bytes(), time.perf_counter()
    status = await connection.ask()
    grown = server.memory_bytes("VmHWM") - before
    print(f"a body of 10 MiB adds         {grown / BODY_BYTES:7.1f} x its size (answered {status}, "
          f"{time.perf_counter() - began:.2f} s)")  # fmt: skip


def _print_lateness(what: str, per_second: float, ages: list[float]) -> None:
    middle, late = (1000 * ages[int(len(ages) * share)] for share in (0.5, 0.99))
    print(f"{what:29} {per_second:7,.0f} streams/s, a delta is {middle:.2f} ms old p50, {late:.2f} p99")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--streams", type=int, default=400)
    options.add_argument("--requests", type=int, default=100_000)
    uvloop.run(measure(options.parse_args()))
