"""Announcements over real brokers: work begins at once, and losing a message or the broker costs only time."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from redis import ResponseError

from agent.workers.broker import Announcements, Intake
from agent.workers.brokers import make_broker
from core.clock import SystemClock
from core.records import OutboxItem, OutboxKind
from tests.brokers import NatsServer, StandingServer, kinds
from tests.servers import ProgramMissing, RedisServer, _Server

LEASE_SECONDS = 1.5
QUEUE = "careline_outbox"
Server = _Server | StandingServer


@pytest.fixture(scope="module", params=kinds())
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if "://" in request.param:
        yield StandingServer(request.param)
        return
    try:
        made = RedisServer() if request.param == "redis" else NatsServer()
    except ProgramMissing as missing:
        pytest.skip(str(missing))
    with made:
        yield made


class Worker:
    """Notes what it was asked to work on."""

    def __init__(self, server: Any) -> None:
        self.heard: list[str] = []
        self.news = asyncio.Condition()
        self.intake = Intake(
            lambda: make_broker(server.url, lease_seconds=LEASE_SECONDS),
            self._work_on,
            wait_seconds=5.0,
            clock=SystemClock(),
        )

    async def _work_on(self, tenant: str, key: str) -> int:
        async with self.news:
            self.heard.append(f"{tenant}/{key}")
            self.news.notify_all()
        return 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Worker"]:
        task = asyncio.create_task(self.intake.run())
        try:
            yield self
        finally:
            self.intake.leave()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, 10)

    async def hears(self, *keys: str, seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds), self.news:
            await self.news.wait_for(lambda: set(keys) <= set(self.heard))


@asynccontextmanager
async def announcing(server: Any) -> AsyncIterator[Announcements]:
    announcements = Announcements(
        lambda: make_broker(server.url, lease_seconds=LEASE_SECONDS), wait_seconds=5.0, clock=SystemClock()
    )
    task = asyncio.create_task(announcements.run())
    try:
        yield announcements
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def item(key: str) -> OutboxItem:
    return OutboxItem(key, OutboxKind.TICKET, "default", "conv", {})


async def test_each_item_is_heard_of_once_by_one_of_several_workers(server: Server) -> None:
    one, two = Worker(server), Worker(server)
    keys = [f"once{number}" for number in range(20)]
    async with one.running(), two.running(), announcing(server) as announcements:
        announcements.announce(map(item, keys))
        for _ in range(400):
            if len(one.heard) + len(two.heard) >= len(keys):
                break
            await asyncio.sleep(0.05)

    assert sorted(one.heard + two.heard) == sorted(f"default/{key}" for key in keys)


async def test_what_was_announced_before_a_worker_came_is_heard(server: Server) -> None:
    async with announcing(server) as announcements:
        announcements.announce([item("early")])
        await asyncio.sleep(1.0)
        async with Worker(server).running() as worker:
            await worker.hears("default/early")


async def test_a_broker_that_comes_back_is_used_again(server: Server) -> None:
    if isinstance(server, StandingServer):
        pytest.skip("it is not ours to kill")
    async with announcing(server) as announcements, Worker(server).running() as worker:
        announcements.announce([item("before")])
        await worker.hears("default/before")

        server.kill()
        announcements.announce([item("meanwhile")])
        await asyncio.sleep(0.2)
        server.start()

        async with asyncio.timeout(40):
            while "default/after" not in worker.heard:
                announcements.announce([item("after")])
                await asyncio.sleep(0.5)


async def test_what_a_dead_worker_has_left_is_heard_by_another_though_nothing_new_comes(
    server: Server,
) -> None:
    if not isinstance(server, RedisServer):
        pytest.skip("the broker itself gives it to another")
    async with announcing(server) as announcements:
        with server.client() as dying:
            with suppress(ResponseError):  # the workers before had this group too
                dying.xgroup_create(QUEUE, QUEUE, mkstream=True)
            announcements.announce([item("left")])
            assert await asyncio.to_thread(dying.xreadgroup, QUEUE, "dying", {QUEUE: ">"}, block=1500)

        async with Worker(server).running() as living:
            await living.hears("default/left", seconds=10 * LEASE_SECONDS)


async def test_a_redis_that_runs_no_scripts_is_enough() -> None:
    with RedisServer("--rename-command", "SCRIPT", "") as server:
        async with announcing(server) as announcements, Worker(server).running() as worker:
            for key in ("first", "second"):
                announcements.announce([item(key)])
                await worker.hears(f"default/{key}", seconds=10.0)

    gc.collect()  # a connection that was left open is told of here


@pytest.mark.alone
async def test_a_broker_that_is_away_delays_nobody() -> None:
    announcements = Announcements(
        lambda: make_broker("redis://127.0.0.1:1/0", lease_seconds=60), wait_seconds=0.5, clock=SystemClock()
    )
    running = asyncio.create_task(announcements.run())
    began = time.monotonic()

    for number in range(20_000):
        announcements.announce([item(f"k{number}")])
    await asyncio.sleep(0)

    assert time.monotonic() - began < 2.0
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
