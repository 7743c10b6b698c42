"""Claims about `GracefulDegradationHandler`: what is down, what a reply tells of it, how it comes back."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from core.errors import DependencyUnavailable
from core.resilience.breaker import BreakerPolicy, CircuitState
from core.resilience.degradation import DEPENDENCIES, FEATURES, GracefulDegradationHandler
from core.resilience.degraded_wording import WORDINGS, degraded_sentence
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from tests.fakes import FakeClock

PAIRS = [(feature, dependency) for feature, needs in FEATURES.items() for dependency in needs]
POLICY = GuardPolicy(
    retry=RetryPolicy(attempts=1),
    breaker=BreakerPolicy(
        minimum_calls=2, trial_calls=1, shortest_open_seconds=60.0, longest_open_seconds=60.0
    ),
)


class Backend:
    """Something that can be up, down or silent; counts its probes."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.is_up = True
        self.is_silent = False
        self.probes_at: list[float] = []
        self.running = 0
        self.most_running = 0

    async def probe(self) -> None:
        self.probes_at.append(self._clock.monotonic())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.is_silent:
                await asyncio.sleep(30)
            if not self.is_up:
                raise ConnectionRefusedError
        finally:
            self.running -= 1


class UpGauge:
    def __init__(self) -> None:
        self.heard: list[tuple[str, bool]] = []

    def dependency_changed(self, dependency: str, *, is_up: bool) -> None:
        self.heard.append((dependency, is_up))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gauge() -> UpGauge:
    return UpGauge()


@pytest.fixture
def handler(clock: FakeClock, gauge: UpGauge) -> GracefulDegradationHandler:
    return GracefulDegradationHandler(clock=clock, rng=random.Random(5), observer=gauge)


@pytest.fixture
def tickets(clock: FakeClock, handler: GracefulDegradationHandler) -> Guard:
    guard = Guard("tickets", POLICY, clock=clock, rng=random.Random(5))
    handler.watch(guard)
    return guard


