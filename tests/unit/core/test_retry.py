"""Claims about `retry_with_backoff`, its budget, and which failures are repeated at all."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from core.errors import (
    CarelineError,
    ConcurrentAccess,
    Conflict,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    NotFound,
    RateLimited,
    StateLoadFailed,
    ValidationFailed,
)
from core.resilience.deadline import Deadline
from core.resilience.retry import RetryBudget, RetryPolicy, may_repeat_after, retry_with_backoff
from tests.fakes import FakeClock

POLICY = RetryPolicy(attempts=4, base_seconds=0.1, longest_seconds=2.0)


class Dependency:
    """Fails with the given errors, one a call, then answers."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


async def finish(clock: FakeClock, work: Awaitable[str], *, seconds: float = 60.0) -> str:
    task = asyncio.ensure_future(work)
    await clock.run_for(seconds)
    assert task.done()
    return task.result()


def retry(
    dependency: Callable[[], Awaitable[str]],
    clock: FakeClock,
    *,
    seed: int = 1,
    budget: RetryBudget | None = None,
    deadline: Deadline | None = None,
    may_repeat: bool = True,
    pauses: list[float] | None = None,
) -> Awaitable[str]:
    def note(_: int, wait_seconds: float, __: BaseException) -> None:
        if pauses is not None:
            pauses.append(wait_seconds)

    return retry_with_backoff(
        dependency,
        policy=POLICY,
        clock=clock,
        rng=random.Random(seed),
        budget=budget or RetryBudget(),
        deadline=deadline,
        may_repeat=may_repeat,
        on_repeat=note,
    )


UNAVAILABLE = DependencyUnavailable("tickets")
NEVER: list[BaseException] = [
    NotFound(),
    Conflict(),
    ConcurrentAccess(),
    ValidationFailed("no"),
    DependencyRejectedInput("tickets"),
    DependencyRefusedUs("tickets"),
    DependencyUnavailable("tickets", reason="circuit_open", retry_after=0.0),
    DependencyUnavailable("tickets", reason="bulkhead_full"),
    DependencyTimeout("tickets", reason="request_timeout"),
    StateLoadFailed(),
    RuntimeError("unforeseen"),
    asyncio.CancelledError(),
]


@pytest.mark.parametrize(
    "failure", NEVER, ids=lambda exc: f"{type(exc).__name__}-{getattr(exc, 'reason', '')}"
)
async def test_what_a_repeat_cannot_help_is_raised_at_once(failure: BaseException) -> None:
    dependency = Dependency(failure)

    with pytest.raises(type(failure)):
        await retry(dependency, FakeClock())

    assert dependency.calls == 1


@pytest.mark.parametrize(
    "failure",
    [
        UNAVAILABLE,
        NetworkFailed("tickets"),
        DependencyTimeout("tickets"),
        ExternalApiFailed("tickets", answered_status=502),
        RateLimited(dependency="tickets"),
    ],
    ids=lambda exc: type(exc).__name__,
)
async def test_what_passes_is_repeated(failure: CarelineError) -> None:
    dependency = Dependency(failure, failure)

    answer = await finish(clock := FakeClock(), retry(dependency, clock))

    assert (answer, dependency.calls) == ("answer", 3)


async def test_the_last_failure_is_raised_when_attempts_are_used_up() -> None:
    failures = [DependencyUnavailable("tickets", f"number {n}") for n in range(1, 9)]
    dependency = Dependency(*failures)

    with pytest.raises(DependencyUnavailable, match="number 4"):
        await finish(clock := FakeClock(), retry(dependency, clock))

    assert dependency.calls == POLICY.attempts


async def test_a_call_of_unknown_fate_is_not_repeated_where_that_does_harm() -> None:
    dependency = Dependency(DependencyTimeout("tickets", may_have_happened=True))

    with pytest.raises(DependencyTimeout):
        await retry(dependency, FakeClock(), may_repeat=False)

    assert dependency.calls == 1


