"""Pitfalls of what is stored, and for how long (../shared/pitfalls.md)."""

import asyncio
import sqlite3
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.pitfalls.port import say
from tests.pitfalls.world import World, longest_stall
from tests.servers import RedisServer

_LOCKED_SECONDS = 0.3


async def test_n11_an_erased_customer_is_not_brought_back_by_the_other_store(world: World) -> None:
    a = await world.replica()
    world.redis.kill()
    await say(a, "one", receipt="R-1")
    world.redis.start()
    b = await world.replica("b")
    await say(b, "two")

    await b.erase()

    turn = await b.begin("Do you know me?", id="one")
    world.claim((list(turn.before), list(turn.receipts)), ([], []))


async def test_n20_customers_of_two_tenants_who_are_called_the_same_know_nothing_of_each_other(
    world: World,
) -> None:
    a = await world.replica()
    here = await a.begin("one", id="1", tenant="here")
    await here.save(receipt="R-1")

    there = await a.begin("two", id="1", tenant="there")

    world.claim((list(there.before), list(there.receipts)), ([], []))


async def test_n21_a_turn_of_a_long_conversation_sends_no_more_than_one_of_a_short(world: World) -> None:
    a = await world.replica()
    sent = []
    for number in range(40):
        before = _bytes_taken(world.redis)
        await say(a, f"message {number:03}")
        sent.append(_bytes_taken(world.redis) - before)

    growth = max(sent[-10:]) / max(sent[10:20])

    world.claim(growth < 1.5, True)


def _bytes_taken(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_net_input_bytes"])


@pytest.mark.alone
async def test_n24_a_save_that_waits_for_sql_leaves_the_other_conversations_alone(world: World) -> None:
    a = await world.replica()
    await say(a, "one")
    world.redis.kill()
    turn = await a.begin("two")
    file = sqlite3.connect(world.database_url.partition("///")[2], check_same_thread=False)
    file.execute("BEGIN IMMEDIATE")
    release = threading.Timer(_LOCKED_SECONDS, file.rollback)
    release.start()

    stalled_seconds = await longest_stall(asyncio.ensure_future(turn.save()))

    release.join()
    file.close()
    world.claim_within(stalled_seconds, _LOCKED_SECONDS / 2)


async def test_n25_an_old_replica_keeps_the_field_that_a_newer_one_wrote(world: World) -> None:
    a = await world.replica()
    await say(a, "one")
    await a.store(a.with_field(await a.stored(), "loyalty", "gold"))

    await say(a, "two")

    world.claim(a.field(await a.stored(), "loyalty"), "gold")


async def test_n29_times_and_amounts_are_the_same_whichever_store_is_asked(world_on_postgres: World) -> None:
    world = world_on_postgres
    a = await world.replica()
    noted = {"promised_at": datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC), "refund": Decimal("19.90")}
    world.redis.kill()
    await (await a.begin("one")).save(notes=noted)
    turn = await a.begin("two")
    from_sql = dict(turn.notes)
    await turn.save()
    world.redis.start()
    b = await world.replica("b")
    await say(b, "three")
    world.sql.kill()

    from_redis = dict((await b.begin("four")).notes)

    assert from_sql.keys() == from_redis.keys() == noted.keys()
    world.claim(from_sql == from_redis, True)


async def test_n31_when_its_time_is_over_personal_data_is_nowhere_left(world: World) -> None:
    a = await world.replica()
    words = "My card ends in 4111."
    world.redis.kill()
    await say(a, words)
    world.redis.start()
    b = await world.replica("b")
    await say(b, "thanks")
    assert await b.places_of(words)

    await b.let_expire()
    with world.redis.client() as time_passes:
        for key in time_passes.scan_iter():
            if time_passes.ttl(key) > 0:
                time_passes.delete(key)

    world.claim(list(await b.places_of(words)), [])
