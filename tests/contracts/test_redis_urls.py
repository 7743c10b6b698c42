"""The same state through Sentinel and in a cluster, with real servers, failovers included."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from core.addresses import redis_address
from core.errors import CarelineError, DependencyUnavailable
from core.messages import Durability
from state.redis.client import asking_redis, open_redis
from state.redis.events import LONGEST_BLOCK_SECONDS, RedisTurnEvents
from state.store import EventBatch
from tests.contracts.test_recovery import journal_of, real_guard, replica, say
from tests.redis_groups import ClusterGroup, SentinelGroup
from tests.servers import PostgresServer, RedisServer


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterGroup]:
    with ClusterGroup() as group:
        yield group


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("redis+sentinel://a:1,b:2", "names no service"),
        ("redis+sentinel://a:1,/careline", "host that is empty"),
        ("redis+sentinel://a:many/careline", "port of 'a'"),
        ("redis+sentinel://a/careline/first", "database after the service"),
        ("redis+sentinel://a/careline?retries=9", "not known: retries"),
        ("redis+cluster://a:1/3", "only database 0"),
        ("redis+cluster://[::1:1", "bracket"),
        ("amqp://a", "redis\\+sentinel://"),
    ],
)
def test_a_redis_address_that_cannot_be_used_is_told_what_is_wrong(url: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        redis_address(url)


def test_an_address_names_nodes_service_and_credentials() -> None:
    address = redis_address("redis+sentinel://me:s%40y@a,[::1]:7/shop/2?sentinel_password=x")

    assert address.nodes == (("a", 26379), ("::1", 7))
    assert (address.service, address.database) == ("shop", 2)
    assert (address.username, address.password, address.sentinel_password) == ("me", "s@y", "x")


async def test_a_cluster_serves_copies_of_many_conversations_from_all_its_nodes(
    cluster: ClusterGroup, sqlite_url: str
) -> None:
    async with replica(sqlite_url, cluster.url) as opened:
        for number in range(12):
            await say(opened.conversations, "hello", id=f"m{number}")
        first, _, _ = await say(opened.conversations, "first", id="t1")
        _, history, source = await say(
            opened.conversations, "second", id="t2", conversation=first.conversation_id
        )

    assert source == "redis"
    assert history[0] == "first"
    assert all(any(b"copy." in key for key in keys) for keys in cluster.keys_by_server())


async def test_a_cluster_journals_while_sql_is_down_and_is_drained(
    cluster: ClusterGroup, killable_postgres: PostgresServer
) -> None:
    guard = real_guard("sql", 1.0)
    async with replica(killable_postgres.url(), cluster.url, sql=guard) as opened:
        store = opened.conversations
        first, _, _ = await say(store, "before", id="j1")
        killable_postgres.kill()
        second, history, _ = await say(store, "meanwhile", id="j2", conversation=first.conversation_id)
        await say(store, "new", id="j3")
        waiting = await journal_of(opened).pending()
        killable_postgres.start()
        for _ in range(50):
            try:
                await store.drain()
            except CarelineError:
                await asyncio.sleep(0.2)
            else:
                break
        left = await journal_of(opened).pending()
        messages = await store.messages("default", first.conversation_id, after=0, limit=10)

    assert second.durability is Durability.REDIS
    assert history[0] == "before"
    assert len(waiting) == 2
    assert left == []
    assert [each.text for each in messages][::2] == ["before", "meanwhile"]


async def test_turn_events_are_heard_and_stopped_in_a_cluster(cluster: ClusterGroup) -> None:
    client = open_redis(cluster.url, timeout_seconds=2.0)
    waiting = open_redis(cluster.url, timeout_seconds=2.0 + LONGEST_BLOCK_SECONDS)
    events = RedisTurnEvents(client, waiting, timeout_seconds=2.0)
    try:
        for turn in ("turn_a", "turn_b", "turn_c"):
            is_stopped = await events.share("default", turn, EventBatch(run=1, last=1, body=b"text"))
            heard = await events.after("default", turn, run=0, last=0, seconds=0.2)
            await events.ask_to_stop("default", turn)
            late = await events.share("default", turn, EventBatch(run=1, last=2, body=b"more"))

            assert not is_stopped
            assert late
            assert [each.body for each in heard] == [b"text"]
    finally:
        await client.aclose()
        await waiting.aclose()


@pytest.mark.alone  # redis-py looks for the cluster anew, which on a busy machine takes longer than the call
async def test_a_node_of_a_cluster_that_died_is_unavailable_and_comes_back() -> None:
    with ClusterGroup() as group:
        client = open_redis(group.url, timeout_seconds=1.0)
        try:
            for number in range(9):
                await _set(client, f"key{number}")
            group.servers[0].kill()
            refused = 0
            for number in range(9):
                try:
                    await _set(client, f"key{number}")
                except DependencyUnavailable:
                    refused += 1
            group.servers[0].start()
            for _ in range(40):
                try:
                    for number in range(9):
                        await _set(client, f"key{number}")
                except CarelineError:
                    await asyncio.sleep(0.2)
                else:
                    break
            else:
                pytest.fail("the cluster was not found again")
        finally:
            await client.aclose()

    assert refused


async def _set(client: Redis, key: str) -> None:
    async with asking_redis(1.0), client.pipeline(transaction=False) as pipeline:
        pipeline.set(key, b"1")
        await pipeline.execute()


@pytest.mark.alone
async def test_the_end_of_a_silent_sentinels_question_uses_up_no_time_of_the_call() -> None:
    async def ask(sentinel: Redis, service: str) -> tuple[str, int]:
        if sentinel is sentinels.sentinels[0]:
            # As redis-py does when the cancellation comes in the moment in which it has sent its question.
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.sleep(0.3)
        return "127.0.0.1", 7

    client = open_redis("redis+sentinel://127.0.0.1:1,127.0.0.1:2/careline", timeout_seconds=1.0)
    pool: Any = client.connection_pool
    sentinels = pool.sentinel_manager
    sentinels._ask = ask
    began = time.monotonic()

    master = await sentinels.discover_master("careline")

    assert time.monotonic() - began < 0.2
    assert master == ("127.0.0.1", 7)
    await client.aclose()


async def test_a_failover_of_sentinel_loses_no_message_and_is_followed(sqlite_url: str) -> None:
    with SentinelGroup() as group:
        async with replica(
            sqlite_url, group.url, redis=real_guard("redis", 0.5), redis_seconds=0.5
        ) as opened:
            store = opened.conversations
            first, _, _ = await say(store, "message 0", id="s0")
            group.silence_a_sentinel()
            old = group.master_port()
            group.servers[0].kill()
            during = []
            for number in range(1, 6):
                during.append(
                    await say(store, f"message {number}", id=f"s{number}", conversation=first.conversation_id)
                )
            group.wait_for_another_master(old)
            number = 6
            sources: list[str] = []
            while number < 60 and sources[-2:] != ["redis", "redis"]:
                _, _, source = await say(
                    store, f"message {number}", id=f"s{number}", conversation=first.conversation_id
                )
                sources.append(source)
                number += 1
                await asyncio.sleep(0.1)
            told = await store.messages("default", first.conversation_id, after=0, limit=200)

    assert {source for _, _, source in during} == {"sql"}
    assert sources[-2:] == ["redis", "redis"]
    assert [each.text for each in told if each.text.startswith("message")] == [
        f"message {each}" for each in range(number)
    ]


async def test_a_master_that_became_a_replica_is_unavailable_and_its_connection_is_dropped(
    killable_redis: RedisServer, redis_server: RedisServer
) -> None:
    client = open_redis(killable_redis.url, timeout_seconds=1.0)
    try:
        await _set(client, "a")
        with killable_redis.client() as operator:
            operator.replicaof("127.0.0.1", str(redis_server.port))
            with pytest.raises(DependencyUnavailable) as told:
                await _set(client, "a")
            before = operator.info("stats")["total_connections_received"]
            with pytest.raises(DependencyUnavailable):
                await _set(client, "a")
            after = operator.info("stats")["total_connections_received"]
    finally:
        await client.aclose()

    assert told.value.reason == "cannot_serve"
    assert after == before + 1


async def test_a_server_that_was_started_anew_fails_nobody_who_comes_after(
    killable_redis: RedisServer,
) -> None:
    client = open_redis(killable_redis.url, timeout_seconds=1.0)
    try:
        # Several connections, so that the pool has some left from before.
        await asyncio.gather(*(_set(client, str(number)) for number in range(5)))
        killable_redis.kill()
        killable_redis.restart()
        await asyncio.sleep(0.05)

        await asyncio.gather(*(_set(client, str(number)) for number in range(5)))
    finally:
        await client.aclose()
