"""
Hand-written stand-ins for what a unit test must steer: time above all.
"""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta

_SETTLING_STEPS = 50
"""Loop steps after which the tasks that were woken have come to rest, in anything that a unit test builds."""


class FakeClock:
    """
    A `core.clock.Clock` that stands still until it is told to move.

    `advance` wakes whoever is due and returns at once; `run_for` also lets them run, one due time after the
    other.
    """

    def __init__(self, start: datetime = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return 1000.0 + self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        self._move_to(self._elapsed + seconds)

    async def run_for(self, seconds: float) -> None:
        until = self._elapsed + seconds
        await self.settle()
        while (due := self._next_due()) is not None and due <= until:
            self._move_to(due)
            await self.settle()
        self._move_to(until)
        await self.settle()

    async def settle(self) -> None:
        """Let every task run that can."""
        for _ in range(_SETTLING_STEPS):
            await asyncio.sleep(0)

    def _next_due(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _move_to(self, elapsed: float) -> None:
        self._elapsed = elapsed
        while self._sleepers and self._sleepers[0][0] <= elapsed:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
