"""What turns share with listeners on other replicas: the same promises in Redis and in both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from core.clock import SystemClock
from core.errors import DependencyError
from state.events import RecoveringTurnEvents
from state.redis.client import open_redis
from state.redis.events import LONGEST_BLOCK_SECONDS, RedisTurnEvents
from state.redis.in_process import InProcessRedis
from state.redis.opening import OpensRedis
from state.sql.engine import Database
from state.sql.events import SqlTurnEvents
from state.sql.migrate import upgrade
from state.store import EventBatch, TurnEvents
from tests.fakes import FakeClock
from tests.servers import RedisServer

TURN = ("default", "turn_1")


def redis_events(url: str, closing: AsyncExitStack, *, clients: OpensRedis = open_redis) -> RedisTurnEvents:
    client = clients(url, timeout_seconds=2.0, connections=8)
    waiting = clients(url, timeout_seconds=2.0 + LONGEST_BLOCK_SECONDS, connections=8)
    closing.push_async_callback(client.aclose)
    closing.push_async_callback(waiting.aclose)
    return RedisTurnEvents(client, waiting, timeout_seconds=2.0)


async def sql_events(url: str, closing: AsyncExitStack) -> SqlTurnEvents:
    await asyncio.to_thread(upgrade, url)
    database = Database(url, timeout_seconds=5.0)
    closing.push_async_callback(database.close)
    return SqlTurnEvents(database, clock=SystemClock())


@pytest.fixture(params=["redis", "redis of a replay", "sqlite", "postgresql"])
async def events(request: pytest.FixtureRequest) -> AsyncIterator[TurnEvents]:
    if request.param == "redis of a replay":
        async with AsyncExitStack() as closing:
            yield redis_events("", closing, clients=InProcessRedis(SystemClock()).open)
        return
    names = {"redis": "redis_url", "sqlite": "sqlite_url", "postgresql": "postgres_database"}
    url: str = request.getfixturevalue(names[request.param])
    async with AsyncExitStack() as closing:
        yield redis_events(url, closing) if request.param == "redis" else await sql_events(url, closing)


def batch(last: int, *, run: int = 1, body: bytes = b"\x00text") -> EventBatch:
    return EventBatch(run=run, last=last, body=body)


async def read(events: TurnEvents, run: int = 0, last: int = 0, seconds: float = 0.01) -> list[EventBatch]:
    return list(await events.after(*TURN, run=run, last=last, seconds=seconds))


async def test_batches_are_told_in_order_from_any_place_on(events: TurnEvents) -> None:
    for last in (2, 5, 11):
        await events.share(*TURN, batch(last))

    assert await read(events) == [batch(2), batch(5), batch(11)]
    assert await read(events, 1, 5) == [batch(11)]
    assert await read(events, 1, 4) == [batch(5), batch(11)]
    assert await read(events, 1, 11) == []
    assert list(await events.after("other", TURN[1], run=0, last=0, seconds=0.01)) == []


async def test_a_run_that_was_overtaken_adds_nothing(events: TurnEvents) -> None:
    await events.share(*TURN, batch(7, run=3))
    await events.share(*TURN, batch(1, run=1_700_000_000_000_000))

    await events.share(*TURN, batch(8, run=3))

    assert await read(events, 3, 7) == [batch(1, run=1_700_000_000_000_000)]


async def test_the_same_batch_twice_is_told_once(events: TurnEvents) -> None:
    await events.share(*TURN, batch(3))
    await events.share(*TURN, batch(3))

    assert await read(events) == [batch(3)]


async def test_whoever_waits_hears_of_what_comes(events: TurnEvents) -> None:
    waiting = asyncio.create_task(read(events, seconds=0.9))
    await asyncio.sleep(0.1)

    await events.share(*TURN, batch(1))

    assert await waiting == [batch(1)]


async def test_a_turn_hears_that_it_shall_stop_with_its_next_batch(events: TurnEvents) -> None:
    assert not await events.share(*TURN, batch(1))
    assert not await events.is_stop_asked(*TURN)

    await events.ask_to_stop(*TURN)
    await events.ask_to_stop(*TURN)

    assert await events.is_stop_asked(*TURN)
    assert await events.share(*TURN, batch(2))
    assert not await events.is_stop_asked(TURN[0], "turn_2")
    assert await read(events) == [batch(1), batch(2)]


async def test_without_redis_they_are_shared_in_sql_for_a_while(
    killable_redis: RedisServer, sqlite_url: str
) -> None:
    clock = FakeClock()
    async with AsyncExitStack() as closing:
        sql = await sql_events(sqlite_url, closing)
        both = RecoveringTurnEvents(redis_events(killable_redis.url, closing), sql, clock=clock)
        await both.share(*TURN, batch(1))
        killable_redis.kill()

        with pytest.raises(DependencyError):
            await both.share(*TURN, batch(2))
        assert both.place == "sql"
        await both.share(*TURN, batch(2))
        await both.ask_to_stop(*TURN)

        assert await sql.is_stop_asked(*TURN)
        assert await read(both) == [batch(2)]
        clock.advance(6)
        assert both.place == "redis"
