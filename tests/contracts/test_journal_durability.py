"""Claims about which Redis may keep messages while SQL is away, and about what proves that it has kept one."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from core.clock import Clock, SystemClock
from core.errors import DependencyUnavailable
from core.messages import Durability
from state.redis.client import open_redis
from state.redis.copy import RedisStateCopy
from state.redis.durability import Promise, RedisDurability
from state.redis.journal import RedisJournal
from state.redis.journal_store import JOURNAL_TAG
from state.store import Intake, Lease
from tests.contracts.databases import answer, message
from tests.fakes import FakeClock
from tests.redis_groups import ClusterGroup, SentinelGroup, until
from tests.resp_server import RespServer
from tests.servers import ProgramMissing, RedisServer, ValkeyServer

_PUSH = "return redis.call('RPUSH', KEYS[1], ARGV[1])"
_EVERYSEC = (b"appendonly", b"yes", b"appendfsync", b"everysec", b"maxmemory", b"0")
_UNTOLD = ResponseError("ERR unknown command 'CONFIG'")


def durability_of(
    client: Redis, *, seconds: float = 2.0, is_vouched_for: bool = False, clock: Clock | None = None
) -> RedisDurability:
    return RedisDurability(
        client,
        tag=JOURNAL_TAG,
        timeout_seconds=seconds,
        clock=clock or SystemClock(),
        is_vouched_for=is_vouched_for,
    )


@asynccontextmanager
async def asked(
    url: str, *, seconds: float = 2.0, is_vouched_for: bool = False, clock: Clock | None = None
) -> AsyncIterator[RedisDurability]:
    client = open_redis(url, timeout_seconds=seconds)
    try:
        yield durability_of(client, seconds=seconds, is_vouched_for=is_vouched_for, clock=clock)
    finally:
        await client.aclose()


@asynccontextmanager
async def journal(url: str, *, seconds: float = 2.0) -> AsyncIterator[RedisJournal]:
    client = open_redis(url, timeout_seconds=seconds)
    try:
        yield RedisJournal(
            client,
            RedisStateCopy(client, timeout_seconds=seconds),
            durability=durability_of(client, seconds=seconds),
            owner="replica",
            lease_seconds=30,
            timeout_seconds=seconds,
        )
    finally:
        await client.aclose()


@contextmanager
def started(*options: str) -> Iterator[RedisServer]:
    try:
        server = RedisServer(*options)
    except ProgramMissing as absent:
        pytest.skip(str(absent))
    with server:
        yield server


@pytest.fixture
def pair() -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary that forgets when it dies and refuses to write alone, and its replica."""
    with (
        started(
            "--appendfsync", "everysec", "--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"
        ) as primary,
        started("--replicaof", "127.0.0.1", str(primary.port)) as replica,
    ):
        with primary.client() as client:
            until(lambda: client.info("replication").get("min_slaves_good_slaves") == 1)
        yield primary, replica


def until_followed(primary: SyncRedis) -> None:
    """Whether a replica follows shows in what it acknowledges: it is counted as good before, and for a while after."""
    until(lambda: bool(primary.set("seen", "1")) and primary.wait(1, 500) >= 1)


def leased(intake: Intake) -> Lease:
    assert intake.lease is not None
    return intake.lease


# What the configuration says


@pytest.mark.parametrize(
    ("options", "promise"),
    [
        pytest.param((), Promise.FSYNC, id="append-only file, always synced"),
        pytest.param(("--appendonly", "no"), Promise.NONE, id="no append-only file"),
        pytest.param(("--appendfsync", "everysec"), Promise.NONE, id="synced each second, no WAITAOF"),
        pytest.param(
            ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), Promise.NONE, id="evicts"
        ),
        pytest.param(("--rename-command", "CONFIG", ""), Promise.NONE, id="does not say"),
        pytest.param(("--appendonly", "no", "--min-replicas-to-write", "1"), Promise.WAIT, id="replicas"),
        pytest.param(
            ("--appendonly", "no", "--min-replicas-to-write", "1", "--rename-command", "CONFIG", ""),
            Promise.WAIT,
            id="replicas, told by INFO",
        ),
        pytest.param(
            ("--min-replicas-to-write", "1", "--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"),
            Promise.NONE,
            id="replicas that evict",
        ),
    ],
)
async def test_what_a_redis_shows_decides_what_it_may_promise(
    options: tuple[str, ...], promise: Promise
) -> None:
    with started(*options) as server:
        async with journal(server.url) as opened:
            assert not opened.is_known_durable
            assert await opened.is_durable() is (promise is not Promise.NONE)
            assert opened.is_known_durable is (promise is not Promise.NONE)
            assert opened._durability.promise is promise


