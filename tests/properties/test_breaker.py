"""`CircuitBreaker` against a plain model of it, over both windows, every state, and what its listeners hear."""

import math
import random
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from core.errors import DependencyUnavailable
from core.resilience.breaker import BreakerPolicy, CircuitBreaker, CircuitChange, Permit
from core.resilience.breaker_events import BreakerEvent, CallEnded, CallRefused, RateReached
from tests.fakes import FakeClock

SLOW = 2.0
OPEN_SECONDS = 4.0
TRIAL_SECONDS = 3.0
"""Longer than is slow, and passed by one of the steps in which time passes."""

policies = st.builds(
    BreakerPolicy,
    window_seconds=st.just(10.0),
    window_calls=st.sampled_from([None, None, 3, 6]),
    minimum_calls=st.integers(1, 5),
    failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
    slow_call_seconds=st.sampled_from([SLOW, math.inf]),
    slow_call_rate=st.sampled_from([0.5, 1.0]),
    success_may_open=st.booleans(),
    trial_calls=st.integers(1, 4),
    trial_seconds=st.just(TRIAL_SECONDS),
    shortest_open_seconds=st.just(OPEN_SECONDS),
    longest_open_seconds=st.just(OPEN_SECONDS),
)


@dataclass
class Call:
    permit: Permit
    life: int
    started_at: float


@dataclass
class Ended:
    at: float
    is_failure: bool
    is_slow: bool


@dataclass
class Model:
    """The breaker as one would explain it: the calls that ended in this life of the circuit, and a name for its state."""

    policy: BreakerPolicy
    state: str = "closed"
    life: int = 0
    """Grows with each change: what belongs to an earlier one does not count."""
    open_until: float = 0.0
    ended: list[Ended] = field(default_factory=list)
    trials_out: list[float] = field(default_factory=list)
    refused: int = 0
    said: list[str] = field(default_factory=list)
    loud: set[str] = field(default_factory=set)

    def become(self, state: str) -> None:
        if state != self.state:
            self.said.append(f"{self.state} > {state}")
        self.state = state
        self.life += 1
        self.ended, self.trials_out, self.refused, self.loud = [], [], 0, set()

    def open(self, now: float) -> None:
        self.open_until = now + OPEN_SECONDS
        self.become("open")

    def seen(self, now: float) -> list[Ended]:
        if self.state == "half_open":
            return self.ended
        if self.policy.window_calls is not None:
            return self.ended[-self.policy.window_calls :]
        return [call for call in self.ended if int(call.at) > int(now) - 10]

    @property
    def enough(self) -> int:
        most = self.policy.trial_calls if self.state == "half_open" else self.policy.window_calls
        return self.policy.minimum_calls if most is None else min(self.policy.minimum_calls, most)

    def may_start(self, now: float) -> bool:
        if self.state == "open" and now >= self.open_until:
            self.become("half_open")
        if self.state == "half_open" and any(now - at > TRIAL_SECONDS for at in self.trials_out):
            self.open(now)
        if self.state in ("closed", "disabled", "metrics_only"):
            return True
        if self.state == "half_open" and len(self.trials_out) + len(self.ended) < self.policy.trial_calls:
            self.trials_out.append(now)
            return True
        self.refused += 1
        self.said.append("refused")
        return False

    def end(self, call: Call, now: float, *, is_failure: bool) -> None:
        seconds = now - call.started_at
        is_slow = seconds >= self.policy.slow_call_seconds
        counts = call.life == self.life and self.state != "disabled"
        self.said.append(f"{'failed' if is_failure else 'succeeded'} {is_slow} {counts}")
        if not counts:
            return
        if self.state == "half_open":
            self.trials_out.remove(call.started_at)
            self.ended.append(Ended(now, is_failure or seconds > TRIAL_SECONDS, is_slow))
            is_bad = self.is_bad(now)
            if is_bad:
                self.open(now)
            elif len(self.ended) >= self.enough:
                self.become("closed")
            return
        self.ended.append(Ended(now, is_failure, is_slow))
        looks = is_failure or is_slow or self.policy.success_may_open or self.loud
        if looks and self.is_bad(now) and self.state == "closed":
            self.open(now)

    def is_bad(self, now: float) -> bool:
        seen = self.seen(now)
        if len(seen) < self.enough:
            return False
        bad = set()
        if sum(call.is_failure for call in seen) / len(seen) >= self.policy.failure_rate:
            bad.add("failure")
        if sum(call.is_slow for call in seen) / len(seen) >= self.policy.slow_call_rate:
            bad.add("slow")
        self.said += [f"{rate} rate" for rate in sorted(bad - self.loud)]
        self.loud = bad
        return bool(bad)

    def abandon(self, call: Call) -> None:
        self.said.append("abandoned")
        if call.life == self.life and self.state == "half_open":
            self.trials_out.remove(call.started_at)


