"""
Decide whether a call to a dependency may start.

Knows nothing about retries, tools or HTTP: `core.resilience.guard` puts those together. What it counts in stands in
`core.resilience.windows`, what else it tells in `core.resilience.breaker_events`.
"""

import math
import random
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from core.clock import Clock
from core.errors import DependencyUnavailable
from core.resilience.breaker_events import (
    BreakerCounts,
    BreakerEvent,
    CallEnded,
    CallRefused,
    CallResult,
    Rate,
    RateReached,
    rates_reached,
)
from core.resilience.windows import CallWindow, CountWindow, TimeWindow
from core.telemetry.logging import get_logger

T = TypeVar("T")

_log = get_logger(__name__)


class CircuitState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    ISOLATED = "isolated"
    """Opened by a person, and closed again by nobody else."""
    DISABLED = "disabled"
    """Lets every call through and counts none, until a person closes it."""
    METRICS_ONLY = "metrics_only"
    """Lets every call through, counts and tells, and never opens, until a person closes it."""


_LETTING_THROUGH = frozenset({CircuitState.CLOSED, CircuitState.DISABLED, CircuitState.METRICS_ONLY})


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """
    When a circuit opens and how it finds back.

    Rates are shares of the calls that ended in the last `window_seconds`, or of the last `window_calls` where that is given,
    looked at from `minimum_calls` on. A success opens nothing (Polly's rule), unless `success_may_open`: then each end of a
    call is looked at (resilience4j's rule), and the first calls of a process can open the circuit with a success.

    The first time it stays open for `shortest_open_seconds` up to twice that, each time that the trial calls
    fail for up to twice as long again, `longest_open_seconds` at most: replicas that failed together do not
    come back together. A trial call that takes longer than `trial_seconds` counts as failed. Of `trial_calls`, as many are
    waited for as it takes to judge: all, or `minimum_calls` where that is fewer.
    """

    window_seconds: float = 10.0
    window_calls: int | None = None
    minimum_calls: int = 5
    failure_rate: float = 0.5
    slow_call_seconds: float = math.inf
    slow_call_rate: float = 1.0
    success_may_open: bool = False
    trial_calls: int = 2
    trial_seconds: float = 10.0
    shortest_open_seconds: float = 1.0
    longest_open_seconds: float = 5.0
    starts_as: CircuitState = CircuitState.CLOSED


@dataclass(frozen=True, slots=True)
class CircuitChange:
    name: str
    before: CircuitState
    after: CircuitState


