"""
Repeat a call that may succeed the next time: with growing pauses, inside the deadline, and never so often
that the repeats become the outage.
"""

import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState

from core.clock import Clock
from core.errors import DependencyError, DependencyTimeout, ExternalApiFailed, RateLimited
from core.resilience.deadline import Deadline
from core.resilience.verdict import NOT_TRIED

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """
    The n-th pause is drawn from 0 to `base_seconds * 2**(n-1)`, `longest_seconds` at most (full jitter).
    """

    attempts: int = 3
    base_seconds: float = 0.1
    longest_seconds: float = 2.0


class RetryBudget:
    """
    Repeats of a dependency as a share of its first attempts, over all that asks it: inside turns and later, from the outbox.

    `reserve` repeats are lent in advance, so that a quiet service can repeat at all: over any number of first attempts there are
    no more repeats than the share of them, or the reserve. Saved repeats end at ten times the reserve. With a clock, one more is
    free whenever nothing was repeated for `quiet_seconds`: what is promised must not wait for customers who pay for it.
    """

    def __init__(
        self, *, share: float = 0.2, reserve: int = 5, clock: Clock | None = None, quiet_seconds: float = 10.0
    ) -> None:
        self._share = share
        self._most = reserve * 10.0
        self._balance = self._lent = float(reserve)
        self._clock = clock
        self._quiet_seconds = quiet_seconds
        self._withdrawn_at = -math.inf

    def deposit(self) -> None:
        if self._lent > 0.0:
            self._lent -= self._share
        else:
            self._balance = min(self._most, self._balance + self._share)

    def withdraw(self) -> bool:
        # Ten deposits of a fifth are a little less than two.
        has_one = self._balance >= 1.0 - 1e-9
        if has_one:
            self._balance -= 1.0
        elif self._clock is None or self._clock.monotonic() - self._withdrawn_at < self._quiet_seconds:
            return False
        if self._clock is not None:
            self._withdrawn_at = self._clock.monotonic()
        return True

    def refund(self) -> None:
        """The repeat succeeded, so it was no burden: what waits behind it may follow at once."""
        self._balance = min(self._most, self._balance + 1.0)


def may_repeat_after(exc: BaseException, *, may_repeat: bool) -> bool:
    """
    Whether the same call may be made again after this failure.

    A refusal for too many calls was not carried out, so it may always be repeated; a call whose fate is
    unknown only where a repeat does no harm (`may_repeat`). What nobody foresaw is not repeated.
    """
    match exc:
        case RateLimited():
            return True
        # 501 and 505 say what the server cannot do, today or tomorrow; a 408, too, is a 4xx, which is not sent again at once.
        case (
            DependencyError(may_retry=False)
            | ExternalApiFailed(answered_status=501 | 505)
            | DependencyTimeout(reason="request_timeout")
        ):
            return False
        case DependencyError(reason=reason) if reason in NOT_TRIED:
            return False
        case DependencyError(may_have_happened=True):
            return may_repeat
        case DependencyError():
            return True
        case _:
            return False


async def retry_with_backoff(
    attempt: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy,
    clock: Clock,
    rng: random.Random,
    budget: RetryBudget,
    deadline: Deadline | None = None,
    may_repeat: bool = True,
    is_repeat: bool = False,
    on_repeat: Callable[[int, float, BaseException], None] | None = None,
) -> T:
    """
    The result of `attempt`, or what its last try raised. `is_repeat`: it was tried before, so it pays nothing in.

    A pause that would outlive the deadline is not begun: the failure is raised at once. `on_repeat` hears the
    number of the failed try, the pause in seconds and the failure.
    """
    if not is_repeat:
        budget.deposit()
    try:
        return await attempt()
    except Exception as exc:
        if policy.attempts <= 1 or not may_repeat_after(exc, may_repeat=may_repeat):
            raise
        failure: Exception | None = exc
    plan = _Plan(
        policy, rng=rng, budget=budget, deadline=deadline, may_repeat=may_repeat, on_repeat=on_repeat
    )

    async def try_again() -> T:
        # tenacity costs 30 µs a call, so it is asked only after a failure, and is told of that first.
        nonlocal failure
        if failure is not None:
            exc, failure = failure, None
            raise exc
        return await attempt()

    try:
        return await AsyncRetrying(
            sleep=clock.sleep,
            retry=plan.is_worth_it,
            wait=plan.pause,
            stop=plan.is_over,
            before_sleep=plan.announce,
            reraise=True,
        )(try_again)
    except (DependencyError, RateLimited) as exc:
        # "Not even sent" about the last try must not hide that an earlier one may have been carried out.
        if plan.unsure is not None and _was_not_carried_out(exc):
            raise plan.unsure from exc
        raise


def _was_not_carried_out(exc: DependencyError | RateLimited) -> bool:
    return isinstance(exc, RateLimited) or (exc.may_retry and not exc.may_have_happened)


class _Plan:
    """The answers that tenacity asks for, in the order in which it asks: worth it? how long? enough?"""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        rng: random.Random,
        budget: RetryBudget,
        deadline: Deadline | None,
        may_repeat: bool,
        on_repeat: Callable[[int, float, BaseException], None] | None,
    ) -> None:
        self._policy = policy
        self._rng = rng
        self._budget = budget
        self._deadline = deadline
        self._may_repeat = may_repeat
        self._on_repeat = on_repeat
        self.unsure: DependencyError | None = None
        """The latest failure after which the call may have been carried out all the same."""

    def is_worth_it(self, call: RetryCallState) -> bool:
        exc = _failure(call)
        if isinstance(exc, DependencyError) and exc.may_have_happened:
            self.unsure = exc
        return exc is not None and may_repeat_after(exc, may_repeat=self._may_repeat)

    def pause(self, call: RetryCallState) -> float:
        # The exponent is capped because attempts come from settings, and floats end at 2**1023.
        ceiling = self._policy.base_seconds * 2.0 ** min(call.attempt_number - 1, 30)
        drawn = self._rng.uniform(0.0, min(ceiling, self._policy.longest_seconds))
        exc = _failure(call)
        if isinstance(exc, RateLimited | DependencyError) and exc.retry_after is not None:
            # Everybody was told the same time, so some of the jitter goes on top.
            return exc.retry_after + drawn
        return drawn

    def is_over(self, call: RetryCallState) -> bool:
        if call.attempt_number >= self._policy.attempts:
            return True
        if self._deadline is not None and call.upcoming_sleep >= self._deadline.remaining():
            return True
        return not self._budget.withdraw()

    def announce(self, call: RetryCallState) -> None:
        exc = _failure(call)
        if self._on_repeat is not None and exc is not None:
            self._on_repeat(call.attempt_number, call.upcoming_sleep, exc)


def _failure(call: RetryCallState) -> BaseException | None:
    return call.outcome.exception() if call.outcome is not None else None
