"""`tokenpool prove`: the experiments of `proofs` on a scratch database of this machine, with their figures."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import typer

from tokenpool.cli import prove_server, prove_storage
from tokenpool.cli.prove_server import Pace
from tokenpool.proofs import crash, crew, mutants, race, scratch, tamper

SHARES = {
    "storage": 0.3,
    "server": 0.3,
    "race": 0.2,
    "kills": 0.15,
}  # of the time; mutants and edits take what they need
ROUNDS_AT_ONCE, KILLS_AT_ONCE, EDITS = 20, 5, 100
Line = dict[str, object]


def prove(address: str, *, folder: Path, minutes: float, rounds: int, as_json: bool) -> int:
    """Run every experiment on the migrated scratch database at *address* and print the figures; 1 if one fails."""
    logging.disable()  # what goes wrong here goes wrong on purpose
    lines = []
    for line in _experiments(address, folder, Pace(minutes * 60, rounds)):
        lines.append(line)
        if not as_json:
            facts = ", ".join(
                f"{name.replace('_', ' ')} {value}" for name, value in line.items() if name != "experiment"
            )
            typer.echo(f"{line['experiment']}: {facts}")
    if as_json:
        typer.echo(json.dumps(lines))
    return 0 if all(line["holds"] for line in lines) else 1


def _experiments(address: str, folder: Path, pace: Pace) -> Iterator[Line]:
    yield from prove_storage.experiments(address, pace.seconds * SHARES["storage"])
    yield from prove_server.experiments(address, folder, pace.share(SHARES["server"]))
    yield asyncio.run(_race(address, pace.share(SHARES["race"])))
    for name in mutants.NAMES:
        yield asyncio.run(_mutant(address, name))
    yield asyncio.run(_kills(address, pace.share(SHARES["kills"])))
    edits = tamper.run(EDITS)
    yield {"experiment": "edits of the audit", "holds": edits.holds, "made": edits.made, "found": edits.found}


async def _race(address: str, pace: Pace) -> Line:
    store, began, seed, tallies = scratch.open_store(address), time.monotonic(), 0, list[race.Tally]()
    with race.racers(address) as pipes:
        while pace.goes_on(seed, began):
            tallies.append(await race.run(store, pipes, range(seed, seed + ROUNDS_AT_ONCE)))
            seed += ROUNDS_AT_ONCE
    await store.close()
    return {
        "experiment": f"race of {crew.PROCESSES} processes x {crew.CALLERS} callers",
        "holds": all(tally.holds for tally in tallies),
        "rounds": sum(tally.rounds for tally in tallies),
        "granted": sum(tally.granted for tally in tallies),
        "refused": sum(tally.refused for tally in tallies),
        "overspent_nano": max(tally.over_nano for tally in tallies),
        "falsely_refused": sum(tally.falsely_refused for tally in tallies),
        "observations": sum(tally.observations for tally in tallies),
    }


async def _mutant(address: str, name: str) -> Line:
    store = scratch.open_store(address)
    with race.racers(address, mutant=name) as pipes:
        tally = await race.run(store, pipes, range(200), until_broken=True)
    await store.close()
    caught = not tally.holds
    return {"experiment": f"a ledger with a mistake ({name})", "holds": caught, "caught_in_round": tally.rounds}


async def _kills(address: str, pace: Pace) -> Line:
    store, began, seed, found = scratch.open_store(address), time.monotonic(), 0, list[crash.Losses]()
    while pace.goes_on(seed * KILLS_AT_ONCE, began):
        found.append(await crash.run(store, address, KILLS_AT_ONCE, seed))
        seed += 1
    await store.close()
    return {
        "experiment": "kill -9 of a working process",
        "holds": all(losses.holds for losses in found),
        "kills": sum(losses.kills for losses in found),
        "acknowledged": sum(losses.acknowledged for losses in found),
        "lost": sum(losses.lost for losses in found),
        "doubled": sum(losses.doubled for losses in found),
        "freed": sum(losses.freed for losses in found),
    }
