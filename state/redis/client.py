"""
The one Redis client, its keys, and its errors in Careline's words.

redis-py repeats every command ten times by default: a lost answer then applies a write twice, and a refused connection costs
seconds. Here nothing is repeated; whoever calls decides what a repeat would do.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from core.errors import DataIntegrityFailed, DependencyRefusedUs, DependencyTimeout, DependencyUnavailable

_DEPENDENCY = "redis"
_CONNECTIONS = 64
_RETRY_AFTER_SECONDS = 2.0


def open_redis(url: str, *, timeout_seconds: float) -> Redis:
    """Connects when it is first used. Whoever opens it closes it with `aclose`."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)


def key(kind: str, *parts: str) -> str:
    """`careline:KIND:TENANT:…`; parts cannot run into each other."""
    return ":".join(("careline", kind, *(quote(part, safe="", errors="surrogatepass") for part in parts)))


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
    except (ReadOnlyError, OutOfMemoryError, BusyLoadingError) as error:
        raise DependencyUnavailable(
            _DEPENDENCY, str(error), reason="cannot_serve", retry_after=_RETRY_AFTER_SECONDS
        ) from error
    except (RedisConnectionError, OSError) as error:
        raise DependencyUnavailable(_DEPENDENCY, str(error), retry_after=_RETRY_AFTER_SECONDS) from error
    except RedisError as error:
        raise DataIntegrityFailed(f"redis: {error}") from error
