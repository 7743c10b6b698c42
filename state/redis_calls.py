"""
Redis asked for what only it can keep, or for what merely saves time: asked again in the first case, gone without in the second.

One that did not answer is not asked for the second for a while: the customer has waited once.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from core.clock import Clock
from core.errors import (
    DependencyError,
    DependencyTimeout,
    DependencyUnavailable,
    LeaseLost,
    StateError,
    StateLoadFailed,
)
from core.resilience.deadline import Deadline
from core.telemetry.logging import get_logger
from state.store import CallGuard

T = TypeVar("T")

_TRIES = 3
_WORTH_A_TRY_SECONDS = 0.05

_log = get_logger(__name__)


class RedisCalls:
    """No `guard`, no Redis. What only saves time has `spare_seconds`; a silence is remembered for `pause_seconds`."""

    def __init__(
        self, guard: CallGuard | None, *, clock: Clock, spare_seconds: float, pause_seconds: float
    ) -> None:
        self._guard = guard
        self._clock = clock
        self._spare_seconds = spare_seconds
        self._pause_seconds = pause_seconds
        self._is_skipped = False
        self._silent_until = 0.0

    async def ask(self, attempt: Callable[[], Awaitable[T]], *, deadline: Deadline | None = None) -> T:
        if self._guard is None:
            raise DependencyUnavailable("redis", "not configured")
        result = await self._guard.run(attempt, deadline=deadline)
        if self._is_skipped:
            self._is_skipped = False
            _log.info("state.redis_used_again")
        return result

    async def insist(self, attempt: Callable[[], Awaitable[T]], *, deadline: Deadline | None = None) -> T:
        """
        For what only Redis can keep: an append-only file that is slow for a moment is asked again while there is time. Every call
        of the journal finds what its first try left.
        """
        for _ in range(_TRIES - 1):
            try:
                return await self.ask(attempt, deadline=deadline)
            except DependencyTimeout:
                if deadline is not None and deadline.remaining() < _WORTH_A_TRY_SECONDS:
                    raise
        return await self.ask(attempt, deadline=deadline)

    async def quietly(self, attempt: Callable[[], Awaitable[T]]) -> T | None:
        """For what only saves time: Redis's absence, or damage in it, is logged and otherwise nothing."""
        if self.is_silent:
            return None
        try:
            return await self.ask(attempt, deadline=Deadline(self._clock, self._spare_seconds))
        except LeaseLost:
            return None
        except StateLoadFailed as ahead:  # neither is to be believed before somebody has looked
            _log.error("state.redis_ahead", error=str(ahead))
            raise
        except (DependencyError, StateError) as error:
            self.skip(error)
            return None

    @property
    def is_silent(self) -> bool:
        return self._clock.monotonic() < self._silent_until

    def skip(self, error: DependencyError | StateError) -> None:
        """An outage is told when it begins: the drain alone asks every second. Damage is told each time."""
        if isinstance(error, DependencyTimeout):
            self._silent_until = self._clock.monotonic() + self._pause_seconds
        is_outage = isinstance(error, DependencyError)
        log = _log.debug if is_outage and self._is_skipped else _log.warning
        self._is_skipped = self._is_skipped or is_outage
        log("state.redis_skipped", error_type=error.error_type, reason=error.reason)
