"""
Every store that lives in Redis, on two clients: one for calls that are answered at once, one for those that wait.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis

from core.clock import Clock
from core.settings import Settings
from state.redis.client import open_redis
from state.redis.copy import RedisStateCopy
from state.redis.durability import RedisDurability
from state.redis.events import LONGEST_BLOCK_SECONDS, RedisTurnEvents
from state.redis.journal import RedisJournal
from state.redis.journal_store import JOURNAL_TAG
from state.redis.probes import RedisProbePermits
from state.redis.secrets import RedisSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisStores:
    events: RedisTurnEvents
    copy: RedisStateCopy
    journal: RedisJournal
    probe_permits: RedisProbePermits
    secrets: RedisSecrets


class OpensRedis(Protocol):
    """As `state.redis.client.open_redis`."""

    def __call__(self, url: str, /, *, timeout_seconds: float, connections: int) -> Redis: ...


@asynccontextmanager
async def open_redis_stores(
    url: str, settings: Settings, *, owner: str, clock: Clock, clients: OpensRedis | None = None
) -> AsyncIterator[RedisStores]:
    """Connects to nothing yet. `clients` gives another Redis than the one at `url`."""
    seconds = settings.redis_timeout_seconds
    async with AsyncExitStack() as closing:
        opened = clients or open_redis
        client = opened(url, timeout_seconds=seconds, connections=settings.redis_connections)
        closing.push_async_callback(client.aclose)
        waiting = opened(
            url,
            timeout_seconds=seconds + LONGEST_BLOCK_SECONDS,
            connections=settings.redis_connections,
        )
        closing.push_async_callback(waiting.aclose)
        copy = RedisStateCopy(client, timeout_seconds=seconds, lease_seconds=settings.lease_seconds)
        yield RedisStores(
            events=RedisTurnEvents(client, waiting, timeout_seconds=seconds),
            copy=copy,
            journal=RedisJournal(
                client,
                copy,
                durability=RedisDurability(
                    client,
                    tag=JOURNAL_TAG,
                    timeout_seconds=seconds,
                    clock=clock,
                    is_vouched_for=settings.redis_durability == "trusted",
                ),
                owner=owner,
                lease_seconds=settings.lease_seconds,
                timeout_seconds=seconds,
            ),
            probe_permits=RedisProbePermits(client, timeout_seconds=seconds),
            secrets=RedisSecrets(client, timeout_seconds=seconds),
        )
