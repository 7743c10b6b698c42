"""
How long there is left, handed down a call chain.

One deadline is made per turn; every call below asks it for the time that remains. `within` lays it over all guarded calls that
the same task makes, so that none has to be told: a call that is given no deadline must not outlive the turn either.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from core.clock import Clock


class Deadline:
    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._ends_at = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        seconds = self._ends_at - self._clock.monotonic()
        return seconds if seconds > 0.0 else 0.0

    @property
    def has_passed(self) -> bool:
        return self.remaining() <= 0.0


_over_this_task: ContextVar[tuple[Deadline, object] | None] = ContextVar("deadline", default=None)


@contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """
    Guarded calls of this task end with `deadline`. Tasks that it starts are not bound: they may outlive the turn, for others.
    """
    before = _over_this_task.set((deadline, asyncio.current_task()))
    try:
        yield
    finally:
        _over_this_task.reset(before)


def time_left(seconds: float) -> float:
    """`seconds`, or what this task's deadline leaves of them."""
    laid_over = _over_this_task.get()
    if laid_over is None or laid_over[1] is not asyncio.current_task():
        return seconds
    return min(seconds, laid_over[0].remaining())
