"""
Rows in which a server dies: Redis, PostgreSQL, both at once.
"""

import asyncio
import time

from tests.chaos.clients import Clients
from tests.chaos.reading import journaled
from tests.chaos.report import Run, quantile
from tests.chaos.traffic import Traffic, judge
from tests.chaos.world import World, open_world

_RATE = 2.0
_DESK = "tickets"


async def redis_killed(run: Run) -> None:
    async with open_world(run) as world, _clients(run, world) as clients:
        async with Traffic(run, clients, rate=_RATE) as healthy:
            await asyncio.sleep(run.times(20, 2))
        async with Traffic(run, clients, rate=_RATE) as faulty:
            for _ in range(run.times(50, 3)):
                await asyncio.sleep(run.chance.uniform(0.3, 1.0))
                await asyncio.to_thread(world.cache.kill)
                await asyncio.sleep(run.chance.uniform(0.05, 0.6))
                await asyncio.to_thread(world.cache.start)
        await judge(run, world, clients.sent)
        told = [told for sent in faulty.sent for told in sent.told]
        degraded = sum(any(name != _DESK for name in each.degraded) for each in told)
        run.at_least("answers not degraded", 1 - degraded / max(1, len(told)), 0.995)
        p99 = [quantile([sent.seconds for sent in each.sent], 0.99) for each in (healthy, faulty)]
        run.figures["healthy p99 s"], run.figures["p99 s"] = (round(value, 3) for value in p99)
        run.at_most("p99 over the healthy one", p99[1] - p99[0], 0.5, " s")


async def postgres_killed(run: Run) -> None:
    async with open_world(run) as world, _clients(run, world) as clients:
        drained = []
        async with Traffic(run, clients, rate=_RATE) as faulty:
            await asyncio.sleep(2)
            for _ in range(run.times(20, 2)):
                await asyncio.sleep(run.chance.uniform(0.5, 2.0))
                await asyncio.to_thread(world.record.kill)
                await asyncio.sleep(run.chance.uniform(0.5, 4.0))
                await asyncio.to_thread(world.record.start)
                drained.append(await _until_drained(world))
        await judge(run, world, clients.sent)
        run.figures["answers from the journal"] = sum(
            each.durability == "redis" for sent in faulty.sent for each in sent.told
        )
        run.at_most("slowest answer", max(sent.seconds for sent in faulty.sent), 1.5, " s")
        run.at_most("journal drained", max(drained), 5.0, " s")


async def both_down(run: Run) -> None:
    async with open_world(run) as world, _clients(run, world) as clients:
        async with Traffic(run, clients, rate=_RATE) as traffic:
            await asyncio.sleep(2)
            await asyncio.gather(asyncio.to_thread(world.record.kill), asyncio.to_thread(world.cache.kill))
            down_from = time.monotonic()
            await asyncio.sleep(run.times(10, 3))
            down_until = time.monotonic()
            await asyncio.gather(asyncio.to_thread(world.record.start), asyncio.to_thread(world.cache.start))
            await asyncio.sleep(2)
        await judge(run, world, clients.sent)
        during = [
            attempt
            for sent in traffic.sent
            for attempt in sent.attempts
            if attempt.at > down_from and attempt.at + attempt.seconds < down_until
        ]
        run.at_most("acknowledged while both were down", sum(each.is_stored for each in during), 0)
        run.at_least("refused with 503", sum(each.status == 503 for each in during), 1)
        run.at_most("anything but 503", sum(each.status != 503 for each in during), 0)
        run.at_most("slowest refusal", max((each.seconds for each in during), default=0), 1.0, " s")


def _clients(run: Run, world: World) -> Clients:
    return Clients(world.urls, chance=run.chance)


async def _until_drained(world: World) -> float:
    began = time.monotonic()
    while time.monotonic() < began + 30:
        if not await asyncio.to_thread(journaled, world.cache):
            break
        await asyncio.sleep(0.05)
    return time.monotonic() - began
