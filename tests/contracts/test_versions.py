"""Replicas of two versions serve one conversation, and the older one takes nothing away from the newer one's state."""

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from core.errors import StateLoadFailed
from core.messages import Durability
from state.codec import decode, encode
from state.journal import LeaseEntry, encode_entry
from state.models import ConversationState, CustomerState
from state.opening import OpenState
from state.sql.connection import Connection
from state.sql.tables import conversations, customer_state
from tests.contracts.databases import answer, message
from tests.contracts.test_recovery import journal_of, leased, log_of, replica, say
from tests.servers import PostgresServer, RedisServer


class NewerState(ConversationState, frozen=True):
    """As a later version of Careline might keep it."""

    loyalty: str | None = None


class NewerCustomerState(CustomerState, frozen=True):
    birthday: str | None = None


async def newer_turn(
    opened: OpenState, text: str, *, conversation: str, loyalty: str | None, birthday: str | None = None
) -> Durability:
    """Of a replica of that version."""
    intake = await opened.conversations.intake(message(text, id=text, conversation=conversation))
    lease = leased(intake)
    learned = None if birthday is None else NewerCustomerState(receipts=("R-2",), birthday=birthday)
    await opened.conversations.commit(
        answer(lease, f"re: {text}", state=NewerState(loyalty=loyalty), customer_state=learned)
    )
    return intake.durability


async def stored(opened: OpenState, column: sa.Column[Any]) -> dict[str, Any]:
    async def read(connection: Connection) -> bytes:
        return bytes((await connection.execute(sa.select(column))).scalar_one())

    return decode(await opened.database.read(read), dict[str, Any])


async def plant(opened: OpenState, column: sa.Column[Any], **fields: Any) -> None:
    """Write fields as another version would."""
    planted = encode({**await stored(opened, column), **fields})

    async def write(connection: Connection) -> None:
        await connection.execute(sa.update(column.table).values({column: planted}))

    await opened.database.write(write)


@pytest.mark.parametrize("with_redis", [True, False], ids=["with redis", "sql alone"])
async def test_an_old_replicas_turn_keeps_what_a_newer_one_wrote_even_where_it_cannot_read_it(
    sqlite_url: str, redis_url: str, with_redis: bool
) -> None:
    async with replica(sqlite_url, redis_url if with_redis else None) as old:
        first = await old.conversations.intake(message("one", id="1"))
        await old.conversations.commit(answer(leased(first), customer_state=CustomerState(receipts=("R-1",))))
        here = first.conversation_id
        await plant(old, conversations.c.state, v=2, loyalty="gold", topic={"mood": "furious"})
        await plant(old, customer_state.c.state, v=3, birthday="1 May", locale=["de", "fr"])

        second = await old.conversations.intake(message("two", id="2", conversation=here))
        snapshot = await old.conversations.load(leased(second), history_messages=20)
        commit = answer(
            leased(second),
            state=ConversationState(offer="ticket", topic=("a",)),
            customer_state=CustomerState(receipts=("R-2", *snapshot.customer_state.receipts)),
        )
        await old.conversations.commit(commit)

        assert snapshot.state == ConversationState()
        assert snapshot.customer_state == CustomerState(receipts=("R-1",))
        state = await stored(old, conversations.c.state)
        assert (state["v"], state["loyalty"], state["offer"]) == (2, "gold", "ticket")
        assert state["topic"] == {"mood": "furious"}
        known = await stored(old, customer_state.c.state)
        assert (known["v"], known["birthday"], known["locale"]) == (3, "1 May", ["de", "fr"])
        assert known["receipts"] == ["R-2", "R-1"]


