"""Claims about `CircuitBreaker`: named ones first, then a state machine against a plain model."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from core.errors import DependencyUnavailable
from core.resilience.breaker import BreakerPolicy, CircuitBreaker, CircuitChange, CircuitState, Permit
from tests.fakes import FakeClock

POLICY = BreakerPolicy(
    window_seconds=10.0,
    minimum_calls=4,
    failure_rate=0.5,
    slow_call_seconds=2.0,
    slow_call_rate=0.75,
    trial_calls=2,
    trial_seconds=3.0,
    shortest_open_seconds=1.0,
    longest_open_seconds=1.0,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    return CircuitBreaker("tickets", POLICY, clock=clock, rng=random.Random(7))


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.acquire().failed()


def succeed(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.acquire().succeeded()


def state_of(breaker: CircuitBreaker) -> CircuitState:
    """Through a function, because the type checker takes a property's earlier value for the present one."""
    return breaker.state


def test_it_stays_closed_below_the_minimum_of_calls(breaker: CircuitBreaker) -> None:
    fail(breaker, 3)

    assert state_of(breaker) is CircuitState.CLOSED


def test_it_opens_at_the_failure_rate(breaker: CircuitBreaker) -> None:
    succeed(breaker, 2)

    fail(breaker, 2)

    assert state_of(breaker) is CircuitState.OPEN


def test_a_dependency_that_fails_every_other_time_opens_it(breaker: CircuitBreaker) -> None:
    for _ in range(2):
        succeed(breaker, 1)
        fail(breaker, 1)

    assert state_of(breaker) is CircuitState.OPEN


def test_failures_that_left_the_window_do_not_count(breaker: CircuitBreaker, clock: FakeClock) -> None:
    fail(breaker, 3)
    clock.advance(10.0)

    fail(breaker, 1)

    assert state_of(breaker) is CircuitState.CLOSED


def test_slow_answers_open_it_as_failures_do(breaker: CircuitBreaker, clock: FakeClock) -> None:
    permits = [breaker.acquire() for _ in range(4)]
    clock.advance(2.0)

    for permit in permits:
        permit.succeeded()

    assert state_of(breaker) is CircuitState.OPEN


def test_while_open_it_refuses_and_says_for_how_long(breaker: CircuitBreaker, clock: FakeClock) -> None:
    fail(breaker, 4)
    clock.advance(0.25)

    with pytest.raises(DependencyUnavailable) as refused:
        breaker.acquire()

    assert refused.value.reason == "circuit_open"
    assert refused.value.retry_after == pytest.approx(0.75)
    assert not refused.value.may_have_happened


