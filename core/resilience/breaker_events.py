"""
What a circuit breaker tells beside its changes of state: each call's end, each refusal, each rate that is reached, and counts.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from core.resilience.windows import CallWindow


class CallResult(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABANDONED = "abandoned"


class Rate(StrEnum):
    FAILURE = "failure"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class CallEnded:
    """
    `is_counted` is False where the circuit has changed since the call began, where the call was abandoned, and where nothing
    is counted (a disabled breaker).
    """

    name: str
    result: CallResult
    seconds: float
    is_slow: bool
    is_counted: bool


@dataclass(frozen=True, slots=True)
class CallRefused:
    """`retry_after` as on the error that the caller got."""

    name: str
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class RateReached:
    """
    A rate reached its limit. The circuit opens with it, but for one that only measures: that one tells it again when the rate
    has been below the limit in between.
    """

    name: str
    kind: Rate
    rate: float
    calls: int


BreakerEvent = CallEnded | CallRefused | RateReached


@dataclass(frozen=True, slots=True)
class BreakerCounts:
    """
    What the breaker has before its eyes: of the window while it lets calls through, of the trials while it is half-open.
    `refused` counts from the last change of state. A rate is None below the calls that it takes to judge.
    """

    calls: int
    failures: int
    slow: int
    refused: int
    failure_rate: float | None
    slow_rate: float | None

    @classmethod
    def of(cls, seen: CallWindow, *, enough: int, refused: int) -> Self:
        is_enough = seen.calls >= enough
        return cls(
            calls=seen.calls,
            failures=seen.failures,
            slow=seen.slow,
            refused=refused,
            failure_rate=seen.failures / seen.calls if is_enough else None,
            slow_rate=seen.slow / seen.calls if is_enough else None,
        )


def rates_reached(seen: CallWindow, *, failure: float, slow: float) -> dict[Rate, float]:
    """Those that are as high as their limit or higher. There are calls in the window."""
    rates = {Rate.FAILURE: (seen.failures, failure), Rate.SLOW: (seen.slow, slow)}
    return {rate: count / seen.calls for rate, (count, limit) in rates.items() if count >= limit * seen.calls}
