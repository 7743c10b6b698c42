"""
Moving windows that all replicas share: how many hits several of them have had, and one more in each, in one trip.

By Redis's clock, so that a replica whose own is wrong neither locks customers out nor lets them all through. The arithmetic is
that of `limits`' moving window.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from state.redis.client import asking_redis, tagged
from state.redis.joined import JoinedCommands, evaluation
from state.windows import Window

_TAG = "limits"
"""On one node of a cluster: windows that are hit together are hit by one script."""

_HIT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wait = -1
for i = 1, #KEYS do
  local window = ARGV[2 * i] * 1000000
  local oldest = redis.call('LINDEX', KEYS[i], -tonumber(ARGV[2 * i - 1]))
  if oldest and tonumber(oldest) >= now - window then wait = math.max(wait, tonumber(oldest) + window - now) end
end
if wait >= 0 then return wait end
for i = 1, #KEYS do
  redis.call('RPUSH', KEYS[i], string.format('%.0f', now))
  redis.call('LTRIM', KEYS[i], -tonumber(ARGV[2 * i - 1]), -1)
  redis.call('EXPIRE', KEYS[i], ARGV[2 * i] + 1)
end
return -1
"""


class SharedWindows:
    def __init__(self, client: Redis, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout = timeout_seconds
        self._commands = JoinedCommands(client, timeout_seconds=timeout_seconds)

    async def hit(self, windows: Sequence[Window]) -> float | None:
        """
        One hit in each, if all have room; else none, and after how many seconds all will have.

        Raises:
            DependencyUnavailable, DependencyTimeout, DataIntegrityFailed: Redis cannot count.
        """
        keys = [tagged(_TAG, "limit", str(each.amount), str(each.seconds), *each.parts) for each in windows]
        numbers = [number for each in windows for number in (each.amount, each.seconds)]
        async with asking_redis(self._timeout):
            (wait,) = await self._commands.send(evaluation(_HIT, keys, numbers))
        return None if wait < 0 else wait / 1_000_000

    async def aclose(self) -> None:
        await self._client.aclose()
