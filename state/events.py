"""
Share turn events in Redis, and in SQL while Redis is away.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from core.clock import Clock
from core.errors import CarelineError, DependencyError
from core.telemetry.logging import get_logger
from state.store import EventBatch, TurnEvents

T = TypeVar("T")

_PAUSE_SECONDS = 5.0
_log = get_logger(__name__)


class RecoveringTurnEvents:
    """Implements `state.store.TurnEvents`. A reader that reaches less than the runner ends with the stored answer."""

    def __init__(self, redis: TurnEvents, sql: TurnEvents, *, clock: Clock) -> None:
        self._redis = redis
        self._sql = sql
        self._clock = clock
        self._paused_until = clock.monotonic()

    @property
    def place(self) -> str:
        return self._now.place

    @property
    def _now(self) -> TurnEvents:
        return self._sql if self._clock.monotonic() < self._paused_until else self._redis

    async def share(self, tenant: str, turn_id: str, batch: EventBatch) -> bool:
        """Raises where it was Redis that failed: what it held may be lost, and the next share must bring all of it again."""
        return await self._watched(lambda events: events.share(tenant, turn_id, batch))

    async def after(
        self, tenant: str, turn_id: str, *, run: int, last: int, seconds: float
    ) -> Sequence[EventBatch]:
        return await self._watched(
            lambda events: events.after(tenant, turn_id, run=run, last=last, seconds=seconds)
        )

    async def ask_to_stop(self, tenant: str, turn_id: str) -> None:
        """In both places: who runs the turn may reach only one of them. One that takes it is enough."""
        failed: list[CarelineError] = []
        for events in (self._redis, self._sql):
            try:
                await events.ask_to_stop(tenant, turn_id)
            except DependencyError as exc:
                failed.append(exc)
        if len(failed) == 2:
            raise failed[1]

    async def is_stop_asked(self, tenant: str, turn_id: str) -> bool:
        return await self._watched(lambda events: events.is_stop_asked(tenant, turn_id))

    async def _watched(self, ask: Callable[[TurnEvents], Awaitable[T]]) -> T:
        place = self._now
        try:
            return await ask(place)
        except DependencyError as exc:
            if place is self._redis:
                self._paused_until = self._clock.monotonic() + _PAUSE_SECONDS
                _log.warning("events.redis_skipped", reason=exc.reason, seconds=_PAUSE_SECONDS)
            raise
