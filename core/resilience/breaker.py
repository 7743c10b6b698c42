"""
Decide whether a call to a dependency may start.

Knows nothing about retries, tools or HTTP: `core.resilience.guard` puts those together.
"""

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from core.clock import Clock
from core.errors import DependencyUnavailable
from core.telemetry.logging import get_logger

_log = get_logger(__name__)

_WINDOW_BUCKETS = 10


class CircuitState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    ISOLATED = "isolated"
    """Opened by a person, and closed again by nobody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """
    When a circuit opens and how it finds back.

    Rates are shares of the calls that ended in the last `window_seconds`, looked at from `minimum_calls` on.
    The first time it stays open for `shortest_open_seconds` up to twice that, each time that the trial calls
    fail for up to twice as long again, `longest_open_seconds` at most: replicas that failed together do not
    come back together. A trial call that takes longer than `trial_seconds` counts as failed.
    """

    window_seconds: float = 10.0
    minimum_calls: int = 5
    failure_rate: float = 0.5
    slow_call_seconds: float = math.inf
    slow_call_rate: float = 1.0
    trial_calls: int = 2
    trial_seconds: float = 10.0
    shortest_open_seconds: float = 1.0
    longest_open_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class CircuitChange:
    name: str
    before: CircuitState
    after: CircuitState


class Permit:
    """
    The right to make one call. Say once how it ended; `give_back` afterwards does nothing, so it belongs in
    `finally`.
    """

    __slots__ = ("_breaker", "_is_used", "generation", "started_at")

    def __init__(self, breaker: "CircuitBreaker", generation: int, started_at: float) -> None:
        self._breaker = breaker
        self.generation = generation
        self.started_at = started_at
        self._is_used = False

    def succeeded(self) -> None:
        if not self._is_used:
            self._is_used = True
            self._breaker._ended(self, is_failure=False)

    def failed(self) -> None:
        if not self._is_used:
            self._is_used = True
            self._breaker._ended(self, is_failure=True)

    def give_back(self) -> None:
        """The call was abandoned, which proves nothing."""
        if not self._is_used:
            self._is_used = True
            self._breaker._abandoned(self)


class _Window:
    """Counts of the calls that ended lately, in steps of a tenth of the window."""

    __slots__ = ("_buckets", "_step_seconds", "calls", "failures", "slow")

    def __init__(self, seconds: float) -> None:
        self._step_seconds = seconds / _WINDOW_BUCKETS
        self._buckets: deque[list[int]] = deque()
        self.clear()

    def clear(self) -> None:
        self._buckets.clear()
        self.calls = self.failures = self.slow = 0

    def add(self, now: float, *, is_failure: bool, is_slow: bool) -> None:
        step = int(now / self._step_seconds)
        buckets = self._buckets
        if not buckets or buckets[-1][0] != step:
            while buckets and buckets[0][0] <= step - _WINDOW_BUCKETS:
                _, calls, failures, slow = buckets.popleft()
                self.calls -= calls
                self.failures -= failures
                self.slow -= slow
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


class CircuitBreaker:
    """
    One circuit for one dependency. Not for several threads.

    Every change of state begins a new generation; the result of a call from an earlier one is dropped, so a
    late success cannot close a circuit that has opened since.
    """

    def __init__(self, name: str, policy: BreakerPolicy, *, clock: Clock, rng: random.Random) -> None:
        self.name = name
        self.policy = policy
        self._clock = clock
        self._rng = rng
        self._state = CircuitState.CLOSED
        self._generation = 0
        self._window = _Window(policy.window_seconds)
        self._open_until = 0.0
        self._openings = 0
        self._trials: set[Permit] = set()
        self._trial_results = _TrialResults()
        self._listeners: list[Callable[[CircuitChange], None]] = []

    @property
    def state(self) -> CircuitState:
        """As of the last call: an open circuit becomes half-open when somebody asks after its time."""
        return self._state

    @property
    def is_open(self) -> bool:
        return self._state in (CircuitState.OPEN, CircuitState.ISOLATED)

    @property
    def may_be_tried(self) -> bool:
        """Whether the next call would be let through, or only waits for others that try."""
        if self._state is CircuitState.OPEN:
            return self._clock.monotonic() >= self._open_until
        return self._state is not CircuitState.ISOLATED

    def subscribe(self, listener: Callable[[CircuitChange], None]) -> None:
        """`listener` hears every change of state, after it has happened, in the order of subscription."""
        self._listeners.append(listener)

    def acquire(self) -> Permit:
        """
        Raises:
            DependencyUnavailable: with `reason="circuit_open"` and the seconds after which asking again makes
                sense.
        """
        now = self._clock.monotonic()
        if self._state is CircuitState.CLOSED:
            return Permit(self, self._generation, now)
        if self._state is CircuitState.OPEN and now >= self._open_until:
            self._become(CircuitState.HALF_OPEN)
        if self._state is CircuitState.HALF_OPEN:
            self._reopen_if_a_trial_is_overdue(now)
        if self._state is CircuitState.HALF_OPEN and self._has_room_for_a_trial():
            permit = Permit(self, self._generation, now)
            self._trials.add(permit)
            return permit
        raise DependencyUnavailable(
            self.name,
            f"{self.name}: circuit is {self._state}",
            reason="circuit_open",
            retry_after=self._retry_after(now),
        )

    def isolate(self) -> None:
        """Refuse every call until `close`."""
        self._become(CircuitState.ISOLATED)

    def close(self) -> None:
        """Let every call through again and forget what was counted."""
        self._openings = 0
        self._become(CircuitState.CLOSED)

    def try_again(self) -> None:
        """
        Let trial calls through before the open time is over, because something else proved the dependency
        alive.
        """
        if self._state is CircuitState.OPEN:
            self._become(CircuitState.HALF_OPEN)

    def _ended(self, permit: Permit, *, is_failure: bool) -> None:
        if permit.generation != self._generation:
            return
        now = self._clock.monotonic()
        seconds = now - permit.started_at
        is_slow = seconds >= self.policy.slow_call_seconds
        if self._state is CircuitState.CLOSED:
            self._window.add(now, is_failure=is_failure, is_slow=is_slow)
            if (is_failure or is_slow) and self._is_bad(
                self._window.calls, self._window.failures, self._window.slow, self.policy.minimum_calls
            ):
                self._open(now)
        elif self._state is CircuitState.HALF_OPEN:
            self._trials.discard(permit)
            results = self._trial_results
            results.calls += 1
            results.failures += is_failure or seconds > self.policy.trial_seconds
            results.slow += is_slow
            if results.calls >= self.policy.trial_calls:
                if self._is_bad(results.calls, results.failures, results.slow, 1):
                    self._open(now)
                else:
                    self.close()

    def _abandoned(self, permit: Permit) -> None:
        if permit.generation == self._generation:
            self._trials.discard(permit)

    def _is_bad(self, calls: int, failures: int, slow: int, minimum_calls: int) -> bool:
        if calls < minimum_calls:
            return False
        return failures >= self.policy.failure_rate * calls or slow >= self.policy.slow_call_rate * calls

    def _has_room_for_a_trial(self) -> bool:
        return len(self._trials) + self._trial_results.calls < self.policy.trial_calls

    def _reopen_if_a_trial_is_overdue(self, now: float) -> None:
        if any(now - trial.started_at > self.policy.trial_seconds for trial in self._trials):
            self._open(now)

    def _open(self, now: float) -> None:
        self._openings += 1
        shortest, longest = self.policy.shortest_open_seconds, self.policy.longest_open_seconds
        # The exponent is capped because a dependency may stay away for days, and floats end at 2**1023.
        ceiling = max(shortest, min(longest, shortest * 2.0 ** min(self._openings, 30)))
        self._open_until = now + self._rng.uniform(shortest, ceiling)
        self._become(CircuitState.OPEN)

    def _retry_after(self, now: float) -> float | None:
        if self._state is CircuitState.OPEN:
            return self._open_until - now
        if self._state is CircuitState.HALF_OPEN:
            return self.policy.shortest_open_seconds
        return None

    def _become(self, state: CircuitState) -> None:
        before, self._state = self._state, state
        self._generation += 1
        self._window.clear()
        self._trials.clear()
        self._trial_results = _TrialResults()
        if before is state:
            return
        change = CircuitChange(self.name, before, state)
        for listener in self._listeners:
            try:
                listener(change)
            except Exception as exc:  # a broken listener must not fail the customer's call
                _log.error("breaker.listener_failed", dependency=self.name, exc_info=exc)


class _TrialResults:
    __slots__ = ("calls", "failures", "slow")

    def __init__(self) -> None:
        self.calls = self.failures = self.slow = 0
