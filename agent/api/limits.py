"""
How many messages one customer, and the whole service, may send in a time.

Counted in Redis where there is one, so that all replicas count together; while Redis is away each replica
counts alone, since a customer with a question matters more than an exact number. `limits` keeps the windows
in Redis; its own in-memory storage walks every customer's window on every hit, so the lone count is kept
here.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

from agent.api.eventlog import EventLog
from core.clock import Clock
from core.errors import RateLimited
from core.identity import Caller
from core.settings import Settings

_ADDRESS_LIMIT = "120/minute"
"""New visitors from one address: without it, a fresh token would lift the customer's limit."""

_LONGEST_COUNT_SECONDS = 0.1
"""A part of the second in which a customer hears whether a message is kept: counting has no claim on more."""

_PAUSE_SECONDS = 5.0
_KEYS_BEFORE_CLEANING = 10_000


class Windows(Protocol):
    async def hit(self, limit: RateLimitItem, key: str) -> float | None:
        """Count one; None when there was room, else after how many seconds there will be."""
        ...


class LocalWindows:
    """Exact moving windows in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hits: dict[tuple[RateLimitItem, str], deque[float]] = {}
        self._clean_at = _KEYS_BEFORE_CLEANING

    async def hit(self, limit: RateLimitItem, key: str) -> float | None:
        now = self._clock.monotonic()
        window_seconds = limit.get_expiry()
        hits = self._hits.get((limit, key))
        if hits is None:
            self._drop_idle(now)
            hits = self._hits[(limit, key)] = deque()
        while hits and hits[0] <= now - window_seconds:
            hits.popleft()
        if len(hits) >= limit.amount:
            return hits[0] + window_seconds - now
        hits.append(now)
        return None

    def _drop_idle(self, now: float) -> None:
        if len(self._hits) < self._clean_at:
            return
        self._hits = {
            (limit, key): hits
            for (limit, key), hits in self._hits.items()
            if hits and hits[-1] > now - limit.get_expiry()
        }
        self._clean_at = max(_KEYS_BEFORE_CLEANING, 2 * len(self._hits))


class RedisWindows:
    """Moving windows that all replicas share, and this replica's own while Redis cannot be asked."""

    def __init__(
        self, url: str, *, timeout_seconds: float, alone: Windows, clock: Clock, log: EventLog
    ) -> None:
        self._storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="careline:limit",
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
        )
        self._shared = MovingWindowRateLimiter(self._storage)
        self._timeout_seconds = timeout_seconds
        self._alone = alone
        self._clock = clock
        self._log = log
        self._paused_until = clock.monotonic()

    async def hit(self, limit: RateLimitItem, key: str) -> float | None:
        if self._clock.monotonic() >= self._paused_until:
            try:
                # The driver repeats a command ten times by itself; this is the total.
                async with asyncio.timeout(self._timeout_seconds):
                    return await self._ask(limit, key)
            except (StorageError, OSError) as exc:  # TimeoutError is an OSError
                self._paused_until = self._clock.monotonic() + _PAUSE_SECONDS
                self._log.warning(
                    "rate_limit.counting_alone", error=type(exc).__name__, seconds=_PAUSE_SECONDS
                )
        return await self._alone.hit(limit, key)

    async def _ask(self, limit: RateLimitItem, key: str) -> float | None:
        if await self._shared.hit(limit, key):
            return None
        stats = await self._shared.get_window_stats(limit, key)
        return max(0.0, stats.reset_time - self._clock.now().timestamp())

    async def aclose(self) -> None:
        # Chosen above to be redis-py's client, of which `limits` declares only what it calls itself.
        bridge: Any = self._storage.bridge
        await bridge.get_connection().aclose()


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Raises RateLimited, with the seconds to wait."""

    windows: Windows
    per_customer: RateLimitItem | None
    whole_service: RateLimitItem | None
    new_visitors: RateLimitItem

    async def check_message(self, caller: Caller, conversation_id: str | None) -> None:
        """
        A caller that acts for nobody in particular is counted by conversation, and a new conversation is new.
        """
        whose = caller.customer_id or conversation_id
        if self.per_customer is not None and whose is not None:
            await self._check(self.per_customer, f"customer:{caller.tenant}:{whose}")
        if self.whole_service is not None:
            await self._check(self.whole_service, "service")

    async def check_new_visitor(self, address: str) -> None:
        await self._check(self.new_visitors, f"address:{address}")

    async def aclose(self) -> None:
        if isinstance(self.windows, RedisWindows):
            await self.windows.aclose()

    async def _check(self, limit: RateLimitItem, key: str) -> None:
        wait_seconds = await self.windows.hit(limit, key)
        if wait_seconds is not None:
            raise RateLimited(retry_after=wait_seconds)


def rate_limits(settings: Settings, *, clock: Clock, log: EventLog) -> RateLimits:
    alone = LocalWindows(clock)
    windows: Windows = alone
    if settings.redis_url is not None:
        windows = RedisWindows(
            settings.redis_url,
            timeout_seconds=min(settings.redis_timeout_seconds, _LONGEST_COUNT_SECONDS),
            alone=alone,
            clock=clock,
            log=log,
        )
    return RateLimits(
        windows=windows,
        per_customer=_limit(settings.rate_limit_per_customer),
        whole_service=_limit(settings.rate_limit),
        new_visitors=parse(_ADDRESS_LIMIT),
    )


def _limit(text: str) -> RateLimitItem | None:
    return None if text.strip() == "0" else parse(text)
