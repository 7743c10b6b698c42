"""
Rows in which the ways to dependencies are cut or fall silent, while the dependencies themselves are well.
"""

import asyncio

from tests.chaos.clients import Clients
from tests.chaos.report import Run
from tests.chaos.traffic import Traffic, judge
from tests.chaos.world import open_world

_RATE = 2.0


async def cut_both_ways(run: Run) -> None:
    """
    Each replica serves from the store that it reaches, so a conversation that goes from one to the other can have two answers to
    one message: the limit that docs/reliability.md tells of, counted and not hidden.
    """
    async with (
        open_world(run, is_linked=True) as world,
        Clients(world.urls, chance=run.chance, roaming=0.3) as clients,
    ):
        async with Traffic(run, clients, rate=_RATE):
            await asyncio.sleep(2)
            world.links[0, "redis"].refuse()
            world.links[1, "sql"].refuse()
            await asyncio.sleep(run.times(30, 6))
            world.links[0, "redis"].heal()
            world.links[1, "sql"].heal()
            await asyncio.sleep(2)
        await judge(run, world, clients.sent, may_fork=True)
