"""
What resilience4j and Polly do, as vectors: each is named for the behaviour in their documentation or tests, and played on ours.

Where the two differ, a vector says with which setting ours does what either does. Two differences are meant: a call that takes
exactly the slow time is slow (resilience4j: longer than it), and the end of a call that began before a change of state counts for
nothing (resilience4j counts it in the new state, Polly too).
"""

import random
from dataclasses import replace

import pytest

from core.errors import DependencyUnavailable
from core.resilience.breaker import BreakerPolicy, CircuitBreaker, CircuitChange, Permit
from core.resilience.breaker_events import BreakerEvent, CallEnded, CallRefused, Rate, RateReached
from tests.fakes import FakeClock

R4J = BreakerPolicy(
    window_seconds=5.0,
    minimum_calls=5,
    failure_rate=0.5,
    slow_call_seconds=4.0,
    slow_call_rate=0.5,
    success_may_open=True,
    trial_calls=4,
    trial_seconds=60.0,
    shortest_open_seconds=5.0,
    longest_open_seconds=5.0,
)
"""As in resilience4j's CircuitBreakerStateMachineTest: 50 %, five calls in 5 s, four half-open, slow from 4 s, open 5 s."""
COUNTED = replace(R4J, window_calls=5)
"""slidingWindowType COUNT_BASED."""
POLLY = BreakerPolicy(
    window_seconds=10.0,
    minimum_calls=4,
    failure_rate=0.5,
    trial_calls=1,
    trial_seconds=60.0,
    shortest_open_seconds=5.0,
    longest_open_seconds=5.0,
)
"""FailureRatio 0.5, MinimumThroughput 4, SamplingDuration 10 s, BreakDuration 5 s."""

