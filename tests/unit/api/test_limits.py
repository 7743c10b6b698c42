"""Rate limits: exact windows, shared through Redis in one trip, and what happens when Redis goes."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import patch

import pytest
from limits import RateLimitItem, parse
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import ValidationError

from agent.api.limits import LocalWindows, RateLimits, RecoveringWindows, Windows
from core.clock import SystemClock
from core.errors import RateLimited
from core.identity import Caller, CallerKind
from state.redis.client import open_redis
from state.redis.windows import SharedWindows
from state.windows import Window
from tests.redis_groups import ClusterGroup
from tests.servers import RedisServer
from tests.service.api_service import MovableClock, SpyLog, settings_for_tests
from tests.simulation.redis_server import SimulatedRedis, TinyRedis
from tests.timing import assert_within

TWO_A_MINUTE = parse("2/minute")


def window(limit: RateLimitItem, *whose: str) -> Window:
    return Window(limit.amount, limit.get_expiry(), whose)


def two_of(whose: str) -> list[Window]:
    return [window(TWO_A_MINUTE, whose)]


def redis_windows(url: str, clock: MovableClock, log: SpyLog, *, seconds: float = 5.0) -> RecoveringWindows:
    client = open_redis(url, timeout_seconds=seconds)
    return RecoveringWindows(
        SharedWindows(client, timeout_seconds=seconds), alone=LocalWindows(clock), clock=clock, log=log
    )


@pytest.fixture(params=["alone", "shared"])
async def windows(request: pytest.FixtureRequest) -> AsyncIterator[Windows]:
    clock = MovableClock()
    if request.param == "alone":
        yield LocalWindows(clock)
        return
    shared = redis_windows(request.getfixturevalue("redis_url"), clock, SpyLog())
    yield shared
    await shared.aclose()


async def test_a_window_has_room_for_its_number_and_then_says_how_long_to_wait(windows: Windows) -> None:
    waits = [await windows.hit(two_of("a")) for _ in range(3)]
    other = await windows.hit(two_of("b"))

    assert waits[:2] == [None, None]
    assert waits[2] is not None
    assert 50 < waits[2] <= 60
    assert other is None


async def test_of_many_at_once_exactly_the_allowed_number_passes(windows: Windows) -> None:
    waits = await asyncio.gather(*(windows.hit([window(parse("7/minute"), "a")]) for _ in range(40)))

    assert waits.count(None) == 7


async def test_what_one_limit_refuses_no_other_counts(windows: Windows) -> None:
    many = window(parse("9/minute"), "service")
    one, other = window(parse("1/minute"), "ada"), window(parse("1/minute"), "bob")

    waits = [await windows.hit([one, many]) for _ in range(12)]
    rest = [await windows.hit([many]) for _ in range(9)]
    full = await windows.hit([other, many])
    still_free = await windows.hit([other])

    assert waits.count(None) == 1
    assert rest.count(None) == 8
    assert full is not None
    assert still_free is None


async def test_both_limits_of_a_message_are_counted_in_one_trip(
    redis_server: RedisServer, redis_url: str
) -> None:
    client = open_redis(redis_url, timeout_seconds=1.0)
    limits = RateLimits(SharedWindows(client, timeout_seconds=1.0), TWO_A_MINUTE, TWO_A_MINUTE, TWO_A_MINUTE)
    ada = Caller(kind=CallerKind.SERVER, name="shop", customer_id="ada")
    await limits.check_message(ada, None)  # from now on it is connected
    with redis_server.client() as operator:
        before = operator.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"]
        processed = operator.info("stats")["total_commands_processed"]
        await limits.check_message(ada, None)
        after = operator.info("commandstats")["cmdstat_eval"]["calls"]
        rest = operator.info("stats")["total_commands_processed"] - processed
    with pytest.raises(RateLimited) as refused:
        await limits.check_message(ada, None)
    await client.aclose()

    assert after - before == 1
    # Two questions of this test, the script, and what it calls: the time, and four for each limit.
    assert rest == 2 + 1 + 9
    assert refused.value.retry_after is not None
    assert 50 < refused.value.retry_after <= 60


async def test_a_cluster_counts_both_limits_together() -> None:
    with ClusterGroup() as group:
        windows = SharedWindows(open_redis(group.url, timeout_seconds=1.0), timeout_seconds=1.0)
        both = [*two_of("a"), *two_of("b")]
        waits = [await windows.hit(both) for _ in range(3)]
        await windows.aclose()

    assert waits[:2] == [None, None]
    assert waits[2] is not None


class StandingClock(SystemClock):
    """Moved by hand alone, in whole seconds, so that windows end to the point."""

    def __init__(self) -> None:
        self.seconds = 1_000

    def monotonic(self) -> float:
        return self.seconds


class DirectRedis(SimulatedRedis):
    """Redis's scripts on a clock of the test's."""

    def __init__(self, server: TinyRedis) -> None:
        super().__init__()
        self._server = server

    async def _sent(self, name: str, work: Callable[[], Any]) -> Any:
        return work()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", ["alone", "shared"])
async def test_any_sequence_is_decided_as_limits_decides_it(redis_url: str, seed: int, kind: str) -> None:
    rng = random.Random(seed)
    clock = StandingClock()
    client = DirectRedis(TinyRedis(now=lambda: clock.seconds))
    ours: Windows = LocalWindows(clock) if kind == "alone" else SharedWindows(client, timeout_seconds=1.0)
    theirs = MovingWindowRateLimiter(RedisStorage(redis_url))
    rates = {name: parse(f"{rng.randint(1, 4)} per {rng.randint(1, 5)} minutes") for name in "abc"}
    refused = 0

    with patch("limits.storage.redis.time.time", lambda: clock.seconds):
        for _ in range(150):
            clock.seconds += rng.choice((0, 0, 15, 30, 60))
            names = rng.sample("abc", rng.randint(1, 2))
            wait = await ours.hit([window(rates[name], name) for name in names])
            has_room = all(theirs.test(rates[name], name) for name in names)
            if has_room:
                assert all(theirs.hit(rates[name], name) for name in names)

            assert (wait is None) is has_room
            if wait is not None:
                refused += 1
                ends = [
                    theirs.get_window_stats(rates[name], name).reset_time
                    for name in names
                    if not theirs.test(rates[name], name)
                ]
                assert wait == max(ends) - clock.seconds

    assert 0 < refused < 150


async def test_a_window_moves_and_does_not_start_anew() -> None:
    clock = MovableClock()
    windows = LocalWindows(clock)

    await windows.hit(two_of("a"))
    clock.ahead_seconds = 50
    await windows.hit(two_of("a"))
    clock.ahead_seconds = 61
    after_the_first = await windows.hit(two_of("a"))
    too_many = await windows.hit(two_of("a"))

    assert after_the_first is None
    assert too_many == pytest.approx(49, abs=1)


async def test_customers_who_have_gone_are_forgotten() -> None:
    clock = MovableClock()
    windows = LocalWindows(clock)

    for n in range(10_000):
        await windows.hit(two_of(str(n)))
    clock.ahead_seconds = 61
    await windows.hit(two_of("new"))

    assert len(windows._hits) == 1


async def test_replicas_count_together(redis_url: str) -> None:
    clock, log = MovableClock(), SpyLog()
    one, other = redis_windows(redis_url, clock, log), redis_windows(redis_url, clock, log)

    waits = [await each.hit(two_of("a")) for each in (one, other, one)]
    await one.aclose()
    await other.aclose()

    assert waits[:2] == [None, None]
    assert waits[2] is not None


@pytest.mark.alone
async def test_with_redis_gone_messages_pass_and_this_replica_counts_alone(
    killable_redis: RedisServer,
) -> None:
    clock, log = MovableClock(), SpyLog()
    windows = redis_windows(killable_redis.url, clock, log)
    await windows.hit(two_of("a"))
    killable_redis.kill()

    began = asyncio.get_running_loop().time()
    waits = [await windows.hit(two_of("a")) for _ in range(3)]
    took_seconds = asyncio.get_running_loop().time() - began
    await windows.aclose()

    assert waits[:2] == [None, None]
    assert waits[2] is not None
    assert_within(took_seconds, 0.5)
    assert [each["event"] for each in log.events] == ["rate_limit.counting_alone"]


@pytest.mark.alone
async def test_with_redis_silent_only_one_message_waits_for_it(killable_redis: RedisServer) -> None:
    clock, log = MovableClock(), SpyLog()
    windows = redis_windows(killable_redis.url, clock, log, seconds=0.25)
    await windows.hit(two_of("a"))
    killable_redis.pause()
    began = asyncio.get_running_loop().time()
    await windows.hit(two_of("a"))
    first_seconds = asyncio.get_running_loop().time() - began
    await windows.hit(two_of("a"))
    both_seconds = asyncio.get_running_loop().time() - began
    killable_redis.resume()
    await windows.aclose()

    assert_within(first_seconds, 0.4)
    assert_within(both_seconds - first_seconds, 0.1)


async def test_redis_is_asked_again_when_it_is_back(killable_redis: RedisServer) -> None:
    clock, log = MovableClock(), SpyLog()
    windows = redis_windows(killable_redis.url, clock, log)
    killable_redis.kill()
    await windows.hit(two_of("a"))
    killable_redis.start()
    clock.ahead_seconds = 6
    await windows.hit(two_of("b"))
    with killable_redis.client() as client:
        keys = list(client.scan_iter("careline:limit*"))
    await windows.aclose()

    assert len(keys) == 1


@pytest.mark.parametrize("text", ["many", "3/fortnight", "-1/minute", ""])
def test_a_limit_that_nobody_understands_stops_the_start(text: str) -> None:
    with pytest.raises(ValidationError, match="rate_limit"):
        settings_for_tests(rate_limit=text)


async def test_a_caller_for_nobody_in_particular_is_counted_by_conversation() -> None:
    limits = RateLimits(LocalWindows(MovableClock()), TWO_A_MINUTE, None, TWO_A_MINUTE)
    caller = Caller(kind=CallerKind.SERVER, name="shop")

    for _ in range(5):
        await limits.check_message(caller, None)
    for _ in range(2):
        await limits.check_message(caller, "conv_1")

    with pytest.raises(RateLimited):
        await limits.check_message(caller, "conv_1")
