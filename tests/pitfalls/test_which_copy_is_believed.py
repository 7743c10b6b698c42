"""Pitfalls of two stores that each hold a state (../shared/pitfalls.md): which one is right is decided by SQL alone."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.pitfalls.port import said, say
from tests.pitfalls.world import World
from tests.servers import RedisServer, free_port


@pytest.fixture
def redis_replica(killable_redis: RedisServer) -> Iterator[RedisServer]:
    with killable_redis.client() as master:
        master.config_set("repl-diskless-sync-delay", "0")
    with RedisServer("--replicaof", "127.0.0.1", str(killable_redis.port)) as follower:
        yield follower


async def test_n01_what_was_said_while_all_was_well_outlives_redis(world: World) -> None:
    a = await world.replica()
    await say(a, "one")

    world.redis.kill()

    world.claim(await said(a), ["one"])


async def test_n02_a_redis_that_slept_through_an_outage_does_not_win_when_it_returns(world: World) -> None:
    a = await world.replica()
    await say(a, "one")
    world.redis.kill()
    await say(a, "two")

    world.redis.start()

    world.claim(await said(await world.replica("b")), ["one", "two"])


async def test_n03_turns_that_alternate_between_the_stores_see_all_of_each_other(world: World) -> None:
    seen = []
    for number, text in enumerate(("one", "two", "three", "four")):
        world.redis.kill() if number % 2 else world.redis.start()
        a = await world.replica(text)
        turn = await a.begin(text)
        seen.append(list(turn.before))
        await turn.save()

    world.claim(seen, [[], ["one"], ["one", "two"], ["one", "two", "three"]])


async def test_n06_a_replica_that_cannot_reach_redis_serves_the_same_conversation(world: World) -> None:
    a = await world.replica("a")
    b = await world.replica("b", redis_url=f"redis://127.0.0.1:{free_port()}/0")
    seen = []
    for replica, text in ((a, "one"), (b, "two"), (a, "three")):
        turn = await replica.begin(text)
        seen.append(list(turn.before))
        await turn.save()

    world.claim(seen, [[], ["one"], ["one", "two"]])


async def test_n12_an_empty_state_is_a_state(world: World) -> None:
    a = await world.replica()
    world.redis.kill()
    turn = await a.begin("one")
    await turn.save(notes={"flow": "ticket"})
    world.redis.start()
    b = await world.replica("b")
    await b.start_over()

    world.claim(dict((await b.begin("two")).notes), {})


async def test_n17_a_store_that_is_dead_is_told_though_the_other_still_serves(
    world_on_postgres: World,
) -> None:
    world = world_on_postgres
    a = await world.replica()
    await say(a, "one")
    world.sql.kill()

    with capture_logs() as events:
        await say(a, "two")

    world.claim(any(event["log_level"] in ("warning", "error") for event in events), True)


async def test_n18_a_failover_to_a_redis_that_lagged_loses_nothing_for_good(
    world: World, redis_replica: RedisServer
) -> None:
    a = await world.replica()
    await say(a, "one")
    with world.redis.client() as master, redis_replica.client() as follower:
        assert master.wait(1, 2000) == 1
        follower.replicaof("127.0.0.1", str(free_port()))
        await say(a, "two")
        world.redis.kill()
        follower.replicaof("NO", "ONE")
        b = await world.replica("b", redis_url=redis_replica.url)

        await say(b, "three")

        assert follower.dbsize() > 0
    world.claim(await said(b), ["one", "two", "three"])


async def test_n27_a_master_that_became_a_read_only_replica_is_not_read_as_if_it_were_current(
    world: World, redis_replica: RedisServer
) -> None:
    a = await world.replica()
    await say(a, "one")
    with world.redis.client() as old, redis_replica.client() as new:
        assert old.wait(1, 2000) == 1
        new.replicaof("NO", "ONE")
        old.replicaof("127.0.0.1", str(redis_replica.port))
    await say(a, "two")

    turn = await a.begin("three")

    world.claim(list(turn.before), ["one", "two"])


async def test_n28_a_replica_whose_clock_is_an_hour_ahead_does_not_win_by_it(world: World) -> None:
    ahead = await world.replica("ahead", newest_wins=True, clock_ahead=timedelta(hours=1))
    right = await world.replica("right", newest_wins=True)
    await say(ahead, "one")
    world.redis.kill()
    await say(right, "two")
    world.redis.start()

    turn = await (await world.replica("b", newest_wins=True)).begin("three")

    world.claim(list(turn.before), ["one", "two"])


async def test_n30_a_redis_that_comes_and_goes_within_turns_costs_no_turn_its_state(world: World) -> None:
    a = await world.replica()
    for number in range(6):
        turn = await a.begin(f"message {number}")
        if number % 2:
            world.redis.kill()
        await turn.save(notes={"turns": turn.notes.get("turns", 0) + 1})
        world.redis.start()

    turn = await (await world.replica("b")).begin("last")

    world.claim(turn.notes["turns"], 6)
