"""What a customer reads where the company has intents of its own."""

from collections.abc import Sequence

import msgspec
import pytest

from agent.brain.embedded import EmbeddedBrain
from agent.brain.own_intents import ScoredIntent, ServedBy, Service
from agent.brain.phrases import ENGLISH
from core.errors import DependencyUnavailable
from core.messages import ActionStatus
from tests.tool_world import ToolWorld
from tests.unit.brain.chat import RESET, RETURNS, Chat

HOURS = "We are open from 9 to 5, Monday to Friday."


class KnownReader:
    """Reads what stands in its table, by a piece of the text."""

    def __init__(self, **services: Service | None) -> None:
        self._services = services
        self.is_down = False

    async def read(self, text: str) -> Sequence[ScoredIntent]:
        if self.is_down:
            raise DependencyUnavailable("vectors", "broken on command")
        return [
            ScoredIntent(name, 0.9, service)
            for name, service in self._services.items()
            if name in text.lower()
        ]


def chat_of(reader: KnownReader) -> Chat:
    return Chat(brain=EmbeddedBrain(company="Lamps & Co", intents=reader))


async def test_the_companys_own_answer_is_said_as_it_stands() -> None:
    chat = chat_of(KnownReader(sunday=Service(ServedBy.ANSWER, HOURS)))

    reply = await chat.say("Hello! Could I come by on a Sunday?")

    assert reply.text == HOURS
    assert not chat.actions


async def test_an_intent_picks_the_article_that_answers_it() -> None:
    chat = chat_of(KnownReader(secret=Service(ServedBy.ARTICLE, "reset")))
    chat.knows(RETURNS, RESET)

    reply = await chat.say("My secret word is gone")

    assert [citation.article_id for citation in reply.citations] == ["reset"]


async def test_without_its_article_the_search_decides() -> None:
    chat = chat_of(KnownReader(item=Service(ServedBy.ARTICLE, "gone")))
    chat.knows(RETURNS)

    reply = await chat.say("How many days do I have to return an item?")

    assert [citation.article_id for citation in reply.citations] == ["returns"]


async def test_an_intent_asks_for_a_person() -> None:
    chat = chat_of(KnownReader(lawyer=Service(ServedBy.HANDOFF)))

    await chat.say("My lawyer will hear of this.")

    assert [(action.tool, action.status) for action in chat.actions] == [("handoff", ActionStatus.SUCCEEDED)]


async def test_an_intent_calls_a_tool_with_its_arguments() -> None:
    chat = chat_of(KnownReader(parcels=Service(ServedBy.TOOL, "customer_info", {"about": "orders"})))

    await chat.say("Are the parcels coming?")

    assert [(action.tool, action.status) for action in chat.actions] == [
        ("customer_info", ActionStatus.SUCCEEDED)
    ]


async def test_an_intent_begins_a_flow_and_an_answer_beside_it_comes_first() -> None:
    reader = KnownReader(flicker=Service(ServedBy.FLOW, "ticket"), sunday=Service(ServedBy.ANSWER, HOURS))

    reply = await chat_of(reader).say("My lamp flickers.\nAre you there on Sunday?")

    assert reply.text.startswith(HOURS)
    assert reply.state.flow is not None
    assert reply.state.flow.name == "ticket"


@pytest.mark.parametrize("is_down", [True, False])
async def test_what_is_not_read_is_answered_as_ever(*, is_down: bool) -> None:
    reader = KnownReader(unknown=Service(ServedBy.ANSWER, HOURS), days=None)
    reader.is_down = is_down
    chat = chat_of(reader)
    chat.knows(RETURNS)

    reply = await chat.say("How many days do I have to return an item?")

    assert [citation.article_id for citation in reply.citations] == ["returns"]


async def test_courtesies_are_none_of_the_companys_intents() -> None:
    chat = chat_of(KnownReader(thanks=Service(ServedBy.ANSWER, HOURS)))

    assert (await chat.say("thanks a lot")).text == ENGLISH.thanks


async def test_a_quote_in_another_language_is_announced() -> None:
    world = ToolWorld()
    chat = Chat(world)
    german = msgspec.structs.replace(
        RETURNS, text="Unbenutzte Artikel nehmen wir 30 Tage lang zurück (return).", language="de"
    )
    chat.knows(german)

    reply = await chat.say("How many days do I have to return an item?")

    assert reply.text == f"I found this in German:\n\n{german.text} [1]"
