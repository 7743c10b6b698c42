"""
How many calls to one dependency may run at once, so that a slow one cannot take every turn with it.
"""

import asyncio
from collections import deque

from core.errors import DependencyUnavailable


class Bulkhead:
    """`concurrency` calls run, as many again may wait for `wait_seconds`, the rest is refused at once."""

    def __init__(self, name: str, *, concurrency: int, wait_seconds: float) -> None:
        self._name = name
        self._concurrency = concurrency
        self._wait_seconds = wait_seconds
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, *, within_seconds: float) -> None:
        """
        Take a slot; every `enter` needs its `leave`.

        Raises:
            DependencyUnavailable: with `reason="bulkhead_full"`; no slot was taken.
        """
        if self._running < self._concurrency:
            self._running += 1
            return
        if len(self._waiting) >= self._concurrency:
            raise self._full()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(min(self._wait_seconds, within_seconds)):
                await turn
        except BaseException as exc:
            if turn.done() and not turn.cancelled():
                self.leave()  # it was handed a slot in the same moment
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(exc, TimeoutError):
                raise self._full() from None
            raise

    def leave(self) -> None:
        """The slot goes to who has waited longest, so that nobody who comes now is faster."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1

    def _full(self) -> DependencyUnavailable:
        return DependencyUnavailable(
            self._name,
            f"{self._name}: too many calls at once",
            reason="bulkhead_full",
            retry_after=self._wait_seconds,
        )
