"""A recorded model gives what the other gives, and what it was sent and gave stands in the turn's recording."""

import pytest

from agent.models.base import (
    AnswerRestarted,
    ModelEvent,
    ModelFinished,
    ModelMessage,
    ModelToolCall,
    TextDelta,
)
from agent.models.recorded import RecordingModel
from agent.models.scripted import ScriptedModel, calls, says
from core.errors import DependencyTimeout
from core.explanation import Explanation, explaining
from core.resilience.deadline import Deadline
from tests.fakes import FakeClock

PROMPT = (
    ModelMessage(role="system", content="Rules"),
    ModelMessage(role="assistant", tool_calls=(ModelToolCall("1", "find", "{}"),)),
    ModelMessage(role="tool", content="found", tool_call_id="1"),
)


async def asked(model: RecordingModel, explanation: Explanation | None) -> list[ModelEvent]:
    with explaining(explanation):
        return [event async for event in model.stream(PROMPT, (), deadline=Deadline(FakeClock(), 5.0))]


async def test_a_call_stands_there_with_its_prompt_and_completion() -> None:
    script = (
        TextDelta("Wro"),
        AnswerRestarted(),
        TextDelta("Yes"),
        TextDelta("."),
        ModelFinished("stop", model="m-1"),
    )
    explanation = Explanation(FakeClock(), is_recorded=True)

    events = await asked(RecordingModel(ScriptedModel(script, calls(("find", "{}")))), explanation)

    assert events == list(script)
    assert explanation.recorded is not None
    (call,) = explanation.recorded
    assert call["completion"]["text"] == "Yes."
    assert call["model"] == explanation.versions["model"] == "m-1"
    assert call["prompt"] == [
        {"role": "system", "content": "Rules"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "name": "find", "arguments": "{}"}]},
        {"role": "tool", "content": "found", "tool_call_id": "1"},
    ]


async def test_a_call_that_failed_stands_there_as_failed() -> None:
    explanation = Explanation(FakeClock(), is_recorded=True)
    broken = ScriptedModel((TextDelta("Y"), DependencyTimeout("model")))

    with pytest.raises(DependencyTimeout):
        await asked(RecordingModel(broken), explanation)

    assert explanation.recorded is not None
    (call,) = explanation.recorded
    assert (call["status"], call["error_type"]) == ("failed", "timeout_error")


@pytest.mark.parametrize("explanation", [None, Explanation(FakeClock())])
async def test_outside_of_a_recorded_turn_it_is_the_other_model(explanation: Explanation | None) -> None:
    events = await asked(RecordingModel(ScriptedModel(says("Yes."))), explanation)

    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Yes."
    assert explanation is None or explanation.recorded is None