def in_words(said: BreakerEvent | CircuitChange) -> str:
    match said:
        case CircuitChange(before=before, after=after):
            return f"{before} > {after}"
        case CallEnded(result="abandoned"):
            return "abandoned"
        case CallEnded(result=result, is_slow=is_slow, is_counted=is_counted):
            return f"{result} {is_slow} {is_counted}"
        case CallRefused():
            return "refused"
        case RateReached(kind=kind):
            return f"{kind} rate"


class BreakerAgainstModel(RuleBasedStateMachine):
    calls = Bundle("calls")

    @initialize(policy=policies)
    def begin(self, policy: BreakerPolicy) -> None:
        self.clock = FakeClock()
        self.breaker = CircuitBreaker("tickets", policy, clock=self.clock, rng=random.Random(0))
        self.model = Model(policy)
        self.heard: list[str] = []
        self.breaker.subscribe(lambda change: self.heard.append(in_words(change)))
        self.breaker.listen(lambda event: self.heard.append(in_words(event)))

    @rule(tenths=st.sampled_from([1, 5, 10, 21, 35, 45, 104]))
    def time_passes(self, tenths: int) -> None:
        self.clock.advance(tenths / 10)

    @rule(target=calls)
    def call_starts(self) -> Call | None:
        now = self.clock.monotonic()
        expected = self.model.may_start(now)

        try:
            permit = self.breaker.acquire()
        except DependencyUnavailable as exc:
            refused = exc
        else:
            assert expected
            return Call(permit, self.model.life, now)
        waits = {"isolated": None, "half_open": OPEN_SECONDS, "open": self.model.open_until - now}
        assert not expected
        assert (refused.reason, refused.retry_after) == ("circuit_open", waits[self.model.state])
        return None

    @rule(call=consumes(calls), is_failure=st.booleans())
    def call_ends(self, call: Call | None, is_failure: bool) -> None:
        if call is None:
            return
        self.model.end(call, self.clock.monotonic(), is_failure=is_failure)

        if is_failure:
            call.permit.failed()
        else:
            call.permit.succeeded()
        call.permit.failed()
        call.permit.give_back()

    @rule(ends=st.lists(st.booleans(), min_size=1, max_size=6))
    def calls_end_in_a_row(self, ends: list[bool]) -> None:
        for is_failure in ends:
            self.call_ends(self.call_starts(), is_failure=is_failure)

    @rule(times=st.integers(1, 4), tenths=st.sampled_from([1, 21, 35]), is_failure=st.booleans())
    def calls_take_their_time(self, times: int, tenths: int, is_failure: bool) -> None:
        running = [self.call_starts() for _ in range(times)]
        self.clock.advance(tenths / 10)
        for call in running:
            self.call_ends(call, is_failure=is_failure)

    @rule(call=consumes(calls))
    def call_is_abandoned(self, call: Call | None) -> None:
        if call is not None:
            self.model.abandon(call)
            call.permit.give_back()

    @rule(state=st.sampled_from(["isolated", "disabled", "metrics_only", "closed", "closed"]))
    def a_person_decides(self, state: str) -> None:
        self.model.become(state)
        {
            "isolated": self.breaker.isolate,
            "disabled": self.breaker.disable,
            "metrics_only": self.breaker.only_measure,
            "closed": self.breaker.close,
        }[state]()

    @rule()
    def a_probe_succeeds(self) -> None:
        if self.model.state == "open":
            self.model.become("half_open")
        self.breaker.try_again()

    @invariant()
    def they_agree(self) -> None:
        now = self.clock.monotonic()
        seen = self.model.seen(now)
        assert self.breaker.state.value == self.model.state
        assert self.breaker.is_open == (self.model.state in ("open", "isolated"))
        counts = self.breaker.counts
        failures = sum(call.is_failure for call in seen)
        assert (counts.calls, counts.failures) == (len(seen), failures)
        assert (counts.slow, counts.refused) == (sum(call.is_slow for call in seen), self.model.refused)
        assert counts.failure_rate == (failures / len(seen) if len(seen) >= self.model.enough else None)
        assert self.heard == self.model.said


TestBreakerAgainstModel = BreakerAgainstModel.TestCase
TestBreakerAgainstModel.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
