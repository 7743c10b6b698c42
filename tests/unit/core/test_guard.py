"""Claims about `Guard`: the parts in their order, with real timeouts kept short."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from core.clock import SystemClock
from core.errors import (
    Conflict,
    DependencyError,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NotFound,
    RateLimited,
    ValidationFailed,
)
from core.resilience.breaker import BreakerPolicy, CircuitState
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy

ONCE = RetryPolicy(attempts=1)
BREAKER = BreakerPolicy(minimum_calls=4, trial_calls=1, shortest_open_seconds=0.05, longest_open_seconds=0.05)


class Observer:
    def __init__(self) -> None:
        self.verdicts: list[str] = []
        self.states: list[str] = []

    def attempt_ended(self, dependency: str, *, verdict: str, seconds: float) -> None:
        assert (dependency, seconds >= 0) == ("tickets", True)
        self.verdicts.append(verdict)

    def breaker_changed(self, dependency: str, *, state: str) -> None:
        self.states.append(state)


def guard(
    *,
    attempt_seconds: float = 0.04,
    total_seconds: float = 1.0,
    concurrency: int = 4,
    wait_seconds: float = 0.03,
    retry: RetryPolicy = ONCE,
    observer: Observer | None = None,
) -> Guard:
    policy = GuardPolicy(
        attempt_seconds=attempt_seconds,
        total_seconds=total_seconds,
        concurrency=concurrency,
        wait_seconds=wait_seconds,
        retry=retry,
        breaker=BREAKER,
    )
    return Guard("tickets", policy, clock=SystemClock(), rng=random.Random(3), observer=observer)


def raising(exc: BaseException) -> Callable[[], Awaitable[str]]:
    async def attempt() -> str:
        raise exc

    return attempt


async def silence() -> str:
    await asyncio.sleep(30)
    return "too late"


async def answer() -> str:
    return "answer"


def state_of(tickets: Guard) -> CircuitState:
    return tickets.breaker.state


async def fail(tickets: Guard, exc: Exception, *, times: int) -> None:
    for _ in range(times):
        with pytest.raises(type(exc)):
            await tickets.run(raising(exc))


async def test_a_silent_dependency_is_a_timeout_of_unknown_fate() -> None:
    with pytest.raises(DependencyTimeout) as raised:
        await guard().run(silence)

    assert raised.value.dependency == "tickets"
    assert raised.value.may_have_happened


async def test_silence_opens_the_breaker_and_then_costs_no_waiting() -> None:
    tickets = guard()
    for _ in range(4):
        with pytest.raises(DependencyTimeout):
            await tickets.run(silence)
    started = asyncio.get_running_loop().time()

    with pytest.raises(DependencyUnavailable) as refused:
        await tickets.run(silence)

    assert asyncio.get_running_loop().time() - started < 0.02
    assert refused.value.retry_after is not None


@pytest.mark.parametrize(
    "exc",
    [ExternalApiFailed("tickets"), DependencyUnavailable("tickets"), RuntimeError("new"), TimeoutError()],
    ids=lambda exc: type(exc).__name__,
)
async def test_failures_of_the_dependency_open_the_breaker_and_pass_unchanged(exc: Exception) -> None:
    tickets = guard()

    await fail(tickets, exc, times=4)

    assert state_of(tickets) is CircuitState.OPEN


@pytest.mark.parametrize(
    "exc",
    [NotFound(), Conflict(), ValidationFailed("no"), DependencyRejectedInput("tickets")],
    ids=lambda exc: type(exc).__name__,
)
async def test_a_clear_no_proves_that_the_dependency_is_alive(exc: Exception) -> None:
    tickets = guard()
    await fail(tickets, RuntimeError(), times=3)

    await fail(tickets, exc, times=8)

    assert state_of(tickets) is CircuitState.CLOSED
    await fail(tickets, RuntimeError(), times=3)
    assert state_of(tickets) is CircuitState.CLOSED


async def test_being_limited_says_neither_that_it_works_nor_that_it_fails() -> None:
    tickets = guard()
    await fail(tickets, RuntimeError(), times=3)

    await fail(tickets, RateLimited(dependency="tickets"), times=8)

    assert state_of(tickets) is CircuitState.CLOSED
    await fail(tickets, RuntimeError(), times=1)
    assert state_of(tickets) is CircuitState.OPEN


async def test_an_open_circuit_of_another_guard_inside_is_not_this_ones_failure() -> None:
    tickets = guard()

    await fail(tickets, DependencyUnavailable("sql", reason="circuit_open"), times=8)

    assert state_of(tickets) is CircuitState.CLOSED


async def test_cancelled_trials_do_not_lock_the_circuit() -> None:
    tickets = guard(attempt_seconds=5.0)
    await fail(tickets, RuntimeError(), times=4)
    for _ in range(3):
        await asyncio.sleep(0.06)
        trial = asyncio.create_task(tickets.run(silence))
        await asyncio.sleep(0.01)
        trial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trial

    assert await tickets.run(answer) == "answer"
    assert state_of(tickets) is CircuitState.CLOSED


async def test_a_call_cut_short_by_the_turns_deadline_says_nothing_about_the_dependency() -> None:
    observer = Observer()
    tickets = guard(attempt_seconds=1.0, observer=observer)
    for _ in range(6):
        with pytest.raises(DependencyTimeout):
            await tickets.run(silence, deadline=Deadline(SystemClock(), 0.01))

    assert state_of(tickets) is CircuitState.CLOSED
    assert set(observer.verdicts) == {"unproven"}


async def test_without_time_left_nothing_is_sent() -> None:
    calls = 0

    async def attempt() -> str:
        nonlocal calls
        calls += 1
        return "answer"

    with pytest.raises(DependencyTimeout) as raised:
        await guard().run(attempt, deadline=Deadline(SystemClock(), 0.0))

    assert calls == 0
    assert not raised.value.may_have_happened


async def test_repeats_end_with_the_total_deadline() -> None:
    tickets = guard(
        attempt_seconds=0.05, total_seconds=0.12, retry=RetryPolicy(attempts=50, base_seconds=0.001)
    )
    started = asyncio.get_running_loop().time()

    with pytest.raises(DependencyTimeout) as raised:
        await tickets.run(silence)

    assert asyncio.get_running_loop().time() - started < 0.3
    assert raised.value.may_have_happened


async def test_each_attempt_asks_the_breaker_so_repeats_stop_when_it_opens() -> None:
    calls = 0

    async def attempt() -> str:
        nonlocal calls
        calls += 1
        raise DependencyUnavailable("tickets")

    tickets = guard(retry=RetryPolicy(attempts=50, base_seconds=0.0001))
    with pytest.raises(DependencyUnavailable) as raised:
        await tickets.run(attempt)

    assert calls == BREAKER.minimum_calls
    assert raised.value.reason == "circuit_open"


async def test_calls_beyond_the_bulkhead_wait_and_then_are_refused() -> None:
    tickets = guard(concurrency=2, attempt_seconds=0.2)
    running = 0
    most = 0

    async def attempt() -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.1)
        running -= 1
        return "answer"

    results = await asyncio.gather(*(tickets.run(attempt) for _ in range(7)), return_exceptions=True)

    refused = [result for result in results if isinstance(result, DependencyError)]
    assert most == 2
    assert results.count("answer") == 2
    assert {result.reason for result in refused} == {"bulkhead_full"}
    assert await asyncio.gather(*(tickets.run(attempt) for _ in range(2))) == ["answer", "answer"]


async def test_a_call_that_waited_in_the_bulkhead_gets_its_place() -> None:
    tickets = guard(concurrency=1, wait_seconds=0.5, attempt_seconds=0.3)

    async def attempt() -> str:
        await asyncio.sleep(0.02)
        return "answer"

    assert await asyncio.gather(*(tickets.run(attempt) for _ in range(2))) == ["answer", "answer"]


async def test_cancelled_waiters_leave_no_trace_in_the_bulkhead() -> None:
    tickets = guard(concurrency=1, wait_seconds=5.0, attempt_seconds=5.0)
    waiting = [asyncio.create_task(tickets.run(silence)) for _ in range(2)]
    await asyncio.sleep(0.01)

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert await tickets.run(answer) == "answer"


async def test_the_observer_hears_of_every_attempt_and_state() -> None:
    observer = Observer()
    tickets = guard(observer=observer)

    await tickets.run(answer)
    await fail(tickets, RuntimeError(), times=3)

    assert observer.verdicts == ["alive", "failing", "failing", "failing"]
    assert observer.states == ["closed", "open"]