class Permit:
    """The right to make one call. Say once how it ended; `give_back` afterwards does nothing, so it belongs in `finally`."""

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
        self._state = policy.starts_as
        self._lets_all_through = self._state in _LETTING_THROUGH
        self._generation = 0
        size = policy.window_calls
        # What can never be full is looked at when it is full.
        self._enough = policy.minimum_calls if size is None else min(policy.minimum_calls, size)
        self._enough_trials = min(policy.minimum_calls, policy.trial_calls)
        self._window: CallWindow = TimeWindow(policy.window_seconds) if size is None else CountWindow(size)
        self._trial_results: CallWindow = CountWindow(policy.trial_calls)
        self._open_until = 0.0
        self._openings = 0
        self._refused = 0
        self._trials: set[Permit] = set()
        self._reached: Set[Rate] = frozenset()
        self._on_change: list[Callable[[CircuitChange], None]] = []
        self._on_event: list[Callable[[BreakerEvent], None]] = []

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

    @property
    def counts(self) -> BreakerCounts:
        is_trying = self._state is CircuitState.HALF_OPEN
        seen, enough = (
            (self._trial_results, self._enough_trials) if is_trying else (self._window, self._enough)
        )
        seen.expire(self._clock.monotonic())
        return BreakerCounts.of(seen, enough=enough, refused=self._refused)

    def subscribe(self, listener: Callable[[CircuitChange], None]) -> None:
        """`listener` hears every change of state, after it has happened, in the order of subscription."""
        self._on_change.append(listener)

    def listen(self, listener: Callable[[BreakerEvent], None]) -> None:
        """`listener` hears how each call ended, each refusal, and each rate that is reached, before what comes of it."""
        self._on_event.append(listener)

    def acquire(self) -> Permit:
        """
        Raises:
            DependencyUnavailable: with `reason="circuit_open"` and the seconds after which asking again makes
                sense.
        """
        now = self._clock.monotonic()
        if self._lets_all_through:
            return Permit(self, self._generation, now)
        if self._state is CircuitState.OPEN and now >= self._open_until:
            self._become(CircuitState.HALF_OPEN)
        if self._state is CircuitState.HALF_OPEN:
            self._reopen_if_a_trial_is_overdue(now)
        if self._state is CircuitState.HALF_OPEN and self._has_room_for_a_trial():
            permit = Permit(self, self._generation, now)
            self._trials.add(permit)
            return permit
        self._refused += 1
        retry_after = self._retry_after(now)
        if self._on_event:
            self._tell(self._on_event, CallRefused(self.name, retry_after))
        raise DependencyUnavailable(
            self.name,
            f"{self.name}: circuit is {self._state}",
            reason="circuit_open",
            retry_after=retry_after,
        )

    def isolate(self) -> None:
        """Refuse every call until `close`."""
        self._become(CircuitState.ISOLATED)

    def disable(self) -> None:
        """Let every call through, whatever becomes of it, until `close`."""
        self._become(CircuitState.DISABLED)

    def only_measure(self) -> None:
        """Count and tell, but let every call through, until `close`."""
        self._become(CircuitState.METRICS_ONLY)

    def close(self) -> None:
        """Let every call through again and forget what was counted."""
        self._openings = 0
        self._become(CircuitState.CLOSED)

    def reset(self) -> None:
        """Be as at the start: closed, unless the policy says otherwise."""
        self._openings = 0
        self._become(self.policy.starts_as)

    def try_again(self) -> None:
        """Let trial calls through before the open time is over, because something else proved the dependency alive."""
        if self._state is CircuitState.OPEN:
            self._become(CircuitState.HALF_OPEN)

    def _ended(self, permit: Permit, *, is_failure: bool) -> None:
        now = self._clock.monotonic()
        seconds = now - permit.started_at
        is_slow = seconds >= self.policy.slow_call_seconds
        is_counted = permit.generation == self._generation and self._state is not CircuitState.DISABLED
        if self._on_event:
            result = CallResult.FAILED if is_failure else CallResult.SUCCEEDED
            self._tell(self._on_event, CallEnded(self.name, result, seconds, is_slow, is_counted))
        # Asked again, because a listener may have changed the state.
        if not is_counted or permit.generation != self._generation:
            return
        if self._lets_all_through:
            window = self._window
            window.add(now, is_failure=is_failure, is_slow=is_slow)
            is_looked_at = is_failure or is_slow or self.policy.success_may_open or self._reached
            if is_looked_at and self._is_bad(window, self._enough) and self._state is CircuitState.CLOSED:
                self._open(now)
            return
        self._trials.discard(permit)
        is_late = seconds > self.policy.trial_seconds
        self._trial_results.add(now, is_failure=is_failure or is_late, is_slow=is_slow)
        is_bad = self._is_bad(self._trial_results, self._enough_trials)
        if self._state is not CircuitState.HALF_OPEN:
            return
        if is_bad:
            self._open(now)
        elif self._trial_results.calls >= self._enough_trials:
            self.close()

    def _abandoned(self, permit: Permit) -> None:
        if permit.generation == self._generation:
            self._trials.discard(permit)
        if self._on_event:
            seconds = self._clock.monotonic() - permit.started_at
            is_slow = seconds >= self.policy.slow_call_seconds
            self._tell(
                self._on_event, CallEnded(self.name, CallResult.ABANDONED, seconds, is_slow, is_counted=False)
            )

    def _is_bad(self, seen: CallWindow, enough: int) -> bool:
        calls = seen.calls
        if calls < enough:
            return False
        reached = rates_reached(seen, failure=self.policy.failure_rate, slow=self.policy.slow_call_rate)
        before, self._reached = self._reached, reached.keys()
        for rate in sorted(reached.keys() - before):
            share = reached[rate]
            _log.warning("breaker.rate_reached", dependency=self.name, kind=rate, rate=share, calls=calls)
            self._tell(self._on_event, RateReached(self.name, rate, share, calls))
        return bool(reached)

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
        self._lets_all_through = state in _LETTING_THROUGH
        self._generation += 1
        self._refused = 0
        self._window.clear()
        self._trials.clear()
        self._trial_results.clear()
        self._reached = frozenset()
        if before is state:
            return
        self._tell(self._on_change, CircuitChange(self.name, before, state))

    def _tell(self, listeners: Sequence[Callable[[T], None]], said: T) -> None:
        for listener in listeners:
            try:
                listener(said)
            except Exception as exc:  # a broken listener must not fail the customer's call
                _log.error("breaker.listener_failed", dependency=self.name, exc_info=exc)
