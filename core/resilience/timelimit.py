"""
`asyncio.timeout` for what is called many times a turn, at a third of its cost: one look at the running loop, and no coroutines.
"""

import asyncio
from types import TracebackType


class TimeLimit:
    """
    A context manager that cancels what its task awaits inside when `seconds` are over, and raises TimeoutError in place of that.

    Somebody else's cancellation passes through, as with `asyncio.timeout`. To be entered once.
    """

    __slots__ = ("_cancelling", "_seconds", "_task", "_timer", "has_passed")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.has_passed = False

    def __enter__(self) -> "TimeLimit":
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a time limit needs a task that it can cancel")
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = loop.call_later(self._seconds, self._pass)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if not self.has_passed:
            return
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from exc

    def _pass(self) -> None:
        self.has_passed = True
        self._task.cancel()
