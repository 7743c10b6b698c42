"""
No call to a dependency outlives the turn's deadline, however patient its client is: real clients, and servers that are silent.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import pytest

from agent.models.base import ModelMessage
from agent.models.openai import OpenAiModel
from core.clock import SystemClock
from core.errors import DependencyTimeout
from core.http import make_client, make_model_client
from core.resilience.deadline import Deadline, time_left, within
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from state.redis.client import asking_redis, open_redis
from state.sql.engine import Database
from tests.servers import PostgresServer, RedisServer
from tests.service.status_server import StatusServer
from tests.timing import assert_within

PATIENCE = 30.0
TURN = 0.4
LATEST = 0.9
"""The turn's time, and what a busy machine may add."""

clock = SystemClock()


def guard(name: str) -> Guard:
    policy = GuardPolicy(attempt_seconds=PATIENCE, total_seconds=PATIENCE, retry=RetryPolicy(attempts=3))
    return Guard(name, policy, clock=clock, rng=random.Random(1))


async def assert_ends_with_the_turn(call: Callable[[], Awaitable[object]]) -> None:
    started = time.monotonic()

    with within(Deadline(clock, TURN)), pytest.raises(DependencyTimeout):
        await call()

    assert_within(time.monotonic() - started, LATEST)


@pytest.mark.alone
async def test_a_connectors_request() -> None:
    async with (
        StatusServer(is_silent=True) as server,
        make_client("tickets", base_url=server.url, timeout_seconds=PATIENCE) as client,
    ):
        await assert_ends_with_the_turn(lambda: guard("tickets").run(lambda: client.get("/")))

        assert server.asked == 1


@pytest.mark.alone
async def test_a_statement_in_postgresql(killable_postgres: PostgresServer) -> None:
    database = Database(killable_postgres.url(), timeout_seconds=PATIENCE)
    await database.ping()
    killable_postgres.pause()

    await assert_ends_with_the_turn(lambda: guard("sql").run(database.ping))

    killable_postgres.resume()
    await database.close()


@pytest.mark.alone
async def test_a_command_in_redis(killable_redis: RedisServer) -> None:
    client = open_redis(killable_redis.url, timeout_seconds=PATIENCE)

    async def ask() -> None:
        async with asking_redis(PATIENCE):
            await client.get("key")

    await ask()
    killable_redis.pause()

    await assert_ends_with_the_turn(lambda: guard("redis").run(ask))

    killable_redis.resume()
    await client.aclose()


@pytest.mark.alone
async def test_a_question_to_the_model() -> None:
    async with (
        StatusServer(is_silent=True) as server,
        make_model_client("model", base_url=f"{server.url}/v1", timeout_seconds=PATIENCE) as client,
    ):
        model = OpenAiModel(client, model="m", guard=guard("model"), clock=clock, silence_seconds=PATIENCE)

        async def ask() -> None:
            messages = (ModelMessage(role="user", content="Hello"),)
            async for _ in model.stream(messages, (), deadline=Deadline(clock, PATIENCE)):
                pass

        await assert_ends_with_the_turn(ask)


@pytest.mark.alone
async def test_repeats_end_with_the_turn_too() -> None:
    async with (
        StatusServer(503, headers={"Retry-After": "0.15"}) as server,
        make_client("tickets", base_url=server.url, timeout_seconds=PATIENCE) as client,
    ):

        async def ask() -> None:
            raise DependencyTimeout("tickets", str(await client.get("/")), retry_after=0.15)

        await assert_ends_with_the_turn(lambda: guard("tickets").run(ask))

        assert server.asked in (2, 3)


async def test_with_no_time_left_nothing_is_asked() -> None:
    async with (
        StatusServer() as server,
        make_client("tickets", base_url=server.url, timeout_seconds=PATIENCE) as client,
    ):
        with within(Deadline(clock, 0.0)), pytest.raises(DependencyTimeout) as late:
            await guard("tickets").run(lambda: client.get("/"))

        assert (server.asked, late.value.reason, late.value.may_have_happened) == (0, "deadline", False)


async def test_a_turns_deadline_binds_no_task_that_outlives_it() -> None:
    async def look() -> float:
        return time_left(PATIENCE)

    with within(Deadline(clock, TURN)):
        bound = time_left(PATIENCE)
        unbound = await asyncio.create_task(look())

    assert (bound <= TURN, unbound, time_left(PATIENCE)) == (True, PATIENCE, PATIENCE)
