"""
A Redis client, its keys, and its errors in Careline's words.

redis-py repeats every command ten times by default: a lost answer then applies a write twice, and a refused connection costs
seconds. Here nothing is repeated; whoever calls decides what a repeat would do.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
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
from core.errors import DataIntegrityFailed, DependencyRefusedUs, DependencyTimeout, DependencyUnavailable
from state.redis.clients import cluster_client, sentinel_client, server_client

_DEPENDENCY = "redis"
_CONNECTIONS = 64
_RETRY_AFTER_SECONDS = 2.0
_CANNOT_SERVE = ("NOREPLICAS", "MISCONF")
"""Answers of a server that writes nothing now: too few replicas follow it, or its disk is full."""

_CLIENTS = {"server": server_client, "sentinel": sentinel_client, "cluster": cluster_client}


def open_redis(url: str, *, timeout_seconds: float, connections: int = _CONNECTIONS) -> Redis:
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


@asynccontextmanager
async def asking_redis(timeout_seconds: float) -> AsyncIterator[None]:
    """
    Bound what is inside in time, connecting included, and translate what Redis raises.

    A value of another type is damage, not an outage; a server that is full, read-only or loading answers, but cannot serve.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except (TimeoutError, RedisTimeoutError) as error:
        raise DependencyTimeout(
            _DEPENDENCY, retry_after=_RETRY_AFTER_SECONDS, may_have_happened=True
        ) from error
    except (AuthenticationError, NoPermissionError) as error:
        raise DependencyRefusedUs(_DEPENDENCY, str(error)) from error
    except (
        ReadOnlyError,
        OutOfMemoryError,
        BusyLoadingError,
        ClusterDownError,
        TryAgainError,
        AskError,
    ) as error:
        raise _cannot_serve(error) from error
    except (RedisConnectionError, RedisClusterException, OSError) as error:
        raise DependencyUnavailable(_DEPENDENCY, str(error), retry_after=_RETRY_AFTER_SECONDS) from error
    except ResponseError as error:
        if str(error).startswith(_CANNOT_SERVE):
            raise _cannot_serve(error) from error
        raise DataIntegrityFailed(f"redis: {error}") from error
    except RedisError as error:
        raise DataIntegrityFailed(f"redis: {error}") from error


def _cannot_serve(error: Exception) -> DependencyUnavailable:
    return DependencyUnavailable(
        _DEPENDENCY, str(error), reason="cannot_serve", retry_after=_RETRY_AFTER_SECONDS
    )
