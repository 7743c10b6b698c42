"""Claims about a wish that nearly repeats an open ticket: both brains ask, and the customer decides."""

import json

import pytest

from agent.brain.llm import LlmBrain
from agent.brain.session import Offer
from agent.models.base import ToolSpec
from agent.models.scripted import Line, ScriptedModel, calls, says
from core.messages import TurnStatus
from tests.tool_world import ToolWorld
from tests.unit.brain.chat import Chat

LAMP = {"subject": "Broken lamp", "description": "The garden lamp does not turn on."}
AGAIN = {"subject": "Lamp broken", "description": "My garden lamp still does not turn on!"}
QUESTION = (
    "You have ticket T-1 about this already, and it is open. Shall I add this to it, or open another one?"
)


async def has_one_open() -> ToolWorld:
    world = ToolWorld()
    await world.call("open_ticket", LAMP, world.tool_call(turn="turn_0"))
    return world


async def asked_by_embedded() -> Chat:
    chat = Chat(await has_one_open())
    await chat.say("Please open a ticket")
    await chat.say(AGAIN["subject"])
    reply = await chat.say(AGAIN["description"])
    assert reply.text == QUESTION
    assert reply.status is TurnStatus.NEEDS_CUSTOMER
    assert reply.quick_replies == ("Add it to that ticket", "Open another one", "No, thank you")
    return chat


def by_model(world: ToolWorld, *answers: tuple[Line, ...]) -> Chat:
    tools = [ToolSpec(each.name, each.description, each.parameters) for each in world.registry.schemas()]
    return Chat(world, brain=LlmBrain(ScriptedModel(*answers), tools=tools, company_name="Lamps & Co"))


def opens(**choice: object) -> tuple[Line, ...]:
    return calls(("open_ticket", json.dumps(AGAIN | choice)))


@pytest.mark.parametrize(
    "words", ["Add it to that ticket", "add it please", "to the existing one, please add it"]
)
async def test_the_embedded_brain_adds_to_the_ticket_when_told_to(words: str) -> None:
    chat = await asked_by_embedded()

    reply = await chat.say(words)

    assert "I have added this to your ticket T-1" in reply.text
    ((reference, addition),) = chat.world.desk.additions
    assert (reference, addition.description) == ("T-1", AGAIN["description"])
    assert len(chat.world.desk.tickets) == 1


@pytest.mark.parametrize("words", ["Open another one", "no, a new ticket please", "a separate one"])
async def test_the_embedded_brain_opens_another_when_told_to(words: str) -> None:
    chat = await asked_by_embedded()

    reply = await chat.say(words)

    assert "I have opened ticket T-2" in reply.text
    assert chat.world.desk.additions == []


@pytest.mark.parametrize("words", ["yes", "yes please", "add it to a new one"])
async def test_an_answer_that_may_mean_either_is_asked_again(words: str) -> None:
    chat = await asked_by_embedded()

    reply = await chat.say(words)
    after = await chat.say("another one")

    assert "Shall I add it to ticket T-1, or open another one?" in reply.text
    assert "T-2" in after.text


async def test_a_no_opens_nothing_and_another_subject_is_no_answer() -> None:
    refused, digressed = await asked_by_embedded(), await asked_by_embedded()

    no = await refused.say("No, thank you")
    hello = await digressed.say("What can you do?")
    await digressed.say("another one")

    assert no.text == "All right, no ticket was opened."
    assert "I can answer questions" in hello.text
    for chat in (refused, digressed):
        assert len(chat.world.desk.tickets) == 1
        assert chat.world.desk.additions == []
        assert chat.state.flow is None


async def test_the_model_is_not_let_to_decide_for_the_customer() -> None:
    world = await has_one_open()
    chat = by_model(world, opens(is_another=True), opens(), opens(add_to="T-1"), says("Done! All is well."))

    reply = await chat.say("My garden lamp still does not turn on, please open a ticket")

    assert len(world.desk.tickets) == 1
    assert world.desk.additions == []
    assert QUESTION in reply.text
    assert chat.state.offer == Offer.SIMILAR_TICKET.value


@pytest.mark.parametrize(
    ("choice", "tickets", "additions"), [({"add_to": "T-1"}, 1, 1), ({"is_another": True}, 2, 0)]
)
async def test_the_model_does_what_the_customer_chose(
    choice: dict[str, object], tickets: int, additions: int
) -> None:
    world = await has_one_open()
    chat = by_model(world, opens(), says(QUESTION), opens(**choice), says("Done."))

    first = await chat.say("My garden lamp still does not turn on, please open a ticket")
    await chat.say("this one")

    assert first.text.count("T-1") == 1
    assert (len(world.desk.tickets), len(world.desk.additions)) == (tickets, additions)


async def test_words_are_added_to_no_ticket_of_somebody_else() -> None:
    world = await has_one_open()
    other = world.tool_call(world.caller("cust_ben"), turn="turn_2")

    outcome = await world.call("open_ticket", AGAIN | {"add_to": "T-1"}, other)

    assert outcome.action.reason == "not_found"
    assert world.desk.additions == []
