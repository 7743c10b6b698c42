"""
A Redis client, its keys, and its errors in Careline's words.

redis-py repeats every command ten times by default: a lost answer then applies a write twice, and a refused connection costs
seconds. Here nothing is repeated; whoever calls decides what a repeat would do.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import quote

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from core.addresses import redis_address
from core.errors import (
    CarelineError,
    DataIntegrityFailed,
    DependencyRefusedUs,
    DependencyTimeout,
    DependencyUnavailable,
)
from core.resilience.timelimit import TimeLimit
from state.redis.clients import cluster_client, sentinel_client, server_client

_DEPENDENCY = "redis"
CONNECTIONS = 64
_RETRY_AFTER_SECONDS = 2.0
_CANNOT_SERVE = ("NOREPLICAS", "MISCONF")
"""Answers of a server that writes nothing now: too few replicas follow it, or its disk is full."""

_REFUSALS = (
    ReadOnlyError,
    OutOfMemoryError,
    BusyLoadingError,
    ClusterDownError,
    TryAgainError,
    AskError,
)

_CLIENTS = {"server": server_client, "sentinel": sentinel_client, "cluster": cluster_client}


def open_redis(url: str, *, timeout_seconds: float, connections: int = CONNECTIONS) -> Redis:
    """
    One server, a Sentinel's master or a cluster, as `core.addresses` reads them; for a cluster, pipelines without `transaction`
    and scripts whose keys have one tag. Connects when it is first used. Whoever opens it closes it with `aclose`.
    """
    address = redis_address(url)
    return _CLIENTS[address.form](address, timeout_seconds=timeout_seconds, connections=connections)


def key(kind: str, *parts: str) -> str:
    """`careline:KIND:TENANT:…`; parts cannot run into each other."""
    return ":".join(("careline", kind, *map(_quoted, parts)))


def together(kind: str, *parts: str) -> str:
    """`careline:KIND:{TENANT:…}`: in a cluster, keys of the same parts are on one node, so one script may touch them all."""
    return f"careline:{kind}:{{{':'.join(map(_quoted, parts))}}}"


def tagged(tag: str, kind: str, *parts: str) -> str:
    """`careline:KIND:{TAG}:TENANT:…`: in a cluster, all keys of this tag are on one node."""
    return ":".join((f"careline:{kind}:{{{tag}}}", *map(_quoted, parts)))


@lru_cache(maxsize=4096)
def _quoted(part: str) -> str:
    return quote(part, safe="", errors="surrogatepass")


async def nodes_that_write(
    client: Redis | RedisCluster, *, timeout_seconds: float
) -> Sequence[Mapping[str, Any]]:
    """How to ask each server that may have to hold a write: the further arguments of a command."""
    if not isinstance(client, RedisCluster):
        return [{}]
    primaries = client.get_primaries()
    if not primaries:
        async with asking_redis(timeout_seconds):
            await client.initialize()
        primaries = client.get_primaries()
    return [{"target_nodes": node} for node in primaries]


def asking_redis(timeout_seconds: float) -> "_Question":
    """
    Bound what is inside in time, connecting included, and translate what Redis raises. To be entered once, with `async with`.

    A value of another type is damage, not an outage; a server that is full, read-only or loading answers, but cannot serve.
    """
    return _Question(timeout_seconds)


class _Question:
    """A class, since a turn asks several times, and a generator and `asyncio.timeout` cost six times as much."""

    __slots__ = ("_limit",)

    def __init__(self, timeout_seconds: float) -> None:
        self._limit = TimeLimit(timeout_seconds)

    async def __aenter__(self) -> None:
        self._limit.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._limit.__exit__(kind, exc, trace)
        except TimeoutError as late:
            raise _timed_out() from late
        if exc is not None and (translated := _in_our_words(exc)) is not None:
            raise translated from exc


def _in_our_words(error: BaseException) -> CarelineError | None:
    match error:
        case TimeoutError() | RedisTimeoutError():
            return _timed_out()
        case AuthenticationError() | NoPermissionError():
            return DependencyRefusedUs(_DEPENDENCY, str(error))
        case RedisError() if _says_it_cannot_serve(error):
            return DependencyUnavailable(
                _DEPENDENCY, str(error), reason="cannot_serve", retry_after=_RETRY_AFTER_SECONDS
            )
        case RedisConnectionError() | RedisClusterException() | OSError():
            return DependencyUnavailable(_DEPENDENCY, str(error), retry_after=_RETRY_AFTER_SECONDS)
        case RedisError():
            return DataIntegrityFailed(f"redis: {error}")
        case _:
            return None


def _says_it_cannot_serve(error: RedisError) -> bool:
    if isinstance(error, _REFUSALS):
        return True
    return isinstance(error, ResponseError) and str(error).startswith(_CANNOT_SERVE)


def _timed_out() -> DependencyTimeout:
    return DependencyTimeout(_DEPENDENCY, retry_after=_RETRY_AFTER_SECONDS, may_have_happened=True)
