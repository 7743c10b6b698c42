"""Claims about probes of several replicas: one at a time over all of them, and each for itself where Redis cannot say."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

import pytest

from core.clock import SystemClock
from core.resilience.degradation import GracefulDegradationHandler
from state.redis.client import open_redis
from state.redis.probes import RedisProbePermits
from tests.servers import RedisServer

REPLICAS = 4


class Desk:
    """What the replicas probe: counts how many of them do at once, over all."""

    def __init__(self) -> None:
        self.is_up = True
        self.probes = self.running = self.most_running = 0

    async def probe(self) -> None:
        self.probes += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(0.05)
            if not self.is_up:
                raise ConnectionRefusedError
        finally:
            self.running -= 1


def replica(desk: Desk, permits: RedisProbePermits | None, seed: int) -> GracefulDegradationHandler:
    handler = GracefulDegradationHandler(clock=SystemClock(), rng=random.Random(seed), check_seconds=0.2)
    handler.add_probe("tickets", desk.probe)
    if permits is not None:
        handler.share_probes(permits)
    return handler


@contextlib.asynccontextmanager
async def running(handlers: list[GracefulDegradationHandler]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(handler.run()) for handler in handlers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def eventually(ask: Callable[[], bool], *, seconds: float = 10.0) -> None:
    for _ in range(int(seconds / 0.01)):
        if ask():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")


@contextlib.asynccontextmanager
async def permits_on(url: str, *, replicas: int = REPLICAS) -> AsyncIterator[list[RedisProbePermits]]:
    clients = [open_redis(url, timeout_seconds=1.0) for _ in range(replicas)]
    yield [RedisProbePermits(client, timeout_seconds=0.25) for client in clients]
    for client in clients:
        await client.aclose()


async def an_outage(desk: Desk, handlers: list[GracefulDegradationHandler]) -> None:
    """Every replica notices it, and its end."""
    async with running(handlers):
        desk.is_up = False
        await eventually(lambda: all(handler.is_down("tickets") for handler in handlers))
        await asyncio.sleep(1.0)
        desk.is_up = True
        await eventually(lambda: not any(handler.is_down("tickets") for handler in handlers))


async def test_replicas_with_one_redis_probe_one_at_a_time_and_all_notice(redis_url: str) -> None:
    desk = Desk()
    async with permits_on(redis_url) as permits:
        await an_outage(desk, [replica(desk, each, seed) for seed, each in enumerate(permits)])

    assert desk.most_running == 1
    assert desk.probes > 2 * REPLICAS


async def test_without_permits_they_do_so_at_once() -> None:
    """What the test above would miss, were there nothing to agree on."""
    desk = Desk()

    await an_outage(desk, [replica(desk, None, seed) for seed in range(REPLICAS)])

    assert desk.most_running > 1


@pytest.mark.parametrize("fault", ["killed", "silent"])
async def test_without_redis_each_probes_for_itself(killable_redis: RedisServer, fault: str) -> None:
    desk = Desk()
    async with permits_on(killable_redis.url, replicas=2) as permits:
        killable_redis.kill() if fault == "killed" else killable_redis.pause()
        await an_outage(desk, [replica(desk, each, seed) for seed, each in enumerate(permits)])
        killable_redis.resume()

    assert desk.probes > 4


async def test_a_permit_is_one_replicas_until_it_is_given_back(redis_url: str) -> None:
    async with permits_on(redis_url, replicas=2) as (one, other):
        taken = [await one.take("sql", seconds=5), await other.take("sql", seconds=5)]
        elsewhere = await other.take("tickets", seconds=5)
        await other.give_back("sql")
        still = await other.take("sql", seconds=5)
        await one.give_back("sql")

        assert (taken, elsewhere, still) == ([True, False], True, False)
        assert await other.take("sql", seconds=5)


async def test_a_permit_whose_holder_died_runs_out_and_is_not_taken_from_the_next(redis_url: str) -> None:
    async with permits_on(redis_url, replicas=3) as (dead, second, third):
        await dead.take("sql", seconds=0.05)
        await asyncio.sleep(0.1)
        next_one = await second.take("sql", seconds=5)

        await dead.give_back("sql")

        assert next_one
        assert not await third.take("sql", seconds=5)


async def test_while_another_replica_asks_nothing_is_concluded(redis_url: str) -> None:
    desk = Desk()
    async with permits_on(redis_url, replicas=2) as (another, mine):
        handler = replica(desk, mine, 1)
        handler.mark_down("tickets")

        await another.take("tickets", seconds=60)
        async with running([handler]):
            await asyncio.sleep(1.0)

    assert desk.probes == 0
    assert handler.is_down("tickets")
