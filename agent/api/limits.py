"""
How many messages one customer, and the whole service, may send in a time.

Counted in Redis where there is one, so that all replicas count together, all limits of a message in one trip. While Redis is away
every limit fails open: each replica counts alone, since a customer with a question matters more than an exact number. `limits`
reads the rates and lends its arithmetic; its in-memory storage walks every customer's window on every hit, and its Redis storage
needs a trip or two for each limit, so the counting is done here and in `state.redis.windows`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from limits import RateLimitItem, parse

from agent.api.eventlog import EventLog
from core.clock import Clock
from core.errors import CarelineError, RateLimited
from core.identity import Caller
from core.settings import Settings
from state.windows import Window

_ADDRESS_LIMIT = "120/minute"
"""New visitors from one address: without it, a fresh token would lift the customer's limit."""

_PAUSE_SECONDS = 5.0
"""For how long a Redis that could not count is not asked: one message has waited for it."""
_KEYS_BEFORE_CLEANING = 10_000


class Windows(Protocol):
    async def hit(self, windows: Sequence[Window]) -> float | None:
        """Count one in each; None when all had room, else nothing is counted, and after how many seconds all will have."""
        ...

    async def aclose(self) -> None: ...


class LocalWindows:
    """Exact moving windows in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hits: dict[Window, deque[float]] = {}
        self._clean_at = _KEYS_BEFORE_CLEANING

    async def hit(self, windows: Sequence[Window]) -> float | None:
        now = self._clock.monotonic()
        waits = [wait for window in windows if (wait := self._wait_seconds(window, now)) is not None]
        if waits:
            return max(waits)
        for window in windows:
            if window not in self._hits:
                self._drop_idle(now)
            self._hits.setdefault(window, deque()).append(now)
        return None

    async def aclose(self) -> None:
        """Nothing is open."""

    def _wait_seconds(self, window: Window, now: float) -> float | None:
        hits = self._hits.get(window)
        if hits is None:
            return None
        while hits and hits[0] < now - window.seconds:
            hits.popleft()
        return hits[0] + window.seconds - now if len(hits) >= window.amount else None

    def _drop_idle(self, now: float) -> None:
        if len(self._hits) < self._clean_at:
            return
        self._hits = {
            window: hits for window, hits in self._hits.items() if hits and hits[-1] > now - window.seconds
        }
        self._clean_at = max(_KEYS_BEFORE_CLEANING, 2 * len(self._hits))


class RecoveringWindows:
    """Those that all replicas share, and this replica's own while Redis cannot be asked."""

    def __init__(self, shared: Windows, *, alone: Windows, clock: Clock, log: EventLog) -> None:
        self._shared = shared
        self._alone = alone
        self._clock = clock
        self._log = log
        self._paused_until = clock.monotonic()

    async def hit(self, windows: Sequence[Window]) -> float | None:
        if self._clock.monotonic() >= self._paused_until:
            try:
                return await self._shared.hit(windows)
            except CarelineError as exc:
                self._paused_until = self._clock.monotonic() + _PAUSE_SECONDS
                self._log.warning(
                    "rate_limit.counting_alone", error=type(exc).__name__, seconds=_PAUSE_SECONDS
                )
        return await self._alone.hit(windows)

    async def aclose(self) -> None:
        await self._shared.aclose()


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Raises RateLimited, with the seconds to wait."""

    windows: Windows
    per_customer: RateLimitItem | None
    whole_service: RateLimitItem | None
    new_visitors: RateLimitItem

    async def check_message(self, caller: Caller, conversation_id: str | None) -> None:
        """
        A caller that acts for nobody in particular is counted by conversation, and a new conversation is new. What one limit
        refuses, no other counts.
        """
        whose = caller.customer_id or conversation_id
        windows = []
        if self.per_customer is not None and whose is not None:
            windows.append(_window(self.per_customer, "customer", caller.tenant, whose))
        if self.whole_service is not None:
            windows.append(_window(self.whole_service, "service"))
        if windows:
            await self._check(windows)

    async def check_new_visitor(self, address: str) -> None:
        await self._check([_window(self.new_visitors, "address", address)])

    async def aclose(self) -> None:
        await self.windows.aclose()

    async def _check(self, windows: Sequence[Window]) -> None:
        wait_seconds = await self.windows.hit(windows)
        if wait_seconds is not None:
            raise RateLimited(retry_after=wait_seconds)


def rate_limits(settings: Settings, *, clock: Clock, log: EventLog) -> RateLimits:
    windows: Windows = LocalWindows(clock)
    if settings.redis_url is not None:
        # The client takes 6 MB, which nobody without Redis needs.
        from state.redis.client import open_redis
        from state.redis.windows import SharedWindows

        seconds = min(settings.redis_timeout_seconds, settings.rate_limit_timeout_seconds)
        client = open_redis(
            settings.redis_url, timeout_seconds=seconds, connections=settings.redis_connections
        )
        windows = RecoveringWindows(
            SharedWindows(client, timeout_seconds=seconds), alone=windows, clock=clock, log=log
        )
    return RateLimits(
        windows=windows,
        per_customer=_limit(settings.rate_limit_per_customer),
        whole_service=_limit(settings.rate_limit),
        new_visitors=parse(_ADDRESS_LIMIT),
    )


def _limit(text: str) -> RateLimitItem | None:
    return None if text.strip() == "0" else parse(text)


def _window(limit: RateLimitItem, *parts: str) -> Window:
    return Window(limit.amount, limit.get_expiry(), parts)
