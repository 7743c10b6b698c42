"""
redis-py's clients as Careline wants them: no command is repeated, callers queue for connections, and a failover is noticed.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import (
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from core.addresses import RedisAddress

_NODE_GONE = (
    RedisConnectionError,
    RedisTimeoutError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    asyncio.CancelledError,
)

_NO_NOTICES = MaintNotificationsConfig(enabled=False)
"""While redis-py waits for notices of a hosted Redis's maintenance, its pools lend connections that the server has closed."""


def no_retry() -> Retry:
    return Retry(NoBackoff(), 0)


class WholeScript(AsyncScript):
    """
    In a pipeline the script's text is sent, where redis-py would ask first whether the server knows it (a second trip), and a
    cluster's pipeline takes no EVALSHA.
    """

    async def __call__(
        self,
        keys: Sequence[Any] | None = None,
        args: Iterable[Any] | None = None,
        client: Any = None,
    ) -> Any:
        if client is None:
            return await super().__call__(keys, args)
        keys = keys or ()
        client.eval(self.script, len(keys), *keys, *(args or ()))
        return None


class ServerPipeline(Pipeline):
    """After a failover the old master may answer still, read-only: its connection is not used again."""

    async def parse_response(self, connection: Any, command_name: str | bytes, **options: Any) -> Any:
        try:
            return await super().parse_response(connection, command_name, **options)
        except ReadOnlyError:
            connection.mark_for_reconnect()
            raise


class ServerClient(Redis):
    """
    One server, or the master that Sentinel names. Without a timeout of its socket, for which redis-py starts a task each time it
    sends and a timer for each answer: `state.redis.client.asking_redis` bounds the whole call. A read-only server is left.
    """

    def register_script(self, script: Any) -> Any:
        return WholeScript(self, script)

    async def parse_response(self, connection: Any, command_name: str | bytes, **options: Any) -> Any:
        try:
            return await super().parse_response(connection, command_name, **options)
        except ReadOnlyError:
            connection.mark_for_reconnect()
            raise

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> ServerPipeline:
        return ServerPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Sentinels(Sentinel):
    def __init__(self, *args: Any, **options: Any) -> None:
        make: Any = super().__init__
        make(*args, **options)
        self._questions: set[asyncio.Future[Any]] = set()

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """
        All at once and the first who knows: one silent Sentinel must not use up the time of a call. Nor does its question's end,
        which may take as long: `asyncio.wait_for`, inside redis-py, loses a cancellation that comes in the moment it is done.
        """
        questions = [asyncio.ensure_future(self._ask(each, service_name)) for each in self.sentinels]
        self._questions.update(questions)
        for question in questions:
            question.add_done_callback(self._questions.discard)
        try:
            for answer in asyncio.as_completed(questions):
                master = await answer
                if master is not None:
                    return master
        finally:
            for question in questions:
                question.cancel()
        raise MasterNotFoundError(f"no Sentinel names a master of {service_name!r}")

    async def aclose(self) -> None:
        await asyncio.gather(*self._questions, return_exceptions=True)
        await super().aclose()

    async def _ask(self, sentinel: Redis, service_name: str) -> tuple[str, int] | None:
        try:
            masters: Any = await sentinel.sentinel_masters()
        except (RedisError, OSError):
            return None
        state = masters.get(service_name)
        if not state or not self.check_master_state(state, service_name):
            return None
        return state["ip"], state["port"]


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


class _ClusterPipeline(ClusterPipeline):
    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:
        cluster = cast(ClusterClient, self.cluster_client)
        async with cluster.pipelines:
            try:
                answers = await super().execute(raise_on_error, allow_redirections)
            except _NODE_GONE:
                cluster.look_again()
                raise
        if any(isinstance(answer, _NODE_GONE) for answer in answers):
            cluster.look_again()
        return answers


class ClusterClient(RedisCluster):
    """
    `connections` at most to each node; redis-py's own limit refuses where this one lets callers wait.

    Pipelines and single commands have half each, because a redirected pipeline sends single commands while it holds its place.
    """

    def __init__(self, *, connections: int, **options: Any) -> None:
        half = max(1, connections // 2)
        self.pipelines = asyncio.Semaphore(half)
        self._commands = asyncio.Semaphore(half)
        super().__init__(max_connections=2 * half + 1, **options)

    def register_script(self, script: Any) -> Any:
        return WholeScript(self, script)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self._commands:
            try:
                return await super().execute_command(*args, **options)
            except asyncio.CancelledError:
                self.look_again()
                raise

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> _ClusterPipeline:
        if transaction:
            # redis-py starts a thread with an event loop of its own for each command of one.
            raise NotImplementedError("transactions are scripts: these work in a cluster")
        make: Any = _ClusterPipeline
        pipeline: _ClusterPipeline = make(self)
        return pipeline

    def look_again(self) -> None:
        """Who has which slots is asked before the next command; without repeats, redis-py's pipelines never do."""
        self._initialize = True


def server_client(address: RedisAddress, *, timeout_seconds: float, connections: int) -> Redis:
    pool = BlockingConnectionPool.from_url(
        address.url,
        max_connections=connections,
        timeout=timeout_seconds,
        socket_timeout=None,
        socket_connect_timeout=timeout_seconds,
        retry=no_retry(),
        maint_notifications_config=_NO_NOTICES,
    )
    return ServerClient.from_pool(pool)


def sentinel_client(address: RedisAddress, *, timeout_seconds: float, connections: int) -> Redis:
    times = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    asked = {
        **times,
        "retry": no_retry(),
        "username": address.sentinel_username,
        "password": address.sentinel_password,
        "ssl": address.is_encrypted,
    }
    make: Any = _Sentinels
    client: Redis = make(address.nodes, sentinel_kwargs=asked).master_for(
        address.service,
        redis_class=ServerClient,
        connection_pool_class=_SentinelPool,
        socket_timeout=None,
        socket_connect_timeout=timeout_seconds,
        retry=no_retry(),
        maint_notifications_config=_NO_NOTICES,
        db=address.database,
        username=address.username,
        password=address.password,
        ssl=address.is_encrypted,
        max_connections=connections,
        timeout=timeout_seconds,
    )
    return client


def cluster_client(address: RedisAddress, *, timeout_seconds: float, connections: int) -> Redis:
    client = ClusterClient(
        connections=connections,
        startup_nodes=[ClusterNode(host, port) for host, port in address.nodes],
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=no_retry(),
        username=address.username,
        password=address.password,
        ssl=address.is_encrypted,
    )
    # It has the same commands; redis-py gives the two no common type that has them all.
    return cast(Redis, client)
