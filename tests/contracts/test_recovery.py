"""Conversations go on and lose nothing when Redis, SQL or both are really taken away."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from core.clock import SystemClock
from core.errors import Conflict, DependencyUnavailable, LeaseLost, StateLoadFailed
from core.messages import Durability, MessageRole
from core.records import OutboxItem, OutboxKind
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from core.settings import Settings
from state.models import ConversationState, CustomerState
from state.opening import OpenState, migrate, open_state
from state.recovery import StateRecoveryHandler
from state.redis.journal import RedisJournal
from state.store import CallGuard, EffectRecord, Intake, Lease
from tests.contracts.databases import answer, message
from tests.servers import PostgresServer, RedisServer
from tests.timing import assert_within

T = TypeVar("T")


class PassThrough:
    """A guard that guards nothing, so that a test sees what lies behind it."""

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        deadline: Deadline | None = None,
        may_repeat: bool = True,
    ) -> T:
        return await attempt()


def real_guard(name: str, seconds: float) -> Guard:
    return Guard(name, GuardPolicy(attempt_seconds=seconds), clock=SystemClock(), rng=random.Random(1))


@asynccontextmanager
async def replica(
    database_url: str,
    redis_url: str | None,
    *,
    owner: str = "a",
    sql: CallGuard | None = None,
    redis: CallGuard | None = None,
    lease_seconds: float = 30.0,
    redis_seconds: float = 2.0,
) -> AsyncIterator[OpenState]:
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "redis_url": redis_url,
            "sql_timeout_seconds": 1.0,
            "redis_timeout_seconds": redis_seconds,
            "lease_seconds": lease_seconds,
        }
    )
    await migrate(settings)
    async with open_state(
        settings, sql=sql or PassThrough(), redis=redis or PassThrough(), clock=SystemClock(), owner=owner
    ) as opened:
        yield opened


class Counting:
    """A guard that counts what is asked through it."""

    def __init__(self, guard: Guard) -> None:
        self.calls = 0
        self._guard = guard

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        deadline: Deadline | None = None,
        may_repeat: bool = True,
    ) -> T:
        self.calls += 1
        return await self._guard.run(attempt, deadline=deadline, may_repeat=may_repeat)


def journal_of(opened: OpenState) -> RedisJournal:
    assert opened.journal is not None
    return opened.journal


def leased(intake: Intake) -> Lease:
    assert intake.lease is not None
    return intake.lease


async def say(
    store: StateRecoveryHandler, text: str, *, id: str, conversation: str | None = None
) -> tuple[Intake, list[str], str]:
    """One whole turn: the intake, the history that it saw, and where that came from."""
    intake = await store.intake(message(text, id=id, conversation=conversation))
    snapshot = await store.load(leased(intake), history_messages=20)
    await store.commit(answer(leased(intake), f"re: {text}", state=ConversationState(notes={"said": text})))
    return intake, [m.text for m in snapshot.history], snapshot.source


async def log_of(opened: OpenState, conversation_id: str) -> list[str]:
    return [
        m.text for m in await opened.conversations.messages("default", conversation_id, after=0, limit=100)
    ]


def told(events: list[EventDict], name: str) -> list[EventDict]:
    return [each for each in events if each["event"] == name]


# Redis as a copy


async def test_a_following_turn_reads_from_redis_what_sql_has(sqlite_url: str, redis_url: str) -> None:
    async with replica(sqlite_url, redis_url) as opened:
        first, _, source = await say(opened.conversations, "one", id="1")
        assert source == "sql"

        for n, text in enumerate(("two", "three"), start=1):
            _, history, source = await say(
                opened.conversations, text, id=text, conversation=first.conversation_id
            )

            assert source == "redis"
            assert len(history) == 2 * n
        assert history == ["one", "re: one", "two", "re: two"]


async def test_a_copy_that_missed_a_message_is_not_used(sqlite_url: str, redis_url: str) -> None:
    async with replica(sqlite_url, redis_url) as opened, replica(sqlite_url, None) as blind:
        first, _, _ = await say(opened.conversations, "one", id="1")
        await blind.conversations.append_note(
            "default", first.conversation_id, key="n", text="note", at=message().at
        )

        _, history, source = await say(
            opened.conversations, "two", id="2", conversation=first.conversation_id
        )

        assert source == "sql"
        assert history == ["one", "re: one", "note"]
        _, history, source = await say(
            opened.conversations, "three", id="3", conversation=first.conversation_id
        )
        assert source == "redis"
        assert history == ["one", "re: one", "note", "two", "re: two"]


async def test_a_copy_behind_sql_is_not_used_and_then_mended(sqlite_url: str, redis_url: str) -> None:
    async with replica(sqlite_url, redis_url) as opened, replica(sqlite_url, None) as blind:
        first, _, _ = await say(opened.conversations, "one", id="1")
        await say(blind.conversations, "two", id="2", conversation=first.conversation_id)

        _, history, source = await say(
            opened.conversations, "three", id="3", conversation=first.conversation_id
        )

        assert source == "sql"
        assert history == ["one", "re: one", "two", "re: two"]
        *_, source = await say(opened.conversations, "four", id="4", conversation=first.conversation_id)
        assert source == "redis"


async def test_redis_never_moves_backwards(sqlite_url: str, redis_url: str) -> None:
    async with replica(sqlite_url, redis_url) as opened:
        assert opened.copy is not None
        first, _, _ = await say(opened.conversations, "one", id="1")
        second = await opened.conversations.intake(message("two", id="2", conversation=first.conversation_id))
        late = await opened.conversations.load(leased(second), history_messages=20)
        await opened.conversations.commit(answer(leased(second)))

        await opened.copy.put(late)

        copied = await opened.copy.read("default", first.conversation_id)
        assert copied is not None
        assert copied.version == 2
        *_, source = await say(opened.conversations, "three", id="3", conversation=first.conversation_id)
        assert source == "redis"


async def test_a_claimed_conversation_is_its_new_owners_whatever_the_visitors_copy_says(
    sqlite_url: str, redis_url: str
) -> None:
    async with replica(sqlite_url, redis_url) as opened:
        store = opened.conversations
        first, _, _ = await say(store, "one", id="1")
        await store.claim_conversation("default", first.conversation_id, visitor="ada", customer="lovelace")

        intake = await store.intake(
            message("two", id="2", conversation=first.conversation_id, customer_id="lovelace")
        )
        snapshot = await store.load(leased(intake), history_messages=20)

        assert snapshot.conversation.customer_id == "lovelace"
        assert [m.text for m in snapshot.history] == ["one", "re: one"]


async def test_what_the_copy_says_of_a_customer_is_never_older_than_sql(
    sqlite_url: str, redis_url: str
) -> None:
    async with replica(sqlite_url, redis_url) as opened, replica(sqlite_url, None) as blind:
        first, _, _ = await say(opened.conversations, "one", id="1")
        other = await blind.conversations.intake(message("elsewhere", id="other"))
        await blind.conversations.commit(
            answer(leased(other), customer_state=CustomerState(receipts=("R-1",)))
        )

        intake = await opened.conversations.intake(message("two", id="2", conversation=first.conversation_id))
        snapshot = await opened.conversations.load(leased(intake), history_messages=20)

        assert snapshot.customer_state.receipts == ("R-1",)


@pytest.mark.alone
async def test_with_redis_killed_every_turn_goes_on_with_full_history(
    sqlite_url: str, killable_redis: RedisServer
) -> None:
    guard = real_guard("redis", 0.25)
    async with replica(sqlite_url, killable_redis.url, redis=guard, redis_seconds=0.25) as opened:
        first, _, _ = await say(opened.conversations, "one", id="1")
        intake = await opened.conversations.intake(message("two", id="2", conversation=first.conversation_id))
        killable_redis.kill()

        snapshot = await opened.conversations.load(leased(intake), history_messages=20)
        await opened.conversations.commit(answer(leased(intake), "re: two"))

        assert [m.text for m in snapshot.history] == ["one", "re: one"]
        for n in range(8):
            began = time.monotonic()
            _, history, source = await say(
                opened.conversations, f"x{n}", id=f"x{n}", conversation=first.conversation_id
            )
            assert_within(time.monotonic() - began, 1.0)
            assert source == "sql"
            assert len(history) == 4 + 2 * n
        killable_redis.start()
        ends_at = time.monotonic() + 15
        while source == "sql" and time.monotonic() < ends_at:
            await asyncio.sleep(0.3)
            n += 1
            *_, source = await say(
                opened.conversations, f"x{n}", id=f"x{n}", conversation=first.conversation_id
            )
        assert source == "redis"


@pytest.mark.alone
async def test_a_silent_redis_costs_some_turns_a_quarter_second_and_then_nothing(
    sqlite_url: str, killable_redis: RedisServer
) -> None:
    async with replica(
        sqlite_url, killable_redis.url, redis=real_guard("redis", 0.25), redis_seconds=0.25
    ) as opened:
        first, _, _ = await say(opened.conversations, "one", id="1")
        killable_redis.pause()

        took = []
        for n in range(8):
            began = time.monotonic()
            await say(opened.conversations, f"x{n}", id=f"x{n}", conversation=first.conversation_id)
            took.append(time.monotonic() - began)

        assert_within(max(took), 1.5)
        assert_within(sorted(took)[2], 0.2)


async def test_an_outage_of_redis_is_logged_once_and_its_end_too(
    sqlite_url: str, killable_redis: RedisServer
) -> None:
    async with replica(
        sqlite_url, killable_redis.url, redis=real_guard("redis", 0.25), redis_seconds=0.25
    ) as opened:
        killable_redis.kill()
        with capture_logs() as during:
            for _ in range(8):
                await opened.conversations.drain()
        killable_redis.start()
        with capture_logs() as afterwards:
            async with asyncio.timeout(10.0):
                while not told(afterwards, "state.redis_used_again"):
                    await opened.conversations.drain()
                    await asyncio.sleep(0.1)
        killable_redis.kill()
        with capture_logs() as again:
            await opened.conversations.drain()

    assert [each["log_level"] for each in told(during, "state.redis_skipped")] == ["warning", *["debug"] * 7]
    assert [each["log_level"] for each in told(again, "state.redis_skipped")] == ["warning"]


# SQL down: the journal


async def test_a_conversation_goes_on_in_redis_while_sql_is_down_and_is_in_sql_afterwards(
    killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    async with replica(killable_postgres.url(), killable_redis.url) as opened:
        store = opened.conversations
        first, _, _ = await say(store, "one", id="1")
        killable_postgres.kill()

        second, history, source = await say(store, "two", id="2", conversation=first.conversation_id)
        third, later_history, _ = await say(store, "three", id="3", conversation=first.conversation_id)

        assert store.is_sql_down is True
        assert second.durability is Durability.REDIS
        assert source == "journal"
        assert history == ["one", "re: one"]
        assert later_history == ["one", "re: one", "two", "re: two"]
        assert await log_of(opened, first.conversation_id) == [
            "one",
            "re: one",
            "two",
            "re: two",
            "three",
            "re: three",
        ]
        turn = await store.turn("default", third.turn_id)
        assert turn is not None
        assert turn.result is not None
        assert turn.result.durability is Durability.REDIS

        killable_redis.kill()
        killable_redis.start()
        killable_postgres.start()
        assert await store.drain() > 0

        assert await store.drain() == 0
        assert opened.conversations.is_sql_down is False
        assert await log_of(opened, first.conversation_id) == [
            "one",
            "re: one",
            "two",
            "re: two",
            "three",
            "re: three",
        ]
        intake = await store.intake(message("four", id="4", conversation=first.conversation_id))
        snapshot = await store.load(leased(intake), history_messages=20)
        assert snapshot.state.notes == {"said": "three"}
        assert leased(intake).durability is Durability.SQL
        turn = await store.turn("default", third.turn_id)
        assert turn is not None
        assert turn.result is not None


async def test_a_message_drains_its_own_conversation_before_sql_takes_it(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with replica(url, redis_url) as opened, replica(url, redis_url, owner="b") as other:
        store = opened.conversations
        first, _, _ = await say(store, "one", id="1")
        killable_postgres.kill()
        await say(store, "two", id="2", conversation=first.conversation_id)
        killable_postgres.start()

        _, history, source = await say(
            other.conversations, "three", id="3", conversation=first.conversation_id
        )

        assert source == "redis"  # to which the drain handed on what SQL has
        assert history == ["one", "re: one", "two", "re: two"]


async def test_a_second_outage_begins_with_what_the_first_came_to(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    async with replica(killable_postgres.url(), redis_url) as opened:
        store = opened.conversations
        first, _, _ = await say(store, "one", id="1")
        killable_postgres.kill()
        await say(store, "two", id="2", conversation=first.conversation_id)
        killable_postgres.start()
        await store.drain()
        killable_postgres.kill()

        _, history, source = await say(store, "three", id="3", conversation=first.conversation_id)

        assert source == "journal"
        assert history == ["one", "re: one", "two", "re: two"]
        killable_postgres.start()
        await store.drain()
        assert await log_of(opened, first.conversation_id) == [*history, "three", "re: three"]


async def test_a_new_conversation_can_begin_while_sql_is_down(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    async with replica(killable_postgres.url(), redis_url) as opened:
        store = opened.conversations
        killable_postgres.kill()
        first, _, _ = await say(store, "one", id="1")
        again = await store.intake(message("one", id="1"))
        assert again.result is not None
        with pytest.raises(Conflict):
            await store.intake(message("other text", id="1"))

        killable_postgres.start()
        await store.drain()

        assert await log_of(opened, first.conversation_id) == ["one", "re: one"]
        resent = await store.intake(message("one", id="1"))
        assert resent.is_duplicate
        assert resent.result is not None
        assert resent.turn_id == first.turn_id


async def test_a_conversation_that_redis_does_not_know_is_never_taken_for_new(
    killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    async with replica(killable_postgres.url(), killable_redis.url) as opened:
        first, _, _ = await say(opened.conversations, "one", id="1")
        with killable_redis.client() as client:
            client.flushall()
        killable_postgres.kill()

        with pytest.raises(StateLoadFailed):
            await opened.conversations.intake(message("two", id="2", conversation=first.conversation_id))
        with pytest.raises(StateLoadFailed):
            await opened.conversations.messages("default", first.conversation_id, after=0, limit=10)


async def test_a_turn_that_began_in_sql_is_kept_when_sql_dies_under_it(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    async with replica(killable_postgres.url(), redis_url) as opened:
        store = opened.conversations
        first, _, _ = await say(store, "one", id="1")
        intake = await store.intake(message("two", id="2", conversation=first.conversation_id))
        item = OutboxItem("k1", OutboxKind.TICKET, "default", first.conversation_id, {"subject": "s"})
        killable_postgres.kill()

        snapshot = await store.load(leased(intake), history_messages=20)
        commit = answer(leased(intake), "re: two", outbox=(item,))
        await store.commit(commit)
        await store.commit(commit)
        _, history, _ = await say(store, "three", id="3", conversation=first.conversation_id)

        assert snapshot.source == "redis"
        assert history == ["one", "re: one", "two", "re: two"]
        killable_postgres.start()
        await store.drain()
        assert await log_of(opened, first.conversation_id) == [
            "one",
            "re: one",
            "two",
            "re: two",
            "three",
            "re: three",
        ]
        assert await store.claim_unanswered(limit=5) == []
        assert len(await opened.outbox.claim(owner="w", limit=5, lease_seconds=5)) == 1


async def test_a_turn_that_began_in_redis_is_committed_in_sql_when_sql_comes_back_under_it(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    async with replica(killable_postgres.url(), redis_url) as opened:
        store = opened.conversations
        killable_postgres.kill()
        intake = await store.intake(message("one", id="1"))
        assert leased(intake).durability is Durability.REDIS
        killable_postgres.start()
        await store.drain()

        await store.renew(leased(intake))
        snapshot = await store.load(leased(intake), history_messages=20)
        await store.commit(answer(leased(intake), "re: one"))

        assert [m.text for m in snapshot.fresh] == ["one"]
        assert await log_of(opened, intake.conversation_id) == ["one", "re: one"]
        assert await store.claim_unanswered(limit=5) == []


async def test_a_drain_that_crashed_half_way_is_taken_up_again_without_doubles(
    killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    async with replica(killable_postgres.url(), killable_redis.url) as opened:
        store = opened.conversations
        first, _, _ = await say(store, "one", id="1")
        killable_postgres.kill()
        await say(store, "two", id="2", conversation=first.conversation_id)
        await say(store, "three", id="3", conversation=first.conversation_id)
        killable_postgres.start()
        with killable_redis.client() as client:
            (entries_key,) = client.keys("careline:journal.entries:*")
            entries = client.lrange(entries_key, 0, -1)
        assert await store._record.absorb(entries[:4]) > 0

        await store.drain()

        assert await log_of(opened, first.conversation_id) == [
            "one",
            "re: one",
            "two",
            "re: two",
            "three",
            "re: three",
        ]
        with killable_redis.client() as client:
            assert client.keys("careline:journal.entries:*") == []
            assert client.keys("careline:journal.document:*") == []


async def test_two_replicas_that_drain_at_once_lose_and_double_nothing(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with replica(url, redis_url) as a, replica(url, redis_url, owner="b") as b:
        first, _, _ = await say(a.conversations, "one", id="1")
        killable_postgres.kill()
        texts = [f"m{n}" for n in range(40)]
        for text in texts:
            await say(a.conversations, text, id=text, conversation=first.conversation_id)
        killable_postgres.start()

        await asyncio.gather(a.conversations.drain(), b.conversations.drain(), return_exceptions=True)
        await a.conversations.drain()

        customer = [
            m.text
            for m in await a.conversations.messages("default", first.conversation_id, after=0, limit=500)
            if m.role is MessageRole.CUSTOMER
        ]
        assert customer == ["one", *texts]


async def test_a_turn_whose_journal_another_replica_drained_is_committed_although_its_own_still_thinks_sql_is_down(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with replica(url, redis_url) as a, replica(url, redis_url, owner="b") as b:
        first, _, _ = await say(a.conversations, "one", id="1")
        killable_postgres.kill()
        intake = await a.conversations.intake(message("two", id="2", conversation=first.conversation_id))
        killable_postgres.start()
        await b.conversations.intake(message("three", id="3", conversation=first.conversation_id))
        assert a.conversations.is_sql_down

        await a.conversations.commit(answer(leased(intake), "re: two"))

        assert await log_of(b, first.conversation_id) == ["one", "re: one", "two", "three", "re: two"]


async def test_parallel_messages_during_the_outage_are_kept_in_order_and_answered(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    async with replica(killable_postgres.url(), redis_url) as opened:
        store = opened.conversations
        first, _, _ = await say(store, "one", id="1")
        killable_postgres.kill()

        intakes = await asyncio.gather(
            *(
                store.intake(message(f"m{n}", id=f"m{n}", conversation=first.conversation_id))
                for n in range(10)
            )
        )
        (lease,) = [intake.lease for intake in intakes if intake.lease is not None]
        following: Lease | None = lease
        while following is not None:
            following = await store.commit(answer(following))
        killable_postgres.start()
        await store.drain()

        by_seq = sorted(intakes, key=lambda intake: intake.seq)
        expected = [f"m{intakes.index(intake)}" for intake in by_seq]
        log = await store.messages("default", first.conversation_id, after=2, limit=100)
        assert [m.text for m in log if m.role is MessageRole.CUSTOMER] == expected
        for intake in intakes:
            turn = await store.turn("default", intake.turn_id)
            assert turn is not None
            assert turn.result is not None
        assert await store.claim_unanswered(limit=5) == []


async def test_effects_are_planned_in_redis_while_sql_is_down_and_known_to_sql_later(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    plan = EffectRecord(
        tenant="default", key="k", turn_id="t", step=0, tool="open_ticket", arguments={"a": 1}
    )
    done = EffectRecord(
        tenant="default",
        key="k",
        turn_id="t",
        step=0,
        tool="open_ticket",
        arguments={"a": 1},
        status="confirmed",
        reference="T-1",
    )
    async with replica(killable_postgres.url(), redis_url) as opened:
        store = opened.conversations
        killable_postgres.kill()
        assert await store.begin_effect(plan) == replace(plan, is_journaled=True)
        await store.finish_effect(done)
        assert await store.begin_effect(plan) == done
        killable_postgres.start()
        assert await store.begin_effect(plan) == done

        await store.drain()

        assert await store.begin_effect(plan) == done


async def test_a_fenced_turn_writes_nothing_into_the_journal(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    async with replica(killable_postgres.url(), redis_url, lease_seconds=2) as opened:
        store = opened.conversations
        killable_postgres.kill()
        first = await store.intake(message("one", id="1"))
        await asyncio.sleep(2.1)
        second = await store.intake(message("two", id="2", conversation=first.conversation_id))
        assert leased(second).turn_id == first.turn_id

        with pytest.raises(LeaseLost):
            await store.commit(answer(leased(first), "late"))

        await store.commit(answer(leased(second), "in time"))
        assert await log_of(opened, first.conversation_id) == ["one", "two", "in time"]


async def test_a_redis_that_forgets_is_no_journal(killable_postgres: PostgresServer) -> None:
    with RedisServer("--appendfsync", "everysec") as forgetful:
        async with replica(killable_postgres.url(), forgetful.url) as opened:
            killable_postgres.kill()

            with pytest.raises(DependencyUnavailable) as refused:
                await opened.conversations.intake(message())

            assert refused.value.dependency == "sql"
            assert refused.value.retry_after is not None


@pytest.mark.alone
@pytest.mark.parametrize("taken_away", ["killed", "silent"])
async def test_with_both_down_the_customer_hears_so_within_a_second(
    killable_postgres: PostgresServer, killable_redis: RedisServer, taken_away: str
) -> None:
    guards = (real_guard("sql", 1.0), real_guard("redis", 0.25))
    async with replica(
        killable_postgres.url(), killable_redis.url, sql=guards[0], redis=guards[1], redis_seconds=0.25
    ) as opened:
        await say(opened.conversations, "one", id="1")
        for server in (killable_postgres, killable_redis):
            server.kill() if taken_away == "killed" else server.pause()

        for n in range(6):
            began = time.monotonic()
            with pytest.raises(DependencyUnavailable) as refused:
                await opened.conversations.intake(message("two", id=f"n{n}"))

            assert_within(time.monotonic() - began, 1.0)
            assert refused.value.dependency == "sql"
            assert refused.value.retry_after is not None


async def test_without_redis_an_outage_of_sql_is_said_at_once(killable_postgres: PostgresServer) -> None:
    async with replica(killable_postgres.url(), None) as opened:
        killable_postgres.kill()

        with pytest.raises(DependencyUnavailable):
            await opened.conversations.intake(message())

        killable_postgres.start()
        await say(opened.conversations, "one", id="1")


# SQL slow, or silent


async def test_what_a_slow_sql_may_yet_store_is_refused_and_never_journaled(
    killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    url = killable_postgres.url()
    async with (
        replica(url, killable_redis.url, sql=real_guard("sql", 1.0)) as a,
        replica(url, killable_redis.url, sql=real_guard("sql", 1.0), owner="b") as b,
    ):
        stores = (a.conversations, b.conversations)
        first, _, _ = await say(a.conversations, "one", id="1")
        conversation = first.conversation_id
        ids = [f"m{n}" for n in range(80)]

        async def send(n: int) -> Intake | Exception:
            try:
                return await stores[n % 2].intake(message(ids[n], id=ids[n], conversation=conversation))
            except DependencyUnavailable as refused:
                return refused

        with killable_postgres.connection() as blocker, blocker.transaction():
            blocker.execute("SELECT 1 FROM conversations FOR UPDATE")
            during = await asyncio.gather(*(send(n) for n in range(80)))
            journaled = await asyncio.gather(*(journal_of(each).pending() for each in (a, b)))

        assert journaled == [[], []]
        assert not any(isinstance(each, Intake) for each in during)
        assert not any(store.is_sql_down for store in stores)
        told: dict[str, Intake] = {}
        async with asyncio.timeout(30.0):
            while len(told) < 80:
                for n in range(80):
                    answered = await send(n)
                    if isinstance(answered, Intake):
                        told.setdefault(ids[n], answered)
                    else:
                        await asyncio.sleep(0.2)
        log = await a.conversations.messages("default", conversation, after=2, limit=200)
        assert {m.text: m.message_id for m in log} == {id: told[id].message_id for id in ids}
        assert len(log) == 80


async def test_while_sql_is_silent_only_the_drain_asks_it(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    guard = Counting(real_guard("sql", 1.0))
    async with replica(killable_postgres.url(), redis_url, sql=guard) as opened:
        store = opened.conversations
        first, _, _ = await say(store, "one", id="1")
        killable_postgres.pause()
        await say(store, "two", id="2", conversation=first.conversation_id)
        asked = guard.calls

        for n in range(5):
            await say(store, f"x{n}", id=f"x{n}", conversation=first.conversation_id)

        assert guard.calls == asked
        killable_postgres.resume()
        async with asyncio.timeout(10.0):
            while store.is_sql_down:
                with suppress(DependencyUnavailable):
                    await store.drain()
                await asyncio.sleep(0.1)
        resumed, _, source = await say(store, "three", id="3", conversation=first.conversation_id)
        assert (leased(resumed).durability, source) == (Durability.SQL, "redis")
        assert len(await log_of(opened, first.conversation_id)) == 16