@pytest.mark.parametrize(
    ("options", "is_given"),
    [
        pytest.param(("--rename-command", "CONFIG", ""), True, id="told nothing but INFO"),
        pytest.param(("--appendonly", "no"), True, id="kept in a way of its own"),
        pytest.param(("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), False, id="evicts"),
    ],
)
async def test_an_operators_word_is_taken_but_for_eviction(options: tuple[str, ...], is_given: bool) -> None:
    with started(*options) as server:
        async with asked(server.url, is_vouched_for=True) as durability:
            assert await durability.is_given() is is_given


async def test_a_configuration_that_changes_is_noticed_within_a_minute(killable_redis: RedisServer) -> None:
    clock = FakeClock()
    async with asked(killable_redis.url, clock=clock) as durability:
        before = await durability.is_given()
        with killable_redis.client() as client:
            client.config_set("maxmemory", "100mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
        at_once = await durability.is_given()
        clock.advance(61)
        afterwards = await durability.is_given()

    assert (before, at_once, afterwards) == (True, True, False)


# WAITAOF on a real server that has it


@pytest.mark.parametrize(
    ("options", "seconds", "promise"),
    [
        pytest.param(("--appendfsync", "everysec"), 2.0, Promise.WAITAOF, id="synced each second"),
        pytest.param(("--appendfsync", "everysec"), 0.25, Promise.NONE, id="too seldom for our patience"),
        pytest.param(("--appendfsync", "no"), 2.0, Promise.NONE, id="synced by nobody"),
        pytest.param(
            ("--appendfsync", "everysec", "--rename-command", "CONFIG", ""),
            0.25,
            Promise.WAITAOF,
            id="untold",
        ),
    ],
)
async def test_a_server_with_waitaof_may_promise_what_it_can_prove_in_time(
    options: tuple[str, ...], seconds: float, promise: Promise
) -> None:
    with ValkeyServer(*options) as server:
        async with asked(server.url, seconds=seconds) as durability:
            await durability.is_given()

            assert durability.promise is promise


async def test_what_waitaof_has_proven_outlives_the_server() -> None:
    with ValkeyServer("--appendfsync", "everysec") as server:
        async with journal(server.url) as opened:
            await opened.is_durable()
            intake = await opened.intake(message("kept", id="1"))
            again = await opened.intake(message("kept", id="1"))
        server.kill()
        server.start()
        async with journal(server.url) as opened:
            texts = [
                m.text for m in await opened.messages("default", intake.conversation_id, after=0, limit=9)
            ]

    assert (intake.durability, again.is_duplicate) == (Durability.REDIS, True)
    assert texts == ["kept"]


async def test_a_file_that_is_switched_off_is_noticed_by_the_next_write() -> None:
    with ValkeyServer("--appendfsync", "everysec") as server:
        async with journal(server.url) as opened:
            before = await opened.is_durable()
            with server.client() as client:
                client.config_set("appendonly", "no")
            with pytest.raises(DependencyUnavailable) as told:
                await opened.intake(message("lost", id="1"))
            afterwards = await opened.is_durable()

    assert told.value.reason == "not_durable"
    assert told.value.may_have_happened
    assert (before, afterwards) == (True, False)


# WAITAOF as servers are that cannot be started here: hosted ones, and those that fail at the wrong moment


@pytest.mark.parametrize(
    ("replies", "seconds", "promise"),
    [
        pytest.param({"CONFIG": _EVERYSEC, "WAITAOF": (1, 0)}, 2.0, Promise.WAITAOF, id="has it"),
        pytest.param({"CONFIG": _EVERYSEC}, 2.0, Promise.NONE, id="does not have it"),
        pytest.param(
            {"CONFIG": _EVERYSEC, "WAITAOF": (1, 0)},
            0.25,
            Promise.NONE,
            id="syncs too seldom for our patience",
        ),
        pytest.param(
            {"CONFIG": (*_EVERYSEC[:3], b"no", *_EVERYSEC[4:]), "WAITAOF": (1, 0)},
            2.0,
            Promise.NONE,
            id="never syncs",
        ),
        pytest.param(
            {"CONFIG": _UNTOLD, "INFO": b"aof_enabled:1\r\nmaxmemory:0\r\n", "WAITAOF": (1, 0)},
            0.25,
            Promise.WAITAOF,
            id="hosted, and does not say when it syncs",
        ),
        pytest.param(
            {"CONFIG": _UNTOLD, "INFO": b"aof_enabled:0\r\nmaxmemory:0\r\n", "WAITAOF": (1, 0)},
            2.0,
            Promise.NONE,
            id="hosted, without a file",
        ),
        pytest.param({"CONFIG": _UNTOLD}, 2.0, Promise.NONE, id="hosted, and says nothing"),
    ],
)
async def test_waitaof_is_used_where_it_can_answer_in_time(
    replies: dict[str, Any], seconds: float, promise: Promise
) -> None:
    async with RespServer(replies) as server, asked(server.url, seconds=seconds) as durability:
        await durability.is_given()

        assert durability.promise is promise


async def test_the_proof_travels_with_the_write_on_one_connection_in_one_trip() -> None:
    async with RespServer({"CONFIG": _EVERYSEC, "EVAL": 7, "WAITAOF": (1, 0)}) as server:
        client = open_redis(server.url, timeout_seconds=2.0)
        durability = durability_of(client)
        await durability.is_given()
        server.heard.clear()

        answered = await durability.write(client.register_script(_PUSH), keys=("a",), args=("1",))
        await client.aclose()

    assert answered == 7
    assert [commands for _, commands in server.heard] == [["EVAL", "SET", "WAITAOF"]]


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param((0, 0), id="not synced in time"),
        pytest.param(
            ResponseError("ERR WAITAOF cannot be used when appendonly is disabled"), id="file switched off"
        ),
        pytest.param(ResponseError("ERR unknown command 'WAITAOF'"), id="an older server took over"),
    ],
)
async def test_a_write_that_is_not_proven_is_not_acknowledged_and_the_server_is_looked_at_again(
    refusal: Any,
) -> None:
    async with RespServer({"CONFIG": _EVERYSEC, "EVAL": 7, "WAITAOF": [(1, 0), refusal]}) as server:
        client = open_redis(server.url, timeout_seconds=2.0)
        durability = durability_of(client)
        await durability.is_given()

        with pytest.raises(DependencyUnavailable) as told:
            await durability.write(client.register_script(_PUSH), keys=("a",), args=("1",))
        server.heard.clear()
        await durability.is_given()
        await client.aclose()

    assert told.value.may_have_happened
    assert ["CONFIG"] in [commands for _, commands in server.heard]


# WAIT, on a real primary and its replica


async def test_an_acknowledged_message_outlives_a_primary_that_kept_nothing(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    primary, replica = pair
    async with journal(primary.url) as opened:
        is_durable = await opened.is_durable()
        intake = await opened.intake(message("kept", id="1"))
        await opened.commit(answer(leased(intake)))
    primary.kill()
    with replica.client() as client:
        client.replicaof("NO", "ONE")
    async with journal(replica.url) as opened:
        pending = await opened.pending()
        texts = [m.text for m in await opened.messages("default", intake.conversation_id, after=0, limit=9)]

    assert is_durable
    assert intake.durability is Durability.REDIS
    assert pending == [("default", intake.conversation_id)]
    assert texts == ["kept", "It is on its way."]


async def test_without_its_replica_nothing_is_acknowledged_until_a_resend_finds_it_once(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    primary, replica = pair
    async with journal(primary.url, seconds=0.5) as opened:
        await opened.is_durable()
        replica.pause()  # counted among the good ones for another second, and silent
        with pytest.raises(DependencyUnavailable) as first:
            await opened.intake(message("once", id="1"))
        with pytest.raises(DependencyUnavailable) as again:
            await opened.intake(message("once", id="1"))
        replica.resume()
        with primary.client() as client:
            until(lambda: client.info("replication").get("min_slaves_good_slaves") == 1)
            until_followed(client)  # it was counted as good all the time
        found = await opened.intake(message("once", id="1"))
        messages = await opened.messages("default", found.conversation_id, after=0, limit=9)

    assert first.value.reason == "not_durable"
    assert first.value.may_have_happened
    assert again.value.reason in ("not_durable", "cannot_serve")
    assert found.is_duplicate
    assert [each.text for each in messages] == ["once"]


async def test_what_was_written_without_proof_is_not_acknowledged_by_reading_it(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    primary, replica = pair
    async with journal(primary.url, seconds=0.5) as opened:
        intake = await opened.intake(message("unproven", id="1"))  # not checked yet, so nothing is asked for
        await opened.is_durable()
        replica.pause()
        with pytest.raises(DependencyUnavailable):
            await opened.intake(message("unproven", id="1"))
        replica.resume()

    assert intake.durability is Durability.REDIS


async def test_a_master_that_sentinel_names_proves_its_writes_by_its_replica() -> None:
    with SentinelGroup() as group:
        for server in group.servers:
            with server.client() as client:
                client.config_set("appendfsync", "everysec")
                client.config_set("min-replicas-to-write", "1")
        with group.servers[0].client() as master:
            until(lambda: master.info("replication").get("min_slaves_good_slaves") == 1)
            until_followed(master)
        async with journal(group.url, seconds=1.0) as opened:
            is_durable = await opened.is_durable()
            intake = await opened.intake(message("hello", id="1"))
            promise = opened._durability.promise
        with group.servers[1].client() as client:
            kept = client.smembers("careline:journal.pending:{journal}")

    assert is_durable
    assert promise is Promise.WAIT
    assert [intake.conversation_id.encode() in member for member in kept] == [True]


async def test_a_cluster_proves_its_writes_on_the_node_that_has_the_journal() -> None:
    with ClusterGroup() as group:
        for server in group.servers:
            with server.client() as client:
                client.config_set("appendonly", "no")
                client.config_set("min-replicas-to-write", "1")
        async with journal(group.url, seconds=1.0) as opened:
            is_durable = await opened.is_durable()
            with pytest.raises(DependencyUnavailable) as refused:
                await opened.intake(message("hello", id="1"))
            for server in group.servers:
                with server.client() as client:
                    client.config_set("min-replicas-to-write", "0")
            with pytest.raises(DependencyUnavailable) as unproven:
                await opened.intake(message("hello", id="1"))

    assert is_durable
    assert refused.value.reason == "cannot_serve"
    assert unproven.value.reason == "not_durable"
