"""Rate limits: exact windows, shared through Redis, and what happens when Redis goes."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from limits import parse
from pydantic import ValidationError

from agent.api.limits import LocalWindows, RateLimits, RedisWindows, Windows
from core.errors import RateLimited
from core.identity import Caller, CallerKind
from tests.servers import RedisServer
from tests.service.api_service import MovableClock, SpyLog, settings_for_tests
from tests.timing import assert_within

TWO_A_MINUTE = parse("2/minute")


def redis_windows(url: str, clock: MovableClock, log: SpyLog) -> RedisWindows:
    return RedisWindows(url, timeout_seconds=0.25, alone=LocalWindows(clock), clock=clock, log=log)


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
    waits = [await windows.hit(TWO_A_MINUTE, "a") for _ in range(3)]
    other = await windows.hit(TWO_A_MINUTE, "b")

    assert waits[:2] == [None, None]
    assert waits[2] is not None
    assert 50 < waits[2] <= 60
    assert other is None


async def test_of_many_at_once_exactly_the_allowed_number_passes(windows: Windows) -> None:
    waits = await asyncio.gather(*(windows.hit(parse("7/minute"), "a") for _ in range(40)))

    assert waits.count(None) == 7


async def test_a_window_moves_and_does_not_start_anew() -> None:
    clock = MovableClock()
    windows = LocalWindows(clock)

    await windows.hit(TWO_A_MINUTE, "a")
    clock.ahead_seconds = 50
    await windows.hit(TWO_A_MINUTE, "a")
    clock.ahead_seconds = 61
    after_the_first = await windows.hit(TWO_A_MINUTE, "a")
    too_many = await windows.hit(TWO_A_MINUTE, "a")

    assert after_the_first is None
    assert too_many == pytest.approx(49, abs=1)


async def test_customers_who_have_gone_are_forgotten() -> None:
    clock = MovableClock()
    windows = LocalWindows(clock)

    for n in range(10_000):
        await windows.hit(TWO_A_MINUTE, str(n))
    clock.ahead_seconds = 61
    await windows.hit(TWO_A_MINUTE, "new")

    assert len(windows._hits) == 1


async def test_replicas_count_together(redis_url: str) -> None:
    clock, log = MovableClock(), SpyLog()
    one, other = redis_windows(redis_url, clock, log), redis_windows(redis_url, clock, log)

    waits = [await each.hit(TWO_A_MINUTE, "a") for each in (one, other, one)]
    await one.aclose()
    await other.aclose()

    assert waits[:2] == [None, None]
    assert waits[2] is not None


async def test_with_redis_gone_messages_pass_and_this_replica_counts_alone(
    killable_redis: RedisServer,
) -> None:
    clock, log = MovableClock(), SpyLog()
    windows = redis_windows(killable_redis.url, clock, log)
    await windows.hit(TWO_A_MINUTE, "a")
    killable_redis.kill()

    began = asyncio.get_running_loop().time()
    waits = [await windows.hit(TWO_A_MINUTE, "a") for _ in range(3)]
    took_seconds = asyncio.get_running_loop().time() - began
    await windows.aclose()

    assert waits[:2] == [None, None]
    assert waits[2] is not None
    assert_within(took_seconds, 0.5)
    assert [each["event"] for each in log.events] == ["rate_limit.counting_alone"]


async def test_with_redis_silent_only_one_message_waits_for_it(killable_redis: RedisServer) -> None:
    clock, log = MovableClock(), SpyLog()
    windows = redis_windows(killable_redis.url, clock, log)
    await windows.hit(TWO_A_MINUTE, "a")
    killable_redis.pause()
    began = asyncio.get_running_loop().time()
    await windows.hit(TWO_A_MINUTE, "a")
    first_seconds = asyncio.get_running_loop().time() - began
    await windows.hit(TWO_A_MINUTE, "a")
    both_seconds = asyncio.get_running_loop().time() - began
    killable_redis.resume()
    await windows.aclose()

    assert_within(first_seconds, 0.4)
    assert_within(both_seconds - first_seconds, 0.1)


async def test_redis_is_asked_again_when_it_is_back(killable_redis: RedisServer) -> None:
    clock, log = MovableClock(), SpyLog()
    windows = redis_windows(killable_redis.url, clock, log)
    killable_redis.kill()
    await windows.hit(TWO_A_MINUTE, "a")
    killable_redis.start()
    clock.ahead_seconds = 6
    await windows.hit(TWO_A_MINUTE, "b")
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