def test_a_half_open_circuit_lends_no_more_than_its_permits(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    fail(breaker, 4)
    clock.advance(1.0)
    lent = [breaker.acquire(), breaker.acquire()]

    with pytest.raises(DependencyUnavailable):
        breaker.acquire()

    assert len(lent) == POLICY.trial_calls


def test_successful_trials_close_it(breaker: CircuitBreaker, clock: FakeClock) -> None:
    fail(breaker, 4)
    clock.advance(1.0)

    succeed(breaker, 2)

    assert state_of(breaker) is CircuitState.CLOSED


def test_a_failed_trial_opens_it_again(breaker: CircuitBreaker, clock: FakeClock) -> None:
    fail(breaker, 4)
    clock.advance(1.0)

    succeed(breaker, 1)
    fail(breaker, 1)

    assert state_of(breaker) is CircuitState.OPEN


def test_an_abandoned_trial_gives_its_permit_back(breaker: CircuitBreaker, clock: FakeClock) -> None:
    fail(breaker, 4)
    clock.advance(1.0)

    for _ in range(10):
        breaker.acquire().give_back()

    assert state_of(breaker) is CircuitState.HALF_OPEN
    succeed(breaker, 2)
    assert state_of(breaker) is CircuitState.CLOSED


def test_abandoned_calls_prove_nothing(breaker: CircuitBreaker) -> None:
    fail(breaker, 3)

    for _ in range(10):
        breaker.acquire().give_back()

    assert state_of(breaker) is CircuitState.CLOSED
    fail(breaker, 1)
    assert state_of(breaker) is CircuitState.OPEN


def test_a_trial_that_never_ends_does_not_block_the_circuit_for_ever(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    fail(breaker, 4)
    clock.advance(1.0)
    lost = [breaker.acquire(), breaker.acquire()]
    clock.advance(3.5)

    with pytest.raises(DependencyUnavailable):
        breaker.acquire()

    assert state_of(breaker) is CircuitState.OPEN
    clock.advance(1.0)
    succeed(breaker, 2)
    assert state_of(breaker) is CircuitState.CLOSED
    assert len(lost) == 2


def test_a_late_success_does_not_close_a_reopened_circuit(breaker: CircuitBreaker, clock: FakeClock) -> None:
    fail(breaker, 4)
    clock.advance(1.0)
    late = breaker.acquire()
    fail(breaker, 1)
    clock.advance(3.5)
    with pytest.raises(DependencyUnavailable):
        breaker.acquire()
    clock.advance(1.0)
    succeed(breaker, 1)

    late.succeeded()

    assert state_of(breaker) is CircuitState.HALF_OPEN


def test_a_late_failure_does_not_count_against_a_closed_circuit(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    late = [breaker.acquire() for _ in range(4)]
    fail(breaker, 4)
    clock.advance(1.0)
    succeed(breaker, 2)

    for permit in late:
        permit.failed()

    assert state_of(breaker) is CircuitState.CLOSED


def test_a_permit_counts_once(breaker: CircuitBreaker) -> None:
    permit = breaker.acquire()
    for _ in range(10):
        permit.failed()

    fail(breaker, 2)

    assert state_of(breaker) is CircuitState.CLOSED


def test_an_isolated_circuit_waits_for_a_person(breaker: CircuitBreaker, clock: FakeClock) -> None:
    breaker.isolate()
    clock.advance(1_000_000.0)
    breaker.try_again()

    with pytest.raises(DependencyUnavailable) as refused:
        breaker.acquire()

    assert refused.value.retry_after is None
    breaker.close()
    succeed(breaker, 1)


def test_a_proof_of_life_lets_trials_through_early(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)

    breaker.try_again()

    succeed(breaker, 2)
    assert state_of(breaker) is CircuitState.CLOSED


def test_it_stays_open_longer_each_time_within_its_limits(clock: FakeClock) -> None:
    policy = BreakerPolicy(
        minimum_calls=1, trial_calls=1, shortest_open_seconds=1.0, longest_open_seconds=5.0
    )
    ceilings = [2.0, 4.0, 5.0, 5.0]
    drawn: list[list[float]] = [[], [], [], []]

    for seed in range(50):
        breaker = CircuitBreaker("tickets", policy, clock=clock, rng=random.Random(seed))
        for waits in drawn:
            fail(breaker, 1)
            with pytest.raises(DependencyUnavailable) as refused:
                breaker.acquire()
            waits.append(refused.value.retry_after or 0.0)
            clock.advance(5.0)

    for waits, ceiling in zip(drawn, ceilings, strict=True):
        assert min(waits) >= 1.0
        assert ceiling * 0.8 < max(waits) <= ceiling
        assert len({round(wait, 9) for wait in waits}) > 40


def test_listeners_hear_every_change_even_after_one_of_them_broke(
    breaker: CircuitBreaker, clock: FakeClock
) -> None:
    heard: list[CircuitChange] = []

    def broken(_: CircuitChange) -> None:
        raise RuntimeError("listener")

    breaker.subscribe(broken)
    breaker.subscribe(heard.append)

    fail(breaker, 4)
    clock.advance(1.0)
    succeed(breaker, 2)

    assert [(change.before.value, change.after.value) for change in heard] == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ]


@dataclass
class LentPermit:
    permit: Permit
    generation: int
    started_at: float


@dataclass
class Model:
    """The breaker as one would explain it: a list of ended calls, and a name for the state."""

    state: str = "closed"
    generation: int = 0
    open_until: float = 0.0
    ended: list[tuple[int, bool, bool]] = field(default_factory=list)
    trials_out: list[float] = field(default_factory=list)
    trials_ended: list[tuple[bool, bool]] = field(default_factory=list)

    def become(self, state: str) -> None:
        self.state = state
        self.generation += 1
        self.ended, self.trials_out, self.trials_ended = [], [], []

    def open(self, now: float) -> None:
        self.open_until = now + POLICY.shortest_open_seconds
        self.become("open")

    def may_start(self, now: float) -> bool:
        if self.state == "open" and now >= self.open_until:
            self.become("half_open")
        if self.state == "half_open" and any(now - at > POLICY.trial_seconds for at in self.trials_out):
            self.open(now)
        if self.state == "half_open" and len(self.trials_out) + len(self.trials_ended) < POLICY.trial_calls:
            self.trials_out.append(now)
            return True
        return self.state == "closed"

    def end(self, lent: LentPermit, now: float, *, is_failure: bool) -> None:
        if lent.generation != self.generation:
            return
        is_slow = now - lent.started_at >= POLICY.slow_call_seconds
        if self.state == "closed":
            step = int(now)
            self.ended = [call for call in self.ended if call[0] > step - 10] + [(step, is_failure, is_slow)]
            calls, worst = self.ended, is_failure or is_slow
            if worst and len(calls) >= POLICY.minimum_calls and self.is_bad([call[1:] for call in calls]):
                self.open(now)
        elif self.state == "half_open":
            self.trials_out.remove(lent.started_at)
            self.trials_ended.append((is_failure or now - lent.started_at > POLICY.trial_seconds, is_slow))
            if len(self.trials_ended) == POLICY.trial_calls:
                if self.is_bad(self.trials_ended):
                    self.open(now)
                else:
                    self.become("closed")

    def abandon(self, lent: LentPermit) -> None:
        if lent.generation == self.generation and self.state == "half_open":
            self.trials_out.remove(lent.started_at)

    @staticmethod
    def is_bad(calls: list[tuple[bool, bool]]) -> bool:
        failures = sum(is_failure for is_failure, _ in calls)
        slow = sum(is_slow for _, is_slow in calls)
        return failures / len(calls) >= POLICY.failure_rate or slow / len(calls) >= POLICY.slow_call_rate


class BreakerAgainstModel(RuleBasedStateMachine):
    lent = Bundle("lent")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = CircuitBreaker("tickets", POLICY, clock=self.clock, rng=random.Random(0))
        self.model = Model()

    @rule(tenths=st.sampled_from([1, 5, 10, 21, 35, 104]))
    def time_passes(self, tenths: int) -> None:
        self.clock.advance(tenths / 10)

    @rule(target=lent)
    def call_starts(self) -> LentPermit | None:
        now = self.clock.monotonic()
        expected = self.model.may_start(now)

        try:
            permit = self.breaker.acquire()
        except DependencyUnavailable:
            assert not expected
            return None
        assert expected
        return LentPermit(permit, self.model.generation, now)

    @rule(lent=consumes(lent), is_failure=st.booleans())
    def call_ends(self, lent: LentPermit | None, is_failure: bool) -> None:
        if lent is None:
            return
        self.model.end(lent, self.clock.monotonic(), is_failure=is_failure)

        if is_failure:
            lent.permit.failed()
        else:
            lent.permit.succeeded()

    @rule(times=st.integers(1, 6))
    def calls_fail_in_a_row(self, times: int) -> None:
        for _ in range(times):
            self.call_ends(self.call_starts(), is_failure=True)

    @rule(lent=consumes(lent))
    def call_is_abandoned(self, lent: LentPermit | None) -> None:
        if lent is not None:
            self.model.abandon(lent)
            lent.permit.give_back()

    @rule()
    def person_isolates(self) -> None:
        self.model.become("isolated")
        self.breaker.isolate()

    @rule()
    def person_closes(self) -> None:
        self.model.become("closed")
        self.breaker.close()

    @rule()
    def probe_succeeds(self) -> None:
        if self.model.state == "open":
            self.model.become("half_open")
        self.breaker.try_again()

    @invariant()
    def states_agree(self) -> None:
        assert self.breaker.state.value == self.model.state


TestBreakerAgainstModel = BreakerAgainstModel.TestCase
TestBreakerAgainstModel.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
