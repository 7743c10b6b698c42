"""Pitfalls of stores that fail (../shared/pitfalls.md): "could not ask" is never an answer, and nobody pays for it twice."""

import asyncio
import time
from contextlib import suppress

import pytest

from tests.pitfalls.port import Refused, Subject, said, say
from tests.pitfalls.relay import Relay
from tests.pitfalls.world import World
from tests.servers import RedisServer


async def test_n04_with_both_stores_away_no_empty_state_is_made_and_saved_over_the_real_one(
    world_on_postgres: World,
) -> None:
    world = world_on_postgres
    a = await world.replica()
    await say(a, "one")
    world.redis.kill()
    world.sql.kill()

    try:
        turn = await a.begin("two")
    except Refused:
        later = await world.heal()
        await say(later, "two")
    else:
        later = await world.heal()
        await turn.save()

    world.claim(await said(later), ["one", "two"])


async def test_n05_one_read_that_timed_out_wipes_no_history(world: World) -> None:
    a = await world.replica()
    await say(a, "one")
    world.redis.pause()
    turn = await a.begin("two")
    world.redis.resume()

    await turn.save()

    world.claim(await said(a), ["one", "two"])


async def test_n09_what_the_customer_was_told_is_what_is_saved_though_the_stores_fail_under_it(
    world_on_postgres: World,
) -> None:
    world = world_on_postgres
    a = await world.replica(lease_seconds=1.5)
    await say(a, "one")
    turn = await a.begin("two")
    world.redis.kill()
    world.sql.kill()
    with suppress(Refused):
        await turn.save(notes={"promised": "a refund"})
    was_told = "re: two" in a.told

    later = await world.heal()

    is_kept = "re: two" in await later.log() and "promised" in (await later.begin("three")).notes
    world.claim(was_told, is_kept)


async def test_n10_a_customer_whose_keys_were_evicted_is_not_a_new_customer(world: World) -> None:
    a = await world.replica()
    await say(a, "one", receipt="R-1")
    with world.redis.client() as operator:
        assert operator.dbsize() > 0
        operator.flushall()

    turn = await a.begin("two")

    world.claim((list(turn.before), list(turn.receipts)), (["one"], ["R-1"]))


async def test_n13_a_state_that_cannot_be_read_is_left_as_it_is(world: World) -> None:
    a = await world.replica()
    await say(a, "one")
    damaged = b"\xc1 damaged"
    await a.store(damaged)

    with suppress(Refused):
        await say(a, "two")

    world.claim(await a.stored(), damaged)


@pytest.mark.alone
async def test_n16_a_dead_redis_is_not_waited_for_in_every_turn(world: World) -> None:
    a = await world.replica()
    await say(a, "one")
    world.redis.pause()

    quickest = min([await _seconds_of(a, f"message {number}") for number in range(4)])

    world.claim_within(quickest, 0.2)


async def _seconds_of(subject: Subject, text: str) -> float:
    began = time.monotonic()
    await say(subject, text)
    return time.monotonic() - began


async def test_n23_a_write_that_was_carried_out_and_not_confirmed_is_not_there_twice_when_it_is_sent_again(
    world_on_postgres: World,
) -> None:
    world = world_on_postgres
    async with Relay(world.redis.port) as relay:
        a = await world.replica(redis_url=relay.url, lease_seconds=1.5)
        await say(a, "one")
        world.sql.kill()
        await say(a, "two")
        relay.lose_the_reply_to("three")

        with suppress(Refused):
            await say(a, "three")
        assert relay.is_lost
        await say(a, "three")

    later = await world.heal()
    world.claim(await said(later), ["one", "two", "three"])


@pytest.mark.parametrize("trouble", ["wrong type", "out of memory"])
async def test_n26_a_redis_that_answers_with_an_error_is_not_taken_for_one_that_is_right(
    world: World, trouble: str
) -> None:
    a = await world.replica()
    await say(a, "one")
    _trouble(world.redis, trouble)
    await say(a, "two")

    turn = await a.begin("three")

    world.claim(list(turn.before), ["one", "two"])


def _trouble(server: RedisServer, trouble: str) -> None:
    with server.client() as operator:
        if trouble == "out of memory":
            operator.config_set("maxmemory", "1")
            return
        for key in operator.scan_iter():
            is_list = operator.type(key) == b"list"
            operator.delete(key)
            operator.set(key, "x") if is_list else operator.rpush(key, "x")


async def test_n32_a_turn_that_is_cancelled_between_reading_and_saving_loses_no_message(world: World) -> None:
    a = await world.replica(lease_seconds=1.5)
    await say(a, "one")
    has_read = asyncio.Event()

    async def turn() -> None:
        begun = await a.begin("two")
        has_read.set()
        await asyncio.sleep(60)
        await begun.save()

    running = asyncio.create_task(turn())
    await has_read.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running

    later = await world.heal()
    world.claim(list(await later.log()), ["one", "re: one", "two", "re: two"])
