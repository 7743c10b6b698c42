"""Claims about commands that travel together: who hears what, and who is hurt by whose failure."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from core.errors import DependencyTimeout
from state.redis.client import asking_redis, open_redis
from state.redis.joined import JoinedCommands
from tests.servers import RedisServer


@asynccontextmanager
async def _joined(url: str, *, timeout_seconds: float = 2.0) -> AsyncIterator[JoinedCommands]:
    client = open_redis(url, timeout_seconds=timeout_seconds)
    try:
        yield JoinedCommands(client, timeout_seconds=timeout_seconds)
    finally:
        await client.aclose()


def _connections_and_reads(server: RedisServer) -> tuple[int, int]:
    with server.client() as operator:
        stats = operator.info("stats")
    return stats["total_connections_received"], stats["total_reads_processed"]


async def test_what_waits_at_the_same_moment_travels_in_one_piece(killable_redis: RedisServer) -> None:
    async with _joined(killable_redis.url) as joined:
        await joined.send(("PING",))
        connections, reads = _connections_and_reads(killable_redis)

        answers = await asyncio.gather(*(joined.send(("ECHO", str(n))) for n in range(50)))

        connections_after, reads_after = _connections_and_reads(killable_redis)
    assert answers == [[str(n).encode()] for n in range(50)]
    assert reads_after - reads < 20  # the operator's own are among them
    assert connections_after - connections == 1


async def test_each_caller_hears_of_its_own_failure_only(redis_url: str) -> None:
    async with _joined(redis_url) as joined:
        await joined.send(("SET", "text", "a"))

        wrong = asyncio.create_task(joined.send(("PING",), ("LRANGE", "text", 0, -1), ("SET", "after", "b")))
        right = await joined.send(("GET", "text"))
        (after,) = await joined.send(("GET", "after"))

    with pytest.raises(ResponseError):
        await wrong
    assert right == [b"a"]
    assert after == b"b"


async def test_a_caller_that_goes_away_breaks_nothing_off_for_the_others(redis_url: str) -> None:
    async with _joined(redis_url) as joined:
        leaving = asyncio.create_task(joined.send(("SET", "a", "1")))
        staying = asyncio.create_task(joined.send(("ECHO", "here")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaving.cancel()

        assert await staying == [b"here"]
        assert await joined.send(("ECHO", "again")) == [b"again"]


async def test_a_silent_server_costs_each_caller_its_own_time_and_no_more(
    killable_redis: RedisServer,
) -> None:
    async def ask(joined: JoinedCommands) -> float:
        began = time.monotonic()
        with pytest.raises(DependencyTimeout):
            async with asking_redis(0.2):
                await joined.send(("PING",))
        return time.monotonic() - began

    async with _joined(killable_redis.url, timeout_seconds=0.2) as joined:
        await joined.send(("PING",))
        killable_redis.pause()
        first = asyncio.create_task(ask(joined))
        await asyncio.sleep(0.1)
        second = await ask(joined)
        killable_redis.resume()

        assert await first < 0.6
        assert second < 0.6
        assert await joined.send(("ECHO", "back")) == [b"back"]


async def test_a_cut_connection_fails_all_who_were_on_the_way_and_the_next_finds_a_new_one(
    killable_redis: RedisServer,
) -> None:
    async with _joined(killable_redis.url) as joined:
        await joined.send(("PING",))
        held = ("BLPOP", "nothing", 5)
        asked = [asyncio.create_task(joined.send(held, ("ECHO", str(n)))) for n in range(3)]
        await asyncio.sleep(0.05)
        killable_redis.kill()

        answers = await asyncio.gather(*asked, return_exceptions=True)

        assert all(isinstance(answer, (RedisConnectionError, OSError)) for answer in answers), answers
        killable_redis.restart()
        assert await joined.send(("ECHO", "back")) == [b"back"]


async def test_a_held_connection_that_the_server_has_closed_is_opened_anew(
    killable_redis: RedisServer,
) -> None:
    async with _joined(killable_redis.url) as joined:
        (own_id,) = await joined.send(("CLIENT", "ID"))
        with killable_redis.client() as operator:
            operator.client_kill_filter(_id=str(own_id))
        await asyncio.sleep(0.05)

        assert await joined.send(("ECHO", "here")) == [b"here"]


async def test_a_connection_whose_server_went_is_another_callers_again(killable_redis: RedisServer) -> None:
    client = open_redis(killable_redis.url, timeout_seconds=0.5, connections=1)
    try:
        one = JoinedCommands(client, timeout_seconds=0.5)
        await one.send(("PING",))
        killable_redis.kill()
        with pytest.raises((RedisConnectionError, OSError)):
            await one.send(("PING",))
        killable_redis.restart()

        assert await JoinedCommands(client, timeout_seconds=0.5).send(("ECHO", "here")) == [b"here"]
    finally:
        await client.aclose()


async def test_a_value_that_redis_cannot_be_sent_leaves_the_connection_as_it_was(redis_url: str) -> None:
    async with _joined(redis_url) as joined:
        with pytest.raises(TypeError):
            await joined.send(("SET", "a", None))

        assert await joined.send(("ECHO", "here")) == [b"here"]


async def test_an_answer_that_was_not_read_is_nobody_elses(redis_url: str) -> None:
    def unreadable(response: Any, **options: Any) -> Any:
        raise ValueError("an answer that redis-py does not understand")

    client = open_redis(redis_url, timeout_seconds=2.0)
    client.set_response_callback("ECHO", unreadable)
    joined = JoinedCommands(client, timeout_seconds=2.0)
    try:
        await joined.send(("SET", "a", "mine"))

        with pytest.raises(ValueError, match="not understand"):
            await joined.send(("ECHO", "here"), ("BLPOP", "nothing", 0.2))

        assert await joined.send(("GET", "a")) == [b"mine"]
    finally:
        await client.aclose()
