"""Claims about what a person does to a conversation: said once, never answered by the agent, given back once."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import DependencyUnavailable, NotFound
from core.messages import Message, MessageRole, TurnStatus
from state.opening import OpenState
from state.sql.conversations import SqlConversationStore
from state.sql.engine import Database
from state.sql.handoffs import SqlHandoffs
from state.store import TurnCommit
from tests.contracts.databases import answer, database, database_url, message  # noqa: F401 - fixtures
from tests.contracts.test_recovery import leased, replica, say
from tests.servers import PostgresServer


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def handing_over(commit: TurnCommit) -> TurnCommit:
    return replace(commit, hand_over_until=soon())


@dataclass(slots=True)
class Place:
    store: SqlConversationStore
    handoffs: SqlHandoffs
    conversation_id: str

    async def write(self, text: str, *, id: str) -> TurnStatus | None:
        """What the customer is told at once; None where the agent is to answer."""
        intake = await self.store.intake(message(text, id=id, conversation=self.conversation_id))
        return None if intake.result is None else intake.result.status

    async def reply(self, text: str) -> bool:
        said = await self.handoffs.say(
            "default", self.conversation_id, text=text, until=soon(), at=datetime.now(UTC)
        )
        return said.is_new

    async def give_back(self) -> bool:
        return await self.handoffs.give_back(
            "default", self.conversation_id, at=datetime.now(UTC), note=lambda locale: f"back ({locale})"
        )

    async def log(self) -> list[tuple[MessageRole, str]]:
        stored = await self.store.messages("default", self.conversation_id, after=0, limit=50)
        assert [each.seq for each in stored] == list(range(1, len(stored) + 1))
        return [(each.role, each.text) for each in stored]


@pytest.fixture
async def place(database: Database) -> Place:  # noqa: F811 - the fixture
    store = SqlConversationStore(database, owner="a", lease_seconds=30)
    intake = await store.intake(message("A person, please"))
    await store.commit(handing_over(answer(leased(intake), "I am passing this on.")))
    return Place(store, SqlHandoffs(database), intake.conversation_id)


async def test_a_conversation_waits_for_a_person_until_one_has_written(place: Place) -> None:
    await place.write("Are you there?", id="m2")

    (waiting,) = await place.handoffs.waiting(now=datetime.now(UTC), limit=10)
    await place.reply("Yes, I am.")
    (answered,) = await place.handoffs.waiting(now=datetime.now(UTC), limit=10)

    assert (waiting.conversation.conversation_id, waiting.last_words) == (
        place.conversation_id,
        "Are you there?",
    )
    assert not waiting.is_answered
    assert answered.is_answered


async def test_a_reply_that_is_sent_twice_is_said_once(place: Place) -> None:
    assert await place.reply("Hello, this is Mia.")
    assert not await place.reply("Hello, this is Mia.")

    assert [text for role, text in await place.log() if role is MessageRole.OPERATOR] == [
        "Hello, this is Mia."
    ]


async def test_the_same_words_to_the_customers_next_message_are_said_again(place: Place) -> None:
    await place.reply("Yes.")
    await place.write("And in blue?", id="m2")

    assert await place.reply("Yes.")


async def test_replies_of_two_people_at_once_are_both_there(place: Place) -> None:
    assert all(await asyncio.gather(place.reply("I take it."), place.reply("No, I do.")))

    assert {text for role, text in await place.log() if role is MessageRole.OPERATOR} == {
        "I take it.",
        "No, I do.",
    }


async def test_a_persons_words_are_history_and_nothing_to_answer(place: Place) -> None:
    await place.reply("Hello, this is Mia.")
    assert await place.store.claim_unanswered(limit=10) == []
    await place.give_back()

    intake = await place.store.intake(message("Thanks!", id="m2", conversation=place.conversation_id))
    snapshot = await place.store.load(leased(intake), history_messages=20)

    assert [each.text for each in snapshot.fresh] == ["Thanks!"]
    assert (MessageRole.OPERATOR, "Hello, this is Mia.") in [
        (each.role, each.text) for each in snapshot.history
    ]


async def test_a_conversation_that_is_given_back_is_the_agents_again_and_the_customer_reads_it_once(
    place: Place,
) -> None:
    assert await place.write("Are you there?", id="m2") is TurnStatus.HANDED_OVER

    assert await place.give_back()
    assert not await place.give_back()

    assert await place.write("Where is my order?", id="m3") is None
    assert [text for role, text in await place.log() if role is MessageRole.SYSTEM] == ["back (en)"]
    assert await place.handoffs.waiting(now=datetime.now(UTC), limit=10) == ()


async def test_a_reply_takes_a_conversation_whose_time_ran_out(place: Place) -> None:
    await place.give_back()

    await place.reply("One more thing.")

    assert await place.write("Yes?", id="m2") is TurnStatus.HANDED_OVER


async def test_a_turn_that_runs_while_a_person_writes_is_stored_all_the_same(place: Place) -> None:
    await place.give_back()
    intake = await place.store.intake(message("And now?", id="m2", conversation=place.conversation_id))

    await place.reply("Let me.")
    await place.store.commit(answer(leased(intake), "Nothing."))

    assert (await place.log())[-2:] == [(MessageRole.OPERATOR, "Let me."), (MessageRole.AGENT, "Nothing.")]
    assert await place.write("Well?", id="m3") is TurnStatus.HANDED_OVER


@pytest.mark.parametrize("tenant", ["default", "other"])
async def test_nobody_writes_into_a_conversation_that_is_not_there(place: Place, tenant: str) -> None:
    known = place.conversation_id if tenant == "other" else "conv_x"

    with pytest.raises(NotFound):
        await place.handoffs.say(tenant, known, text="x", until=soon(), at=datetime.now(UTC))
    with pytest.raises(NotFound):
        await place.handoffs.give_back(tenant, known, at=datetime.now(UTC), note=str)


# With Redis


async def reply(opened: OpenState, conversation_id: str, text: str) -> Message:
    said = await opened.conversations.by_a_person(
        "default",
        conversation_id,
        lambda: opened.handoffs.say(
            "default", conversation_id, text=text, until=soon(), at=datetime.now(UTC)
        ),
        changes_hands=lambda said: said.took_over,
    )
    return said.message


async def test_what_redis_copied_before_does_not_silence_the_agent(sqlite_url: str, redis_url: str) -> None:
    async with replica(sqlite_url, redis_url) as opened, replica(sqlite_url, None, owner="b") as blind:
        store = opened.conversations
        intake = await store.intake(message("A person, please"))
        await store.load(leased(intake), history_messages=20)
        await store.commit(handing_over(answer(leased(intake))))
        conversation_id = intake.conversation_id

        await blind.conversations.by_a_person(
            "default",
            conversation_id,
            lambda: blind.handoffs.give_back(
                "default", conversation_id, at=datetime.now(UTC), note=lambda _: "back"
            ),
            changes_hands=bool,
        )
        after = await store.intake(message("Hello?", id="m2", conversation=conversation_id))
        snapshot = await store.load(replace(leased(after), basis=None), history_messages=20)

        assert snapshot.conversation.handed_over_until is None


async def test_a_reply_comes_after_what_the_journal_kept_and_is_refused_while_sql_is_down(
    killable_postgres: PostgresServer, redis_url: str
) -> None:
    url = killable_postgres.url()
    async with replica(url, redis_url) as opened, replica(url, redis_url, owner="operator") as operator:
        first, _, _ = await say(opened.conversations, "one", id="1")
        conversation_id = first.conversation_id
        killable_postgres.kill()
        await say(opened.conversations, "two", id="2", conversation=conversation_id)
        with pytest.raises(DependencyUnavailable):
            await reply(operator, conversation_id, "Mia here.")
        killable_postgres.start()

        async with replica(url, redis_url, owner="second try") as operator_again:
            said = await reply(operator_again, conversation_id, "Mia here.")

            log = await operator_again.conversations.messages("default", conversation_id, after=0, limit=50)
            assert [each.text for each in log] == ["one", "re: one", "two", "re: two", "Mia here."]
            assert said.seq == 5
