"""
One guard per named dependency: bulkhead > total deadline > retry > breaker > attempt timeout.

Puts the parts together and keeps none of their rules.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from core.clock import Clock
from core.errors import DependencyTimeout, DependencyUnavailable
from core.explanation import count_attempt, note
from core.resilience.breaker import BreakerPolicy, CircuitBreaker, Permit
from core.resilience.bulkhead import Bulkhead
from core.resilience.deadline import Deadline, time_left
from core.resilience.interference import Interference, reached
from core.resilience.retry import RetryBudget, RetryPolicy, retry_with_backoff
from core.resilience.timelimit import TimeLimit
from core.resilience.verdict import Verdict, verdict_on
from core.telemetry.logging import get_logger

T = TypeVar("T")

_log = get_logger(__name__)

_FAIR_SHARE = 0.5
"""
A call that the turn's deadline cut off before this share of its attempt timeout says nothing about the
dependency.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPolicy:
    """
    Limits for one dependency; the defaults suit a call that a chatting customer waits for.

    `concurrency` calls run at once; as many again wait up to `wait_seconds` for a place.
    """

    attempt_seconds: float = 2.0
    total_seconds: float = 6.0
    concurrency: int = 64
    wait_seconds: float = 0.5
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


class GuardObserver(Protocol):
    """Hears of every attempt and every state of the breaker. `core.telemetry.metrics` implements it."""

    def attempt_ended(self, dependency: str, *, verdict: str, seconds: float) -> None: ...

    def breaker_changed(self, dependency: str, *, state: str) -> None: ...


class Guard:
    """
    `retry_budget` is its own where none is given: calls that succeed elsewhere must not pay for repeats of this dependency.
    """

    def __init__(
        self,
        name: str,
        policy: GuardPolicy,
        *,
        clock: Clock,
        rng: random.Random,
        retry_budget: RetryBudget | None = None,
        observer: GuardObserver | None = None,
        interference: Interference | None = None,
    ) -> None:
        self.name = name
        self.policy = policy
        self.breaker = CircuitBreaker(name, policy.breaker, clock=clock, rng=rng)
        self._clock = clock
        self._rng = rng
        self._budget = retry_budget if retry_budget is not None else RetryBudget(clock=clock)
        self._observer = observer
        self._interference = interference
        self._bulkhead = Bulkhead(name, concurrency=policy.concurrency, wait_seconds=policy.wait_seconds)
        if observer is not None:
            observer.breaker_changed(name, state=self.breaker.state)
            self.breaker.subscribe(lambda change: observer.breaker_changed(name, state=change.after))

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        deadline: Deadline | None = None,
        may_repeat: bool = True,
        is_repeat: bool = False,
    ) -> T:
        """
        The result of `attempt`, which is called once per try, and ends with `deadline` and with the one that lies over this task
        (`core.resilience.deadline.within`). `may_repeat` says that doing it twice does no harm; `is_repeat` that this call was
        made or refused before, so that it is paid for from the budget for repeats.

        Raises:
            DependencyUnavailable: the breaker is open, the bulkhead full or the budget for repeats used up: nothing was sent.
            DependencyTimeout: no answer in time. `may_have_happened` is False only when there was no time
                left to begin.
            Exception: whatever the last attempt raised.
        """
        total_seconds = time_left(self.policy.total_seconds)
        if deadline is not None:
            total_seconds = min(total_seconds, deadline.remaining())
        total = Deadline(self._clock, total_seconds)
        await self._bulkhead.enter(within_seconds=total_seconds)
        try:
            return await retry_with_backoff(
                partial(self._pay_and_try if is_repeat else self._try_once, attempt, total),
                policy=self.policy.retry,
                clock=self._clock,
                rng=self._rng,
                budget=self._budget,
                deadline=total,
                may_repeat=may_repeat,
                is_repeat=is_repeat,
                on_repeat=self._announce_repeat,
            )
        finally:
            self._bulkhead.leave()

    async def _pay_and_try(self, attempt: Callable[[], Awaitable[T]], total: Deadline) -> T:
        if self.breaker.may_be_tried and not self._budget.withdraw():
            raise DependencyUnavailable(
                self.name, f"{self.name}: enough is being repeated already", reason="retry_budget"
            )
        result = await self._try_once(attempt, total)
        self._budget.refund()
        return result

    async def _try_once(self, attempt: Callable[[], Awaitable[T]], total: Deadline) -> T:
        seconds = min(self.policy.attempt_seconds, total.remaining())
        if seconds <= 0.0:
            raise DependencyTimeout(self.name, f"{self.name}: no time left to ask", reason="deadline")
        permit = self.breaker.acquire()
        try:
            with TimeLimit(seconds) as limit:
                result = await reached(self._interference, self.name, attempt)
        except TimeoutError as exc:
            if not limit.has_passed:
                self._failed(permit, exc, seconds)
                raise
            late = DependencyTimeout(
                self.name, f"{self.name}: no answer within {seconds:.3g} s", may_have_happened=True
            )
            self._failed(permit, late, seconds)
            raise late from exc
        except BaseException as exc:
            self._failed(permit, exc, seconds)
            raise
        permit.succeeded()
        count_attempt(self.name)
        self._tell(permit, Verdict.ALIVE)
        return result

    def _failed(self, permit: Permit, exc: BaseException, seconds: float) -> None:
        verdict = verdict_on(exc)
        if isinstance(exc, DependencyTimeout) and seconds < _FAIR_SHARE * self.policy.attempt_seconds:
            verdict = Verdict.UNPROVEN
        match verdict:
            case Verdict.ALIVE:
                permit.succeeded()
            case Verdict.FAILING:
                permit.failed()
            case Verdict.UNPROVEN:
                permit.give_back()
        count_attempt(self.name)
        note("attempt_failed", dependency=self.name, error=type(exc).__name__, breaker=self.breaker.state)
        self._tell(permit, verdict)

    def _tell(self, permit: Permit, verdict: Verdict) -> None:
        if self._observer is not None:
            took = self._clock.monotonic() - permit.started_at
            self._observer.attempt_ended(self.name, verdict=verdict, seconds=took)

    def _announce_repeat(self, attempt: int, wait_seconds: float, exc: BaseException) -> None:
        _log.info(
            "guard.retry_scheduled",
            dependency=self.name,
            attempt=attempt,
            wait_seconds=round(wait_seconds, 3),
            error=type(exc).__name__,
        )
        note("repeat", dependency=self.name, after_attempt=attempt, wait_seconds=round(wait_seconds, 3))