@asynccontextmanager
async def running(handler: GracefulDegradationHandler) -> AsyncIterator[None]:
    task = asyncio.create_task(handler.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def break_it(guard: Guard) -> None:
    async def attempt() -> None:
        raise DependencyUnavailable(guard.name)

    for _ in range(2):
        with pytest.raises(DependencyUnavailable):
            await guard.run(attempt)


async def test_an_open_breaker_means_down(handler: GracefulDegradationHandler, tickets: Guard) -> None:
    await break_it(tickets)

    assert handler.is_down("tickets")
    assert handler.is_degraded("tickets")
    assert not handler.is_degraded("conversation")
    assert handler.status()["tickets"].breaker is CircuitState.OPEN


async def test_since_is_when_it_went_down(handler: GracefulDegradationHandler, clock: FakeClock) -> None:
    went_down = clock.now()
    handler.mark_down("customers")
    clock.advance(120.0)
    handler.mark_down("customers")

    (part,) = handler.parts([("customer_info", "customers")], "en")

    assert handler.status()["customers"].since == went_down
    assert part.since == went_down.isoformat()


async def test_a_successful_probe_brings_it_back_and_the_next_call_through(
    handler: GracefulDegradationHandler, tickets: Guard, clock: FakeClock
) -> None:
    backend = Backend(clock)
    backend.is_up = False
    handler.add_probe("tickets", backend.probe)
    async with running(handler):
        await break_it(tickets)
        await clock.run_for(20.0)
        assert handler.is_down("tickets")

        backend.is_up = True
        await clock.run_for(2.0)

    assert not handler.is_down("tickets")

    async def answer() -> str:
        return "answer"

    assert await tickets.run(answer) == "answer"
    assert tickets.breaker.state is CircuitState.CLOSED


@pytest.mark.parametrize("down_for", [0.3, 1.0, 7.7, 300.0])
async def test_it_is_back_within_two_seconds_however_long_it_was_away(
    handler: GracefulDegradationHandler, clock: FakeClock, down_for: float
) -> None:
    backend = Backend(clock)
    backend.is_up = False
    handler.add_probe("redis", backend.probe)
    async with running(handler):
        handler.mark_down("redis")
        await clock.run_for(down_for)

        backend.is_up = True
        await clock.run_for(2.0)

        assert not handler.is_down("redis")


async def test_probes_come_one_at_a_time_and_at_most_two_a_second(
    handler: GracefulDegradationHandler, clock: FakeClock
) -> None:
    backend = Backend(clock)
    backend.is_up = False
    handler.add_probe("redis", backend.probe)
    async with running(handler):
        for _ in range(500):
            handler.mark_down("redis")
        await clock.run_for(100.0)

        assert len(asyncio.all_tasks()) <= 2 * len(DEPENDENCIES) + 2

    assert backend.most_running == 1
    assert 80 <= len(backend.probes_at) <= 205


async def test_who_counts_what_it_is_asked_is_asked_no_more_often_while_it_is_down(
    handler: GracefulDegradationHandler, clock: FakeClock
) -> None:
    backend = Backend(clock)
    backend.is_up = False
    handler.add_probe("tickets", backend.probe, is_counted=True)
    async with running(handler):
        handler.mark_down("tickets")
        await clock.run_for(300.0)
        asked = len(backend.probes_at)
        backend.is_up = True
        await clock.run_for(5.0)

    assert 300 / 5 <= asked <= 300 / 2.5 + 10
    assert not handler.is_down("tickets")


async def test_a_silent_probe_ends_and_holds_up_nobody_else(
    handler: GracefulDegradationHandler, clock: FakeClock
) -> None:
    silent, healthy = Backend(clock), Backend(clock)
    silent.is_silent = True
    handler.add_probe("sql", silent.probe)
    handler.add_probe("redis", healthy.probe)
    async with running(handler):
        handler.mark_down("sql")
        handler.mark_down("redis")
        await clock.run_for(1.0)
        assert silent.running == 1
        assert not handler.is_down("redis")

        await asyncio.sleep(1.1)

        assert silent.running == 0
        assert handler.is_down("sql")


async def test_an_outage_without_traffic_is_noticed(
    handler: GracefulDegradationHandler, clock: FakeClock
) -> None:
    backend = Backend(clock)
    handler.add_probe("redis", backend.probe)
    async with running(handler):
        await clock.run_for(30.0)
        assert not handler.is_down("redis")

        backend.is_up = False
        await clock.run_for(5.1)

        assert handler.is_down("redis")


async def test_who_was_never_there_is_down_from_the_start(
    handler: GracefulDegradationHandler, clock: FakeClock
) -> None:
    model, redis = Backend(clock), Backend(clock)
    model.is_up = False
    handler.add_probe("model", model.probe)
    handler.add_probe("redis", redis.probe)
    async with running(handler):
        await clock.run_for(0.01)

        assert handler.is_down("model")
        assert not handler.is_down("redis")
        assert len(redis.probes_at) == 1


async def test_one_lost_check_is_no_outage(handler: GracefulDegradationHandler, clock: FakeClock) -> None:
    checks = 0

    async def fails_every_other_time() -> None:
        nonlocal checks
        checks += 1
        if checks % 2:
            raise ConnectionResetError

    handler.add_probe("redis", fails_every_other_time)
    async with running(handler):
        await clock.run_for(60.0)

    assert checks > 10
    assert not handler.is_down("redis")


async def test_without_a_probe_the_next_real_call_is_the_probe(
    handler: GracefulDegradationHandler, tickets: Guard, clock: FakeClock
) -> None:
    async with running(handler):
        await break_it(tickets)
        await clock.run_for(59.0)
        assert handler.is_down("tickets")

        await clock.run_for(3.0)

        assert not handler.is_down("tickets")
        assert tickets.breaker.state is CircuitState.HALF_OPEN


async def test_a_probe_that_lies_is_believed_less_and_less_often(
    handler: GracefulDegradationHandler, tickets: Guard, clock: FakeClock
) -> None:
    handler.add_probe("tickets", Backend(clock).probe)
    trials = 0

    async def attempt() -> None:
        nonlocal trials
        trials += 1
        raise DependencyUnavailable("tickets")

    async with running(handler):
        for _ in range(600):
            with suppress(DependencyUnavailable):
                await tickets.run(attempt)
            await clock.run_for(0.1)

    assert trials <= 25


async def test_what_a_person_isolated_stays_down_until_the_person_closes_it(
    handler: GracefulDegradationHandler, tickets: Guard, clock: FakeClock
) -> None:
    handler.add_probe("tickets", Backend(clock).probe)
    async with running(handler):
        tickets.breaker.isolate()
        await clock.run_for(60.0)
        handler.mark_up("tickets")
        assert handler.is_down("tickets")

        tickets.breaker.close()

        assert not handler.is_down("tickets")


@pytest.mark.parametrize("state", [CircuitState.DISABLED, CircuitState.METRICS_ONLY])
async def test_a_breaker_that_a_person_takes_out_of_the_way_says_no_more_that_it_is_down(
    handler: GracefulDegradationHandler, tickets: Guard, state: CircuitState
) -> None:
    await break_it(tickets)

    tickets.breaker.disable() if state is CircuitState.DISABLED else tickets.breaker.only_measure()

    assert not handler.is_down("tickets")
    assert handler.status()["tickets"].breaker is state


async def test_what_is_isolated_from_the_start_is_down_from_the_start(
    handler: GracefulDegradationHandler, clock: FakeClock
) -> None:
    isolated = GuardPolicy(breaker=BreakerPolicy(starts_as=CircuitState.ISOLATED))

    handler.watch(Guard("tickets", isolated, clock=clock, rng=random.Random(5)))

    assert handler.is_down("tickets")


async def test_the_observer_hears_of_each_dependency_in_use_and_of_each_change(
    handler: GracefulDegradationHandler, tickets: Guard, gauge: UpGauge
) -> None:
    await break_it(tickets)
    handler.mark_down("tickets")
    handler.mark_up("tickets")
    handler.mark_up("tickets")

    assert gauge.heard == [("tickets", True), ("tickets", False), ("tickets", True)]
    assert list(handler.status()) == [tickets.name]


def test_parts_come_once_and_in_declared_order(handler: GracefulDegradationHandler) -> None:
    parts = handler.parts([*reversed(PAIRS), *PAIRS], "en")

    assert [(part.feature, part.dependency) for part in parts] == PAIRS


def test_without_redis_a_customer_notices_nothing(handler: GracefulDegradationHandler) -> None:
    handler.mark_down("redis")

    assert handler.parts([("conversation", "redis")], "en") == ()
    assert not any(handler.is_degraded(feature) for feature in FEATURES)


@pytest.mark.parametrize("locale", [*WORDINGS, "en-GB", "xx", ""])
@pytest.mark.parametrize(("feature", "dependency"), PAIRS)
def test_every_pair_has_a_sentence_without_internals(feature: str, dependency: str, locale: str) -> None:
    for contact in (None, "help@shop.example"):
        sentence = degraded_sentence(feature, dependency, locale, contact=contact)

        assert not re.search(
            r"redis|sql|llm|model|vector|index|database|timeout|error|server|[{}_]", sentence, re.IGNORECASE
        )
        assert contact is None or contact in sentence
        assert sentence.count(".") >= 2


def test_the_date_of_the_copy_is_told_where_it_is_known(
    handler: GracefulDegradationHandler, clock: FakeClock
) -> None:
    dated = handler.sentence("knowledge_search", "sql", "en", copy_date=clock.now())

    assert "2026-11-22" in dated
    assert "2026" not in handler.sentence("knowledge_search", "sql", "en")


def test_wordings_cover_exactly_the_declared_pairs() -> None:
    assert {locale: sorted(wording.sentences) for locale, wording in WORDINGS.items()} == {
        locale: sorted(PAIRS) for locale in WORDINGS
    }
