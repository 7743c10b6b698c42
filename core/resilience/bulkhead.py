"""
How many calls to one dependency may run at once, so that a slow one cannot take every turn with it.
"""

import asyncio

from core.errors import DependencyUnavailable


class Bulkhead:
    """`concurrency` calls run, as many again may wait for `wait_seconds`, the rest is refused at once."""

    def __init__(self, name: str, *, concurrency: int, wait_seconds: float) -> None:
        self._name = name
        self._concurrency = concurrency
        self._wait_seconds = wait_seconds
        self._slots = asyncio.Semaphore(concurrency)
        self._waiting = 0

    async def enter(self, *, within_seconds: float) -> None:
        """
        Take a slot; every `enter` needs its `leave`.

        Raises:
            DependencyUnavailable: with `reason="bulkhead_full"`; no slot was taken.
        """
        if not self._slots.locked():
            await self._slots.acquire()
            return
        if self._waiting >= self._concurrency:
            raise self._full()
        self._waiting += 1
        try:
            async with asyncio.timeout(min(self._wait_seconds, within_seconds)):
                await self._slots.acquire()
        except TimeoutError:
            raise self._full() from None
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        self._slots.release()

    def _full(self) -> DependencyUnavailable:
        return DependencyUnavailable(
            self._name,
            f"{self._name}: too many calls at once",
            reason="bulkhead_full",
            retry_after=self._wait_seconds,
        )
