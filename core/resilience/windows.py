"""
Count how the last calls ended: those of the last seconds, or the last so many.
"""

from collections import deque
from typing import Protocol

_STEPS = 10


class CallWindow(Protocol):
    """`failures` and `slow` are parts of `calls`; a call can be both. All are as of the last `add` or `expire`."""

    calls: int
    failures: int
    slow: int

    def add(self, now: float, *, is_failure: bool, is_slow: bool) -> None: ...

    def expire(self, now: float) -> None:
        """Forget what is too old by now."""
        ...

    def clear(self) -> None: ...


class TimeWindow:
    """The calls of the last `seconds`, which leave it in steps of a tenth."""

    __slots__ = ("_buckets", "_step_seconds", "calls", "failures", "slow")

    def __init__(self, seconds: float) -> None:
        self._step_seconds = seconds / _STEPS
        self._buckets: deque[list[int]] = deque()
        self.clear()

    def clear(self) -> None:
        self._buckets.clear()
        self.calls = self.failures = self.slow = 0

    def add(self, now: float, *, is_failure: bool, is_slow: bool) -> None:
        step = int(now / self._step_seconds)
        buckets = self._buckets
        if not buckets or buckets[-1][0] != step:
            self._forget_before(step)
            buckets.append([step, 0, 0, 0])
        bucket = buckets[-1]
        bucket[1] += 1
        self.calls += 1
        if is_failure:
            bucket[2] += 1
            self.failures += 1
        if is_slow:
            bucket[3] += 1
            self.slow += 1

    def expire(self, now: float) -> None:
        self._forget_before(int(now / self._step_seconds))

    def _forget_before(self, step: int) -> None:
        buckets = self._buckets
        while buckets and buckets[0][0] <= step - _STEPS:
            _, calls, failures, slow = buckets.popleft()
            self.calls -= calls
            self.failures -= failures
            self.slow -= slow


class CountWindow:
    """The last `size` calls, however long ago they were."""

    __slots__ = ("_ended", "_size", "calls", "failures", "slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self._ended: deque[tuple[bool, bool]] = deque()
        self.clear()

    def clear(self) -> None:
        self._ended.clear()
        self.calls = self.failures = self.slow = 0

    def add(self, now: float, *, is_failure: bool, is_slow: bool) -> None:
        if self.calls == self._size:
            was_failure, was_slow = self._ended.popleft()
            self.failures -= was_failure
            self.slow -= was_slow
        else:
            self.calls += 1
        self._ended.append((is_failure, is_slow))
        self.failures += is_failure
        self.slow += is_slow

    def expire(self, now: float) -> None:
        """Nothing grows old here."""