# ok, fail: a call that ends at once; slow, slowfail: it takes 4 s; skip: it is abandoned; take: it is still running; late-ok,
# late-fail: the oldest running call ends; no: a call is refused; +N: N seconds pass; isolate, disable, measure, close, probe:
# what they say; =STATE: what the circuit is now; calls, failures, slow, refused, rate, slowrate:N: what it has counted; wait:N:
# the refusal's retry_after. WORD*N: N times.
VECTORS: list[tuple[str, BreakerPolicy, str]] = [
    ("r4j: closed at first", R4J, "=closed ok =closed"),
    ("r4j: an open circuit refuses and counts what it refuses", R4J, "fail*5 =open no no refused:2"),
    ("r4j: forced open refuses whatever the time", R4J, "isolate no +6 no =isolated refused:2"),
    ("r4j: forced open counts no result", R4J, "isolate no calls:0"),
    ("r4j: below the minimum of calls there is no rate", R4J, "fail*4 =closed calls:4 failures:4 rate:none"),
    ("r4j: opens above the failure rate", R4J, "ok*2 fail*3 =open"),
    ("r4j: opens at exactly the failure rate", replace(R4J, minimum_calls=4), "ok*2 fail*2 =open"),
    ("r4j: stays closed below the failure rate", R4J, "ok*3 fail*2 =closed rate:0.4"),
    ("r4j: the success that completes the minimum may open it", R4J, "fail*3 ok ok =open"),
    ("r4j: stays closed below the slow call rate", replace(R4J, window_seconds=50.0), "slow ok*3 slow =closed slowrate:0.4"),
    ("r4j: slow successes alone open it", replace(R4J, window_seconds=50.0), "ok*2 slow*3 =open"),
    ("r4j: slow failures count in both rates", replace(R4J, window_seconds=50.0), "slowfail ok*3 failures:1 slow:1"),
    ("r4j: a fast failure is not slow", R4J, "fail ok*3 failures:1 slow:0"),
    ("r4j: open until the wait duration is over", R4J, "fail*5 no +3 no =open +3 ok =half_open"),
    ("r4j: becomes half-open with the first call after it", R4J, "fail*5 +6 =open ok =half_open"),
    ("r4j: half-open begins with empty counts", R4J, "fail*5 no +6 take =half_open calls:0 refused:0"),
    ("r4j: half-open lets its permitted calls through only", R4J, "fail*5 +6 take*4 no no refused:2"),
    ("r4j: an ignored error gives its half-open permission back", R4J, "fail*5 +6 take*3 skip take no"),
    ("r4j: ignored errors decide nothing half-open", R4J, "fail*5 +6 skip*4 =half_open calls:0 ok*4 =closed"),
    ("r4j: half-open and above the failure rate opens again", R4J, "fail*5 +6 fail*2 ok =half_open fail =open"),
    ("r4j: half-open and above the slow rate opens again", R4J, "fail*5 +6 slow*3 =half_open ok =open"),
    ("r4j: half-open and below the failure rate closes", R4J, "fail*5 +6 fail ok*3 =closed calls:0"),
    ("r4j: after closing it counts anew", R4J, "fail*5 +6 ok*4 =closed ok calls:1"),
    ("r4j: half-open decides on fewer calls where the minimum is less", replace(R4J, minimum_calls=2), "fail*2 +6 ok*2 =closed"),
    ("r4j: maxWaitDurationInHalfOpenState opens what waits for lost calls", R4J, "fail*5 +6 take*4 +61 no =open"),
    ("r4j: and lets calls through again after that", R4J, "fail*5 +6 take*4 +61 no +6 ok*4 =closed"),
    ("r4j: reset closes and forgets", R4J, "fail*4 close =closed calls:0 fail*4 =closed"),
    ("r4j: reset of an open circuit", R4J, "fail*5 =open close =closed ok"),
    ("r4j: disabled lets all through and counts nothing", R4J, "disable ok fail*9 =disabled calls:0"),
    ("r4j: metrics only counts and never opens", R4J, "measure fail*9 =metrics_only calls:9 failures:9 rate:1.0"),
    ("r4j: metrics only refuses nothing at 100 %", R4J, "measure fail*9 ok refused:0"),
    ("r4j: from forced open to closed by hand", R4J, "isolate close =closed ok"),
    ("r4j: from metrics only to closed forgets the failures", R4J, "measure fail*9 close =closed fail*4 =closed"),
    ("r4j: no way from closed to half-open", R4J, "probe =closed"),
    ("r4j: a count window knows its last calls only", COUNTED, "ok*5 fail*2 =closed calls:5 failures:2 fail =open"),
    ("r4j: in a count window time does not matter", COUNTED, "fail*2 +9999 ok*2 =closed calls:4 fail =open"),
    ("r4j: the minimum is no more than the count window", replace(COUNTED, minimum_calls=100), "fail*5 =open"),
    ("r4j: a time window forgets after its seconds", R4J, "fail*4 +5 fail =closed calls:1"),
    ("r4j: a time window keeps what is younger", R4J, "fail*4 +4 fail =open"),
    ("Polly: no break below the minimum throughput", POLLY, "fail*3 =closed"),
    ("Polly: breaks at the failure ratio", POLLY, "ok*2 fail*2 =open"),
    ("Polly: does not break below the failure ratio", POLLY, "ok*4 fail*3 =closed"),
    ("Polly: breaks on a failure, never on a success", POLLY, "fail*3 ok*2 =closed fail =open"),
    ("Polly: failures outside the sampling duration do not count", POLLY, "fail*3 +10 fail =closed"),
    ("Polly: one probe after the break, others are refused", POLLY, "fail*4 +5 take no =half_open"),
    ("Polly: a probe that succeeds closes", POLLY, "fail*4 +5 ok =closed"),
    ("Polly: a probe that fails breaks for another break duration", POLLY, "fail*4 +5 fail =open no wait:5 +5 ok =closed"),
    ("Polly: RetryAfter is the rest of the break", POLLY, "fail*4 +2 no wait:3"),
    ("Polly: an isolated circuit names no RetryAfter", POLLY, "isolate no wait:none"),
    ("Polly: isolated until closed by hand", POLLY, "isolate +999 no close ok =closed"),
    ("Polly: isolating an open circuit holds it open", POLLY, "fail*4 isolate +999 no =isolated"),
    ("Polly: a late success does not close an isolated circuit", POLLY, "take isolate late-ok =isolated"),
    ("Polly: a late failure does not lengthen a break", POLLY, "take fail*4 +4 late-fail wait:1"),
    ("Polly: closing resets the health", POLLY, "fail*3 close fail =closed failures:1"),
    ("Polly: unhandled outcomes are neutral", POLLY, "fail*3 skip*9 =closed calls:3"),
    ("ours: what began before the break decides no trial", POLLY, "take fail*4 +5 take late-ok =half_open"),
]  # fmt: skip


