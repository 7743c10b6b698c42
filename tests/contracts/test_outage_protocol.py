"""What two replicas make of one conversation when SQL goes away between them: one message, one answer, one turn at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from subprocess import CalledProcessError
from unittest.mock import patch

import pytest
import sqlalchemy as sa

from core.errors import DependencyTimeout, LeaseLost, StateLoadFailed
from core.messages import Durability, Message
from state.journal import decode_entry
from state.opening import OpenState
from state.sql.connection import Connection
from state.sql.tables import conversations
from state.store import EffectRecord, Lease
from tests.careline_process import run_careline
from tests.contracts.databases import answer, message
from tests.contracts.test_recovery import journal_of, leased, log_of, replica, say
from tests.servers import PostgresServer


async def soon(ask: Callable[[], Awaitable[Sequence[Lease]]]) -> Lease:
    """The first lease that a sweeper gets."""
    async with asyncio.timeout(15):
        while not (leases := await ask()):  # noqa: ASYNC110 - what is waited for happens in a database
            await asyncio.sleep(0.1)
    return leases[0]


async def sweep(opened: OpenState) -> Sequence[Lease]:
    return await opened.conversations.claim_unanswered(limit=5)


async def reply_of(opened: OpenState, turn_id: str) -> str | None:
    turn = await opened.conversations.turn("default", turn_id)
    if turn is None or turn.result is None or turn.result.reply is None:
        return None
    return turn.result.reply.text


async def test_what_sql_has_taken_the_journal_does_not_take_again(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with replica(url, redis_url) as a, replica(url, redis_url, owner="b") as b:
        first, _, _ = await say(a.conversations, "one", id="1")
        here = first.conversation_id
        two = await a.conversations.intake(message("two", id="2", conversation=here))
        await a.conversations.load(leased(two), history_messages=20)
        three = await a.conversations.intake(message("three", id="3", conversation=here))
        killable_postgres.kill()

        two_again = await b.conversations.intake(message("two", id="2", conversation=here))
        three_again = await b.conversations.intake(message("three", id="3", conversation=here))

        assert [two_again.turn_id, three_again.turn_id] == [two.turn_id, three.turn_id]
        assert [two_again.lease, three_again.lease] == [None, None]
        following = await a.conversations.commit(answer(leased(two), "re: two"))
        assert following is not None
        assert [m.text for m in following.fresh] == ["three"]
        await a.conversations.commit(answer(following, "re: three"))

        killable_postgres.start()
        await a.conversations.drain()
        assert await log_of(a, here) == ["one", "re: one", "two", "three", "re: two", "re: three"]
        assert await sweep(a) == []


async def test_the_senders_address_comes_along_through_the_journal_and_into_sql(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    """A turn that opens a ticket may run anywhere on this way."""
    async with replica(killable_postgres.url(), redis_url) as opened:
        store = opened.conversations
        first = await store.intake(message("one", id="1", email="ada@shop.example"))
        here = first.conversation_id
        in_sql = await store.load(leased(first), history_messages=20)
        await store.commit(answer(leased(first)))
        killable_postgres.kill()
        second = await store.intake(message("two", id="2", conversation=here, email="ada@home.example"))
        in_journal = await store.load(leased(second), history_messages=20)
        await store.commit(answer(leased(second)))
        killable_postgres.start()
        await store.drain()

        kept = await store.messages("default", here, after=0, limit=10)
        assert [m.email for m in in_sql.fresh] == ["ada@shop.example"]
        assert [m.email for m in in_journal.fresh] == ["ada@home.example"]
        assert [m.email for m in kept] == ["ada@shop.example", None, "ada@home.example", None]


async def test_who_asks_again_for_what_sql_had_answered_hears_it_without_sql(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with replica(url, redis_url) as a, replica(url, redis_url, owner="b") as b:
        first, _, _ = await say(a.conversations, "one", id="1")
        here = first.conversation_id
        two = await a.conversations.intake(message("two", id="2", conversation=here))
        await a.conversations.load(leased(two), history_messages=20)
        await a.conversations.commit(answer(leased(two), "re: two"))
        killable_postgres.kill()

        again = await b.conversations.intake(message("two", id="2", conversation=here))

        assert (again.turn_id, again.is_duplicate, again.lease) == (two.turn_id, True, None)
        assert again.result is not None
        assert again.result.reply is not None
        assert again.result.reply.text == "re: two"
        assert await reply_of(b, two.turn_id) == "re: two"
        with pytest.raises(LeaseLost):
            await a.conversations.commit(answer(leased(two), "another"))
        killable_postgres.start()
        await b.conversations.drain()
        assert await log_of(b, here) == ["one", "re: one", "two", "re: two"]


async def test_a_journaled_turn_whose_replica_died_is_taken_over_while_sql_is_still_down(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with (
        replica(url, redis_url, lease_seconds=1.5) as a,
        replica(url, redis_url, owner="b", lease_seconds=1.5) as b,
    ):
        killable_postgres.kill()
        intake = await a.conversations.intake(message("one", id="1"))

        taken = await soon(lambda: sweep(b))

        assert (taken.turn_id, taken.durability) == (intake.turn_id, Durability.REDIS)
        await b.conversations.commit(answer(taken, "from b"))
        with pytest.raises(LeaseLost):
            await a.conversations.commit(answer(leased(intake), "from a"))
        killable_postgres.start()
        await b.conversations.drain()
        assert await log_of(b, intake.conversation_id) == ["one", "from b"]


async def test_a_turn_that_two_outages_meet_is_answered_in_the_second(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    """Brought into SQL while it ran, it could be answered only when SQL is back for the second time."""
    url = killable_postgres.url()
    async with replica(url, redis_url) as a, replica(url, redis_url, owner="b") as b:
        first, _, _ = await say(a.conversations, "one", id="1")
        here = first.conversation_id
        killable_postgres.kill()
        two = await a.conversations.intake(message("two", id="2", conversation=here))
        killable_postgres.start()
        await b.conversations.drain()
        await a.conversations.drain()
        killable_postgres.kill()

        await a.conversations.commit(answer(leased(two), "re: two"))

        assert await reply_of(a, two.turn_id) == "re: two"
        assert await reply_of(b, two.turn_id) == "re: two"
        killable_postgres.start()
        await b.conversations.drain()
        assert await log_of(b, here) == ["one", "re: one", "two", "re: two"]


async def test_what_a_running_turn_keeps_in_the_journal_can_be_read_when_sql_is_back(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    """A conversation of which SQL knows nothing would be nobody's: who writes in it would become another customer."""
    url = killable_postgres.url()
    async with replica(url, redis_url) as a, replica(url, redis_url, owner="b") as b:
        first, _, _ = await say(a.conversations, "one", id="1")
        killable_postgres.kill()
        two = await a.conversations.intake(message("two", id="2", conversation=first.conversation_id))
        new = await a.conversations.intake(
            message("new", id="3", principal="customer:bea", customer_id="bea")
        )
        killable_postgres.start()
        await b.conversations.drain()

        assert await log_of(b, two.conversation_id) == ["one", "re: one", "two"]
        assert await log_of(b, new.conversation_id) == ["new"]
        of_bea = await b.conversations.conversation("default", new.conversation_id)

    assert of_bea is not None
    assert of_bea.customer_id == "bea"


