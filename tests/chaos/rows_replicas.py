"""
Rows in which a replica dies, or stops for longer than its leases last, in the middle of its turns.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from tests.chaos.clients import Clients
from tests.chaos.model import Model
from tests.chaos.reading import running_turns
from tests.chaos.report import Run
from tests.chaos.traffic import Traffic, judge
from tests.chaos.world import World, open_world

_LEASE_SECONDS = 2.0
_RATE = 2.0
_PACE_SECONDS = 0.1


async def replica_killed(run: Run) -> None:
    async with _slow_world(run) as (world, clients):
        resumed = []
        async with Traffic(run, clients, rate=_RATE):
            await asyncio.sleep(run.times(2, 1))
            for number in range(run.times(20, 2)):
                await asyncio.sleep(run.chance.uniform(0.5, 1.5))
                replica = world.replicas[number % 2]
                await asyncio.to_thread(replica.kill)
                resumed.append(await _resumed(world))
                await asyncio.to_thread(replica.start)
        await judge(run, world, clients.sent)
        _report(run, resumed)


async def replica_stopped(run: Run) -> None:
    async with _slow_world(run) as (world, clients):
        resumed = []
        async with Traffic(run, clients, rate=_RATE):
            await asyncio.sleep(run.times(2, 1))
            for number in range(run.times(10, 1)):
                await asyncio.sleep(run.chance.uniform(0.5, 1.5))
                replica = world.replicas[number % 2]
                replica.pause()
                stopped_at = time.monotonic()
                resumed.append(await _resumed(world))
                longest = _LEASE_SECONDS + run.chance.uniform(0.3, 2.0)
                await asyncio.sleep(max(0.0, stopped_at + longest - time.monotonic()))
                replica.resume()
                await asyncio.sleep(1)
        await judge(run, world, clients.sent)
        _report(run, resumed)
        run.at_least("fenced commits", world.logged("turn.fenced"), 1)


@contextlib.asynccontextmanager
async def _slow_world(run: Run) -> AsyncIterator[tuple[World, Clients]]:
    """Turns last about a second, so that each replica has some of them at any time."""
    async with (
        Model(pace_seconds=_PACE_SECONDS) as model,
        open_world(
            run, settings={"lease_seconds": str(_LEASE_SECONDS), "model_url": model.url, "model": "slow"}
        ) as world,
        Clients(world.urls, chance=run.chance, patience_seconds=2.5) as clients,
    ):
        yield world, clients


def _report(run: Run, resumed: list[tuple[int, float]]) -> None:
    run.figures["turns interrupted"] = sum(turns for turns, _ in resumed)
    run.at_least("turns interrupted", sum(turns for turns, _ in resumed), 1)
    run.at_most("resumed", max(seconds for _, seconds in resumed), _LEASE_SECONDS + 2, " s")


async def _resumed(world: World) -> tuple[int, float]:
    """How many turns run just now, and how long it takes until each is answered, or runs again under another lease."""
    began = time.monotonic()
    waiting = await asyncio.to_thread(running_turns, world.record)
    count = len(waiting)
    while waiting and time.monotonic() < began + 30:
        await asyncio.sleep(0.05)
        waiting &= await asyncio.to_thread(running_turns, world.record)
    return count, time.monotonic() - began