class Player:
    def __init__(self, policy: BreakerPolicy) -> None:
        self.clock = FakeClock()
        self.breaker = CircuitBreaker("tickets", policy, clock=self.clock, rng=random.Random(1))
        self.running: list[Permit] = []

    def play(self, step: str) -> None:
        name, _, wanted = step.partition(":")
        if wanted:
            shown = self._shown(name)
            assert shown == (None if wanted == "none" else pytest.approx(float(wanted))), step
        elif name.startswith("="):
            assert self.breaker.state.value == name[1:], step
        elif name.startswith("+"):
            self.clock.advance(float(name[1:]))
        else:
            self._do(name)

    def _do(self, name: str) -> None:
        breaker = self.breaker
        by_hand = {
            "isolate": breaker.isolate,
            "disable": breaker.disable,
            "measure": breaker.only_measure,
            "close": breaker.close,
            "probe": breaker.try_again,
        }
        if name in by_hand:
            by_hand[name]()
        elif name == "no":
            with pytest.raises(DependencyUnavailable):
                breaker.acquire()
        elif name == "take":
            self.running.append(breaker.acquire())
        elif name.startswith("late-"):
            self._end(self.running.pop(0), name.removeprefix("late-"))
        else:
            permit = breaker.acquire()
            self.clock.advance(4.0 if name.startswith("slow") else 0.0)
            self._end(permit, name.removeprefix("slow") or "ok")

    @staticmethod
    def _end(permit: Permit, how: str) -> None:
        {"ok": permit.succeeded, "fail": permit.failed, "skip": permit.give_back}[how]()

    def _shown(self, name: str) -> float | None:
        counts = self.breaker.counts
        if name == "wait":
            with pytest.raises(DependencyUnavailable) as refused:
                self.breaker.acquire()
            return refused.value.retry_after
        shown: dict[str, float | None] = {
            "calls": counts.calls,
            "failures": counts.failures,
            "slow": counts.slow,
            "refused": counts.refused,
            "rate": counts.failure_rate,
            "slowrate": counts.slow_rate,
        }
        return shown[name]


@pytest.mark.parametrize(
    ("policy", "script"), [vector[1:] for vector in VECTORS], ids=[v[0] for v in VECTORS]
)
def test_it_behaves_as(policy: BreakerPolicy, script: str) -> None:
    player = Player(policy)

    for step in script.split():
        name, _, times = step.partition("*")
        for _ in range(int(times or 1)):
            player.play(name)


def heard_of(breaker: CircuitBreaker) -> list[BreakerEvent | CircuitChange]:
    heard: list[BreakerEvent | CircuitChange] = []
    breaker.subscribe(heard.append)
    breaker.listen(heard.append)
    return heard


def test_r4j_listeners_hear_results_rates_changes_and_refusals_in_this_order() -> None:
    player = Player(POLLY)
    heard = heard_of(player.breaker)

    for step in ("ok", "skip", "fail", "fail", "fail", "no"):
        player.play(step)

    said = [getattr(event, "result", type(event).__name__) for event in heard]
    assert said == ["succeeded", "abandoned", *["failed"] * 3, "RateReached", "CircuitChange", "CallRefused"]
    assert heard[5] == RateReached("tickets", Rate.FAILURE, 0.75, 4)
    assert heard[-1] == CallRefused("tickets", 5.0)


def test_r4j_metrics_only_tells_a_rate_once_until_it_was_below() -> None:
    player = Player(replace(POLLY, window_calls=4))
    player.play("measure")
    heard = heard_of(player.breaker)

    for step in ("fail",) * 6 + ("ok",) * 4 + ("fail",) * 2:
        player.play(step)

    rates = [event.rate for event in heard if isinstance(event, RateReached)]
    assert rates == [1.0, 0.5]
    assert not any(isinstance(event, CircuitChange) for event in heard)


def test_r4j_events_carry_the_time_that_the_call_took() -> None:
    player = Player(R4J)
    heard = heard_of(player.breaker)

    player.play("slow")

    assert isinstance(heard[0], CallEnded)
    assert (heard[0].seconds, heard[0].is_slow, heard[0].is_counted) == (4.0, True, True)


def test_r4j_what_is_disabled_tells_of_calls_and_counts_none() -> None:
    player = Player(R4J)
    player.play("disable")
    heard = heard_of(player.breaker)

    player.play("fail")

    assert [event.is_counted for event in heard if isinstance(event, CallEnded)] == [False]


def test_a_listener_that_breaks_fails_nobodys_call() -> None:
    player = Player(R4J)

    def broken(_: BreakerEvent) -> None:
        raise RuntimeError("listener")

    player.breaker.listen(broken)
    heard = heard_of(player.breaker)

    player.play("ok")

    assert len(heard) == 1


def test_a_listener_that_isolates_has_the_last_word() -> None:
    player = Player(POLLY)

    def isolates(event: BreakerEvent) -> None:
        if isinstance(event, RateReached):
            player.breaker.isolate()

    player.breaker.listen(isolates)

    for step in ("fail",) * 4:
        player.play(step)

    assert player.breaker.state.value == "isolated"