async def test_during_an_outage_of_sql_an_old_replicas_turn_and_drain_keep_what_a_newer_one_journaled(
    killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    async with replica(killable_postgres.url(), killable_redis.url) as old:
        first, _, _ = await say(old.conversations, "one", id="1")
        here = first.conversation_id
        killable_postgres.kill()
        durability = await newer_turn(old, "two", conversation=here, loyalty="gold", birthday="1 May")

        await say(old.conversations, "three", id="3", conversation=here)

        assert durability is Durability.REDIS
        with killable_redis.client() as client:
            (key,) = client.keys("careline:journal.document:*")
            document = decode(client.hget(key, "document"), dict[str, Any])
        assert decode(document["state"], dict[str, Any])["loyalty"] == "gold"
        killable_postgres.start()
        await old.conversations.drain()
        state = await stored(old, conversations.c.state)
        assert (state["loyalty"], state["notes"]) == ("gold", {"said": "three"})
        assert (await stored(old, customer_state.c.state))["birthday"] == "1 May"


async def test_a_newer_replica_that_goes_on_from_an_old_ones_journal_does_not_empty_what_was_not_in_it(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    async with replica(killable_postgres.url(), redis_url) as old:
        first, _, _ = await say(old.conversations, "one", id="1")
        here = first.conversation_id
        await plant(old, conversations.c.state, loyalty="gold")
        killable_postgres.kill()
        await say(old.conversations, "two", id="2", conversation=here)

        await newer_turn(old, "three", conversation=here, loyalty=None)

        killable_postgres.start()
        await old.conversations.drain()
        assert (await stored(old, conversations.c.state))["loyalty"] == "gold"


async def test_an_answer_that_was_journaled_without_a_copy_keeps_a_newer_ones_field(
    killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    async with replica(killable_postgres.url(), killable_redis.url) as old:
        first, _, _ = await say(old.conversations, "one", id="1")
        here = first.conversation_id
        await plant(old, conversations.c.state, v=2, loyalty="gold", topic={"mood": "furious"})
        intake = await old.conversations.intake(message("two", id="2", conversation=here))
        killable_postgres.kill()
        with killable_redis.client() as client:
            client.flushall()
        commit = answer(leased(intake), state=ConversationState(offer="ticket", topic=("a",)))
        await old.conversations.commit(commit)

        killable_postgres.start()
        await old.conversations.drain()

        state = await stored(old, conversations.c.state)
        assert (state["v"], state["loyalty"], state["offer"]) == (2, "gold", "ticket")
        assert state["topic"] == {"mood": "furious"}


async def test_what_an_old_replica_does_not_understand_stays_in_the_journal_until_a_newer_one_drains_it(
    killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    async with replica(killable_postgres.url(), killable_redis.url) as old:
        first, _, _ = await say(old.conversations, "one", id="1")
        here = first.conversation_id
        killable_postgres.kill()
        await say(old.conversations, "two", id="2", conversation=here)
        newer = msgspec.structs.replace(LeaseEntry("default", here, "turn_x", 1, "newer"), v=2)
        with killable_redis.client() as client:
            (entries,) = client.keys("careline:journal.entries:*")
            client.rpush(entries, encode_entry(newer))
        killable_postgres.start()

        await old.conversations.drain()

        assert await journal_of(old).pending() == [("default", here)]
        with pytest.raises(StateLoadFailed):
            await old.conversations.intake(message("three", id="3", conversation=here))
        await say(old.conversations, "elsewhere", id="4")
        with killable_redis.client() as client:
            client.rpop(entries)
        await say(old.conversations, "three", id="3", conversation=here)
        assert (await log_of(old, here))[::2] == ["one", "two", "three"]


async def test_a_document_keeps_the_fields_of_its_own_that_a_newer_version_gave_it(
    killable_postgres: PostgresServer, killable_redis: RedisServer
) -> None:
    async with replica(killable_postgres.url(), killable_redis.url) as old:
        first, _, _ = await say(old.conversations, "one", id="1")
        killable_postgres.kill()
        await say(old.conversations, "two", id="2", conversation=first.conversation_id)
        with killable_redis.client() as client:
            (key,) = client.keys("careline:journal.document:*")
            document = decode(client.hget(key, "document"), dict[str, Any])
            client.hset(key, "document", encode({**document, "priority": 3}))

            await say(old.conversations, "three", id="3", conversation=first.conversation_id)

            kept = decode(client.hget(key, "document"), dict[str, Any])
        assert kept["priority"] == 3
        assert len(kept["messages"]) == 6
