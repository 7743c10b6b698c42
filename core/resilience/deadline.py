"""
How long there is left, handed down a call chain.

One deadline is made per turn; every call below asks it for the time that remains.
"""

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