async def test_a_journaled_turn_that_is_given_back_need_not_run_out(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with (
        replica(url, redis_url, lease_seconds=600) as a,
        replica(url, redis_url, owner="b", lease_seconds=600) as b,
    ):
        killable_postgres.kill()
        intake = await a.conversations.intake(message("one", id="1"))

        await a.conversations.release(leased(intake))

        assert (await soon(lambda: sweep(b))).turn_id == intake.turn_id


async def test_an_answer_that_was_told_stands_for_just_the_messages_that_it_answered(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with replica(url, redis_url, lease_seconds=1.5) as b:
        first, _, _ = await say(b.conversations, "one", id="1")
        here = first.conversation_id
        async with replica(url, None, owner="blind", lease_seconds=1.5) as a:
            for n, text in ((2, "two"), (3, "three"), (4, "four")):
                taken = await a.conversations.intake(message(text, id=str(n), conversation=here))
        killable_postgres.kill()
        four = await b.conversations.intake(message("four", id="4", conversation=here))
        assert four.turn_id != taken.turn_id
        await b.conversations.commit(answer(leased(four), "re: four"))

        killable_postgres.start()
        await b.conversations.drain()
        await b.conversations.commit(answer(await soon(lambda: sweep(b)), "re: two"))
        last = await soon(lambda: sweep(b))
        await b.conversations.commit(answer(last, "re: three"))

        assert [m.text for m in last.fresh] == ["three"]
        assert await reply_of(b, four.turn_id) == "re: four"
        assert await log_of(b, here) == [
            *("one", "re: one", "two", "three", "four"),
            *("re: four", "re: two", "re: three"),
        ]
        assert await sweep(b) == []


async def test_a_journaled_turn_is_not_written_over_a_state_that_it_did_not_know(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with replica(url, redis_url) as opened:
        first, _, _ = await say(opened.conversations, "one", id="1")
        killable_postgres.kill()
        two = await opened.conversations.intake(message("two", id="2", conversation=first.conversation_id))
        killable_postgres.start()
        await opened.conversations.drain()
        await _move_version(opened, by=1)

        with pytest.raises(LeaseLost):
            await opened.conversations.commit(answer(leased(two), "built on the past"))

        again = await soon(lambda: sweep(opened))
        assert (again.turn_id, again.state_version) == (two.turn_id, leased(two).state_version + 1)


async def test_a_redis_that_has_seen_more_than_sql_stops_the_conversation_until_somebody_decides(
    sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with replica(sqlite_url, redis_url) as opened:
        first, _, _ = await say(opened.conversations, "one", id="1")
        await _move_version(opened, by=-1)
        intake = await opened.conversations.intake(message("two", id="2", conversation=first.conversation_id))

        with pytest.raises(StateLoadFailed) as stopped:
            await opened.conversations.load(leased(intake), history_messages=20)

        assert stopped.value.reason == "redis_ahead"
        assert await log_of(opened, first.conversation_id) == ["one", "re: one", "two"]
        settings = {"database_url": sqlite_url, "redis_url": redis_url}
        await asyncio.to_thread(
            run_careline, "state", "accept-sql", first.conversation_id, folder=tmp_path, settings=settings
        )
        snapshot = await opened.conversations.load(leased(intake), history_messages=20)
        assert [m.text for m in snapshot.history] == ["one", "re: one"]


async def test_nobody_accepts_what_sql_holds_while_sql_cannot_be_asked(
    killable_postgres: PostgresServer, redis_url: str, tmp_path: Path
) -> None:
    async with replica(killable_postgres.url(), redis_url) as opened:
        first, _, _ = await say(opened.conversations, "one", id="1")
        killable_postgres.kill()
        await say(opened.conversations, "two", id="2", conversation=first.conversation_id)

    settings = {"database_url": killable_postgres.url(), "redis_url": redis_url}
    with pytest.raises(CalledProcessError) as refused:
        await asyncio.to_thread(
            run_careline, "state", "accept-sql", first.conversation_id, folder=tmp_path, settings=settings
        )

    assert refused.value.returncode == 1
    assert "goes on" not in refused.value.stdout


async def test_a_conversation_that_only_an_unreachable_journal_may_know_is_not_called_unknown(
    sqlite_url: str, redis_url: str
) -> None:
    async with replica(sqlite_url, redis_url) as opened:
        store = opened.conversations
        assert opened.journal is not None
        with patch.object(opened.journal, "has_entries", _unreachable), pytest.raises(StateLoadFailed):
            await store.intake(replace(message("two", id="2"), conversation_id="conv_elsewhere"))


async def test_a_mail_that_sql_knows_to_be_under_way_is_not_put_off_by_what_the_journal_did_not_know(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    """One replica is cut from Redis, the other from SQL, and both answer the message that asks for the mail."""
    url = killable_postgres.url()
    async with replica(url, redis_url) as opened:
        store, journal = opened.conversations, journal_of(opened)
        in_sql = await store.begin_effect(mail(run="a"))
        in_journal = await journal.begin_effect(mail(run="b"))
        await journal.finish_effect(replace(in_journal, status="queued"))
        assert in_journal.is_journaled

        await store.drain()
        begun = await store.effect("default", "k")
        await store.finish_effect(replace(in_sql, status="confirmed"))
        await journal.begin_effect(mail(run="c"))
        await journal.finish_effect(replace(mail(run="c"), status="queued"))
        not_drained = await store.effect("default", "k")
        await store.drain()

        assert begun == in_sql
        assert not_drained == replace(in_sql, status="confirmed")
        assert await store.effect("default", "k") == not_drained


async def test_what_was_put_off_in_the_journal_is_told_again_in_sql_and_not_done_there(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    async with replica(killable_postgres.url(), redis_url) as opened:
        store = opened.conversations
        killable_postgres.kill()
        begun = await store.begin_effect(mail(run="a"))
        queued = replace(begun, status="queued")
        await store.finish_effect(queued)
        await store.finish_effect(replace(begun, status="intent"))
        killable_postgres.start()
        await store.drain()

        assert await store.begin_effect(mail(run="b")) == queued


async def test_an_answer_does_not_come_to_sql_without_the_effects_that_it_promised(
    sqlite_url: str, redis_url: str
) -> None:
    """They are noted after the drain looked for effects, and before it reads the conversation."""
    absorbed: list[str] = []

    class Sink:
        async def absorb(self, entries: Sequence[bytes]) -> int:
            absorbed.extend(type(decode_entry(entry)).__name__ for entry in entries)
            return len(entries)

        async def messages(
            self, tenant: str, conversation_id: str, *, after: int, limit: int
        ) -> Sequence[Message]:
            return ()

    async with replica(sqlite_url, redis_url) as opened:
        journal = journal_of(opened)
        await journal.drain_effects(Sink())
        intake = await journal.intake(message("one", id="1"))
        planned = await journal.begin_effect(replace(mail(run="a"), turn_id=intake.turn_id))
        await journal.finish_effect(replace(planned, status="queued"))
        await journal.commit(answer(leased(intake), "re: one"))

        await journal.drain("default", intake.conversation_id, Sink())

    assert absorbed == ["EffectEntry", "MessageEntry", "LeaseEntry", "CommitEntry"]


def mail(*, run: str) -> EffectRecord:
    return EffectRecord(tenant="default", key="k", turn_id="t", step=1, tool="notify", arguments={"run": run})


async def _unreachable(*_: str) -> bool:
    raise DependencyTimeout("redis")


async def _move_version(opened: OpenState, *, by: int) -> None:
    """As a restore of SQL to an older point does, or a replica that Redis knows nothing of."""
    moved = sa.update(conversations).values(state_version=conversations.c.state_version + by)

    async def write(connection: Connection) -> None:
        await connection.execute(moved)

    await opened.database.write(write)
