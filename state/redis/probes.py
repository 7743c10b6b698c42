"""
One replica at a time asks a dependency whether it works: a permit for each dependency, which the first to ask takes.

Where Redis cannot be asked, everybody may: a probe too many does little harm, none at all would leave an outage unended.
"""

from redis.asyncio import Redis

from core.errors import CarelineError
from core.ids import new_id
from core.telemetry.logging import get_logger
from state.redis.client import asking_redis, key

_log = get_logger(__name__)

_GIVE_BACK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
"""Only its own: this one may have run out while the probe still went on, and be another's by now."""


class RedisProbePermits:
    """Implements `core.resilience.degradation.ProbePermits`. Of each dependency, a process holds one permit at most."""

    def __init__(self, client: Redis, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout = timeout_seconds
        self._give_back = client.register_script(_GIVE_BACK)
        self._held: dict[str, str] = {}

    async def take(self, dependency: str, *, seconds: float) -> bool:
        token = new_id("probe")
        try:
            async with asking_redis(self._timeout):
                is_mine = await self._client.set(
                    key("probe", dependency), token, nx=True, px=int(seconds * 1000)
                )
        except CarelineError as exc:
            _log.debug("probe.not_agreed", dependency=dependency, error=type(exc).__name__)
            return True
        if is_mine:
            self._held[dependency] = token
        return bool(is_mine)

    async def give_back(self, dependency: str) -> None:
        token = self._held.pop(dependency, None)
        if token is None:
            return
        try:
            async with asking_redis(self._timeout):
                await self._give_back(keys=[key("probe", dependency)], args=[token])
        except CarelineError as exc:
            _log.debug("probe.permit_left_to_run_out", dependency=dependency, error=type(exc).__name__)