async def test_a_call_of_unknown_fate_is_repeated_where_that_does_no_harm() -> None:
    dependency = Dependency(DependencyTimeout("tickets", may_have_happened=True))

    answer = await finish(clock := FakeClock(), retry(dependency, clock, may_repeat=True))

    assert (answer, dependency.calls) == ("answer", 2)


async def test_a_refusal_for_too_many_calls_is_repeated_even_with_effects() -> None:
    dependency = Dependency(RateLimited(dependency="tickets", retry_after=1.0))

    answer = await finish(clock := FakeClock(), retry(dependency, clock, may_repeat=False))

    assert (answer, dependency.calls) == ("answer", 2)


@pytest.mark.parametrize(
    "last",
    [
        DependencyUnavailable("tickets", reason="circuit_open"),
        RateLimited(dependency="tickets", retry_after=99.0),
        DependencyTimeout("tickets", reason="deadline"),
    ],
    ids=["circuit_open", "rate_limited", "deadline"],
)
async def test_a_last_try_that_was_never_made_does_not_hide_an_earlier_one_of_unknown_fate(
    last: CarelineError,
) -> None:
    dependency = Dependency(DependencyTimeout("tickets", may_have_happened=True), last, last, last)
    clock = FakeClock()

    with pytest.raises(DependencyTimeout) as raised:
        await finish(clock, retry(dependency, clock, deadline=Deadline(clock, 10.0)))

    assert raised.value.may_have_happened


async def test_a_clear_answer_after_a_call_of_unknown_fate_is_believed() -> None:
    dependency = Dependency(DependencyTimeout("tickets", may_have_happened=True), Conflict("there already"))

    with pytest.raises(Conflict):
        await finish(clock := FakeClock(), retry(dependency, clock))


async def test_pauses_are_drawn_from_zero_to_a_doubling_ceiling() -> None:
    all_pauses: list[list[float]] = []
    for seed in range(60):
        pauses: list[float] = []
        dependency = Dependency(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
        await finish(clock := FakeClock(), retry(dependency, clock, seed=seed, pauses=pauses))
        all_pauses.append(pauses)

    for n, ceiling in enumerate([0.1, 0.2, 0.4]):
        drawn = [pauses[n] for pauses in all_pauses]
        assert 0 <= min(drawn) < ceiling * 0.2
        assert ceiling * 0.8 < max(drawn) <= ceiling


@pytest.mark.parametrize(
    "failure",
    [RateLimited(dependency="tickets", retry_after=3.0), DependencyUnavailable("tickets", retry_after=3.0)],
    ids=["429", "503"],
)
async def test_it_waits_as_long_as_the_other_side_asks(failure: CarelineError) -> None:
    dependency = Dependency(failure)
    clock = FakeClock()

    task = asyncio.ensure_future(retry(dependency, clock))
    await clock.run_for(2.9)
    assert dependency.calls == 1
    await clock.run_for(0.3)

    assert dependency.calls == 2
    assert await task == "answer"


async def test_a_pause_that_would_outlive_the_deadline_is_not_begun() -> None:
    clock = FakeClock()
    dependency = Dependency(RateLimited(dependency="tickets", retry_after=5.0))

    with pytest.raises(RateLimited):
        await retry(dependency, clock, deadline=Deadline(clock, 4.9))

    assert dependency.calls == 1


async def test_repeats_of_a_dependency_that_always_fails_stay_within_the_shared_budget() -> None:
    budget = RetryBudget(share=0.2, reserve=5)
    clock = FakeClock()
    calls = 0

    async def always_down() -> str:
        nonlocal calls
        calls += 1
        raise DependencyUnavailable("model")

    for _ in range(500):
        with pytest.raises(DependencyUnavailable):
            await finish(clock, retry(always_down, clock, budget=budget), seconds=5.0)

    assert 1.15 <= calls / 500 <= 1.2


def test_a_budget_saves_up_only_so_much() -> None:
    budget = RetryBudget(share=0.2, reserve=2)
    for _ in range(10_000):
        budget.deposit()

    assert sum(budget.withdraw() for _ in range(100)) == 20


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_the_end_of_the_program_is_not_repeated(failure: BaseException) -> None:
    assert not may_repeat_after(failure, may_repeat=True)
