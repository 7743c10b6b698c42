"""
Long conversations: what a model reads of them, and what is kept of the rest.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec

from agent.brain.llm import LlmBrain
from agent.brain.remembering import Notes, Remembering, WindowPolicy
from agent.models.base import ModelEvent, ModelFinished, ModelMessage, ReplyShape, TextDelta, ToolSpec
from agent.models.structured import shape_of
from core.clock import SystemClock
from core.errors import NetworkFailed
from core.messages import Message, MessageRole
from core.resilience.deadline import Deadline
from state.models import ConversationState, Summary
from tests.unit.brain.llm_fakes import NOON, TOOLS, FakeTools, Screen, turn

ANSWER = "You can return unused items within 30 days of delivery. [1]"
POLICY = WindowPolicy(messages=6, tokens=6000)


class NotingModel:
    """Answers, and writes notes; `asked` and `noted` keep what it read for each."""

    name = "noting"

    def __init__(
        self,
        *,
        wants: str = "To return a lamp.",
        numbers: Sequence[str] = ("R-7QK2M4XWZC",),
        is_out: bool = False,
    ) -> None:
        self._notes = Notes(wants=wants, answered="", done="", open="", names_and_numbers=list(numbers))
        self._is_out = is_out
        self.asked: list[Sequence[ModelMessage]] = []
        self.noted: list[Sequence[ModelMessage]] = []
        self.is_silent = False
        self.chatters = False

    async def stream(
        self,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        *,
        deadline: Deadline,
        most_tokens: int | None = None,
        shape: ReplyShape | None = None,
    ) -> AsyncGenerator[ModelEvent, None]:
        if not messages[0].content.startswith("You keep the notes"):
            self.asked.append(messages)
            yield TextDelta(ANSWER)
            yield ModelFinished("stop")
            return
        self.noted.append(messages)
        if self._is_out:
            raise NetworkFailed("model")
        if self.is_silent:
            await asyncio.sleep(60)
        assert shape == shape_of(Notes)
        if self.chatters:
            yield TextDelta("Sure! Here are the notes you asked for.")
            yield ModelFinished("stop")
            return
        yield TextDelta(msgspec.json.encode(self._notes).decode())
        yield ModelFinished("stop")


def said(count: int, *, characters: int = 10) -> tuple[Message, ...]:
    roles = (MessageRole.CUSTOMER, MessageRole.AGENT)
    return tuple(
        Message(
            message_id=f"m{n}", seq=n, role=roles[(n + 1) % 2], text=f"said-{n} " + "x" * characters, at=NOON
        )
        for n in range(1, count + 1)
    )


async def state_after(
    model: NotingModel,
    count: int,
    *,
    policy: WindowPolicy = POLICY,
    characters: int = 10,
    summary: Summary | None = None,
) -> ConversationState:
    brain = LlmBrain(
        model,
        tools=TOOLS,
        company_name="Lumen Shop",
        memory=Remembering(model, policy, clock=SystemClock()),
    )
    asked = turn(history=said(count, characters=characters), summary=summary)
    reply = await brain.respond(asked, FakeTools(), Screen())
    assert reply.text == ANSWER
    return reply.state


async def test_a_short_conversation_is_read_whole_and_nothing_is_noted() -> None:
    model = NotingModel()

    state = await state_after(model, 6)

    assert state.summary is None
    assert model.noted == []
    assert "said-1 " in str(model.asked[0])


async def test_what_leaves_the_window_is_summed_up_and_stored() -> None:
    model = NotingModel()

    state = await state_after(model, 9)

    assert state.summary == Summary(text="Wants: To return a lamp.\nNames and numbers: R-7QK2M4XWZC", upto=6)
    assert "said-6 " in str(model.noted[0])
    assert "said-7 " not in str(model.noted[0])


async def test_the_next_turn_reads_the_notes_and_the_messages_after_them() -> None:
    model = NotingModel()

    state = await state_after(model, 9, summary=Summary(text="Wants to return a lamp.", upto=6))

    seen = str(model.asked[0])
    assert "Wants to return a lamp." in model.asked[0][0].content
    assert "said-6 " not in seen
    assert "said-7 " in seen
    assert state.summary == Summary(text="Wants to return a lamp.", upto=6)
    assert model.noted == []


async def test_new_notes_are_made_of_the_old_ones_and_what_came_since() -> None:
    model = NotingModel()

    state = await state_after(model, 14, summary=Summary(text="Old notes.", upto=6))

    assert "Old notes." in model.noted[0][1].content
    assert "said-6 " not in str(model.noted[0])
    assert state.summary is not None
    assert state.summary.upto == 11


async def test_long_messages_leave_the_window_by_their_tokens() -> None:
    model = NotingModel()

    state = await state_after(model, 4, policy=WindowPolicy(messages=6, tokens=1000), characters=2000)

    assert "said-3 " not in str(model.asked[0])
    assert "said-4 " in str(model.asked[0])
    assert state.summary is not None


async def test_without_a_model_for_it_the_oldest_are_left_out() -> None:
    out, silent = NotingModel(is_out=True), NotingModel()
    silent.is_silent = True

    first = await state_after(out, 4, policy=WindowPolicy(messages=6, tokens=1000), characters=2000)
    second = await state_after(silent, 9, summary=Summary(text="Old notes.", upto=1))

    assert first.summary is None
    assert "said-3 " not in str(out.asked[0])
    assert second.summary == Summary(text="Old notes.", upto=1)


async def test_notes_that_say_nothing_are_none() -> None:
    state = await state_after(NotingModel(wants=" ", numbers=()), 9)

    assert state.summary is None


async def test_words_in_place_of_notes_are_not_kept() -> None:
    model = NotingModel()
    model.chatters = True

    state = await state_after(model, 9, summary=Summary(text="Old notes.", upto=1))

    assert state.summary == Summary(text="Old notes.", upto=1)
