"""
Rows in which the ways to dependencies are cut or fall silent, while the dependencies themselves are well.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

from tests.chaos.clients import Clients
from tests.chaos.history import Sent
from tests.chaos.model import Model
from tests.chaos.proxy import Proxy
from tests.chaos.report import Run
from tests.chaos.traffic import DIALOGUE, Traffic, judge
from tests.chaos.world import World, open_world, postgres_url
from tests.servers import PostgresServer

_RATE = 2.0
_FIRST_TOKEN_SECONDS = 1.0
_ANSWERED_WITHIN = {
    "redis": 2.0,
    "sql": 2.0,
    "tickets": 2.0,
    "customers": 2.0,
    "model": _FIRST_TOKEN_SECONDS + 1,
}
_SCRIPT = (
    "Hello, what can you do?",
    "Where is my order?",
    *DIALOGUE[1:],
)


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
            await asyncio.sleep(1)
            world.links[0, "redis"].refuse()
            world.links[1, "sql"].refuse()
            await asyncio.sleep(run.times(30, 4))
            world.links[0, "redis"].heal()
            world.links[1, "sql"].heal()
            await asyncio.sleep(1)
        await judge(run, world, clients.sent, may_fork=True)


async def silent(run: Run) -> None:
    """One dependency after the other turns into a black hole, and in the end the two stores together."""
    async with AsyncExitStack() as stack:
        world, ways = await _world_of_ways(run, stack)
        world.desk_link.forgets_commits = 0.0  # its second of silence would be added to that of another
        clients = await stack.enter_async_context(Clients(world.urls, chance=run.chance))
        for name, limit in _ANSWERED_WITHIN.items():
            async with Traffic(run, clients, rate=_RATE, script=_SCRIPT) as traffic:
                await asyncio.sleep(run.times(2, 1))
                began, ended = await _silenced(run, ways[name])
            during = [each.seconds for each in traffic.sent if _overlaps(each, began, ended)]
            run.figures[f"messages while {name} was silent"] = len(during)
            run.at_most(f"answered while {name} was silent", max(during), limit, " s")
        async with Traffic(run, clients, rate=_RATE, script=_SCRIPT) as traffic:
            await asyncio.sleep(1)
            began, ended = await _silenced(run, [*ways["sql"], *ways["redis"]])
        refused = [
            attempt
            for sent in traffic.sent
            for attempt in sent.attempts
            if began < attempt.at and attempt.at + attempt.seconds < ended
        ]
        run.at_least("refused while both stores were silent", len(refused), 1)
        run.at_most("anything but 503 then", sum(each.status != 503 for each in refused), 0)
        run.at_most("refused then", max(each.seconds for each in refused), 1.0, " s")
        await judge(run, world, clients.sent)


async def _world_of_ways(run: Run, stack: AsyncExitStack) -> tuple[World, Mapping[str, list[Proxy]]]:
    """Two replicas, and by the name of each dependency the proxies on the way to it."""
    record = PostgresServer()
    stack.callback(record.close)
    await asyncio.to_thread(record.start)
    record.create_database("directory")
    model = await stack.enter_async_context(Model(pace_seconds=0.01))
    model_link = await stack.enter_async_context(Proxy(model.port, chance=run.chance))
    directory_link = await stack.enter_async_context(Proxy(record.port, chance=run.chance))
    settings = {
        "model_url": f"http://127.0.0.1:{model_link.port}/v1",
        "model": "quick",
        "model_timeout_seconds": str(_FIRST_TOKEN_SECONDS),
        "customers_database_url": postgres_url(directory_link.port, "directory"),
    }
    world = await stack.enter_async_context(open_world(run, is_linked=True, record=record, settings=settings))
    ways = {
        "redis": [link for (_, name), link in world.links.items() if name == "redis"],
        "sql": [link for (_, name), link in world.links.items() if name == "sql"],
        "tickets": [world.desk_link],
        "customers": [directory_link],
        "model": [model_link],
    }
    return world, ways


async def _silenced(run: Run, ways: list[Proxy]) -> tuple[float, float]:
    began = time.monotonic()
    for way in ways:
        way.silence()
    await asyncio.sleep(run.times(15, 2))
    ended = time.monotonic()
    for way in ways:
        way.heal()
    await asyncio.sleep(1)
    return began, ended


def _overlaps(sent: Sent, began: float, ended: float) -> bool:
    return sent.sent_at < ended and (sent.answered_at or float("inf")) > began
