"""Pitfalls of things that happen twice, late or at once (../shared/pitfalls.md): each message once, and the newest stands."""

import asyncio

from tests.pitfalls.port import said, say
from tests.pitfalls.relay import Relay
from tests.pitfalls.world import World


async def test_n07_of_ten_messages_at_once_ten_are_kept(world: World) -> None:
    a = await world.replica()
    await say(a, "first")
    texts = [f"message {number}" for number in range(10)]

    await asyncio.gather(*(say(a, text) for text in texts))

    world.claim(sorted(await said(a)), sorted(["first", *texts]))


async def test_n08_a_write_that_timed_out_and_lands_later_is_not_laid_over_a_newer_one(
    world_on_postgres: World,
) -> None:
    world = world_on_postgres
    async with Relay(world.redis.port) as relay:
        a = await world.replica("a", redis_url=relay.url)
        b = await world.replica("b")
        await say(a, "one")
        relay.hold("re: two")
        await (await a.begin("two")).save(notes={"last": "two"})
        await (await b.begin("three")).save(notes={"last": "three"})

        relay.release()
        await asyncio.wait_for(relay.landed.wait(), 5)

        world.sql.kill()  # only what lies in Redis is left to go on from
        turn = await b.begin("four")
    world.claim((list(turn.before), turn.notes), (["one", "two", "three"], {"last": "three"}))


async def test_n14_a_turn_that_crashed_after_its_effect_opens_no_second_ticket(world: World) -> None:
    a = await world.replica("a", lease_seconds=1.5)
    crashed = await a.begin("My lamp is broken, open a ticket.")
    await crashed.open_ticket("Broken lamp")

    await asyncio.sleep(1.6)
    b = await world.replica("b", lease_seconds=1.5)
    again = await b.begin("My lamp is broken, open a ticket.")
    await again.open_ticket("The garden light stays dark")
    await again.save()

    world.claim(len(world.desk.tickets), 1)


async def test_n15_a_message_that_is_sent_again_is_one_message(world: World) -> None:
    a = await world.replica()
    await say(a, "one", id="1")

    await say(a, "one", id="1")

    world.claim(await said(a), ["one"])


async def test_n19_a_turn_that_outlived_its_lock_writes_nothing(world: World) -> None:
    a = await world.replica("a", lease_seconds=1.5, lock_seconds=1.0)
    b = await world.replica("b", lease_seconds=1.5, lock_seconds=1.0)
    await say(a, "one")
    late = await a.begin("two")
    await asyncio.sleep(1.6)
    await say(b, "three")

    await late.save()

    expected = ["one", "re: one", "re: three", "re: two", "three", "two"]
    world.claim(sorted(await b.log()), expected)


async def test_n22_no_driver_repeats_a_write_whose_reply_was_lost(world: World) -> None:
    async with Relay(world.redis.port) as relay:
        a = await world.replica(redis_url=relay.url, driver_retries=3)
        await say(a, "one")
        relay.lose_the_reply_to("re: two")

        await say(a, "two")

        assert relay.is_lost
        world.claim(list(await a.transcript()), ["one", "re: one", "two", "re: two"])
