"""
Copies of the secrets that SQL keeps, for replicas that start while it is away.
"""

from typing import Any

from redis.asyncio import Redis

from state.redis.client import asking_redis, key


class RedisSecrets:
    def __init__(self, client: Redis, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout = timeout_seconds

    async def put(self, name: str, value: bytes) -> None:
        async with asking_redis(self._timeout):
            await self._client.set(key("secret", name), value)

    async def get(self, name: str) -> bytes | None:
        async with asking_redis(self._timeout):
            stored: Any = await self._client.get(key("secret", name))
        value: bytes | None = stored
        return value
