"""
A conversation whose model goes away in the middle of a dialogue and comes back: whoever answers knows what was said.
"""

import dataclasses

from agent.brain.base import BrainReply
from agent.brain.embedded import EmbeddedBrain
from agent.brain.fallback import FallbackBrain
from agent.brain.llm import LlmBrain
from agent.models.scripted import Line, ScriptedModel, calls, says
from core.clock import SystemClock
from core.errors import NetworkFailed
from core.messages import Message, MessageRole
from state.models import ConversationState, OpenFlow
from tests.unit.brain.llm_fakes import NOON, TOOLS, FakeTools, Screen, turn

OUT: tuple[Line, ...] = (NetworkFailed("model"),)


class Outages:
    def __init__(self) -> None:
        self.is_out = False

    def is_down(self, dependency: str) -> bool:
        return self.is_out

    def mark_down(self, dependency: str, why: str = "") -> None:
        self.is_out = True


class Talk:
    """A conversation whose state and messages go from turn to turn; each turn has its own answers of the model."""

    def __init__(self) -> None:
        self.state = ConversationState()
        self.history: tuple[Message, ...] = ()
        self.tools = FakeTools()
        self.outages = Outages()
        self.model = ScriptedModel(OUT)

    async def say(self, text: str, *answers: tuple[Line, ...]) -> BrainReply:
        self.model = ScriptedModel(*answers)
        llm = LlmBrain(self.model, tools=TOOLS, company_name="Lumen Shop")
        embedded = EmbeddedBrain(company="Lumen Shop", contact=None)
        brain = FallbackBrain(llm, embedded, outages=self.outages, clock=SystemClock())
        seq = len(self.history) + 1
        asked = dataclasses.replace(turn(text, history=self.history), state=self.state)

        reply = await brain.respond(asked, self.tools, Screen())

        self.state = reply.state
        said = ((MessageRole.CUSTOMER, text), (MessageRole.AGENT, reply.text))
        self.history += tuple(
            Message(message_id=f"m{seq + n}", seq=seq + n, role=role, text=words, at=NOON)
            for n, (role, words) in enumerate(said)
        )
        return reply


async def test_the_built_in_brain_goes_on_with_a_ticket_that_a_model_began() -> None:
    talk = Talk()

    await talk.say("I need a ticket please", says("What is it about?"))
    second = await talk.say("My garden lamp", says("What happened to it?"))
    third = await talk.say("It stays dark whatever I do with it", OUT)

    assert second.brain == "llm"
    assert second.state.flow is not None
    assert second.state.flow.slots == {"subject": "My garden lamp"}
    assert third.brain == "embedded"
    (opened,) = [arguments for tool, arguments in talk.tools.calls if tool == "open_ticket"]
    assert opened["subject"] == "My garden lamp"
    assert opened["description"] == "It stays dark whatever I do with it"
    assert third.state.flow is None


async def test_a_model_that_comes_back_goes_on_with_what_the_built_in_brain_asked() -> None:
    talk = Talk()

    first = await talk.say("Open a ticket", OUT)
    second = await talk.say("My garden lamp", OUT)
    talk.outages.is_out = False
    wanted = '{"subject": "My garden lamp", "description": "It stays dark whatever I do."}'
    third = await talk.say("It stays dark whatever I do.", calls(("open_ticket", wanted)), says("Done!"))

    assert first.brain == second.brain == "embedded"
    assert third.brain == "llm"
    assert '"subject":"My garden lamp"' in talk.model.seen[0][0].content
    assert "open_ticket" in talk.tools.called
    assert "R-7QK2M4XWZC" in third.text
    assert third.state.flow is None


async def test_a_question_in_between_leaves_the_dialogue_open_in_either_brain() -> None:
    talk = Talk()

    await talk.say("I need a ticket: my garden lamp", says("What happened to it?"))
    aside = await talk.say(
        "How long can I return an item?", says("You can return unused items within 30 days. [1]")
    )

    assert aside.state.flow == OpenFlow(
        name="ticket", slots={"subject": "my garden lamp"}, asked="description", started_at=NOON
    )


async def test_a_dialogue_that_the_customer_ends_is_closed() -> None:
    talk = Talk()

    await talk.say("I need a ticket", says("What is it about?"))
    ended = await talk.say("Never mind", says("All right. What else can I do for you?"))

    assert ended.state.flow is None
