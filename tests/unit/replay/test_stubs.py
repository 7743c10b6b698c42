"""Claims about stubs: which recorded call is given back, and that a call that was not recorded is a finding."""

import asyncio
import random

import msgspec
import pytest

from agent.models.base import ModelEvent, ModelFinished, ModelMessage, TextDelta
from agent.replay.log import RecordedConversation, RecordedMessage
from agent.replay.stubs import UNRECORDED, RecordedModel, Recording
from core.clock import SystemClock
from core.errors import DependencyRejectedInput
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy


class Query(msgspec.Struct, frozen=True):
    query: str
    limit: int = 5
    language: str | None = None


def customer(text: str) -> RecordedMessage:
    return RecordedMessage(role="customer", text=text)


def search(query: str, result: str) -> RecordedMessage:
    return RecordedMessage(
        role="tool", tool="search", args={"query": query, "limit": 5}, result={"is": result}
    )


def model(asked: str, text: str, **completion: object) -> RecordedMessage:
    return RecordedMessage(
        role="model",
        model="recorded-1",
        prompt=({"role": "user", "content": asked},),
        completion={"text": text, **completion},
    )


def recording(*messages: RecordedMessage) -> Recording:
    found = Recording()
    found.begin(RecordedConversation("a", messages))
    return found


def given(found: RecordedMessage | None) -> object:
    return found.result["is"] if found is not None else None


def test_a_call_is_matched_by_its_arguments_and_each_recorded_call_is_given_once() -> None:
    told = recording(customer("hi"), search("kettle", "one"), search("pan", "two"), search("kettle", "three"))
    told.turn(1)

    calls = [given(told.tool_call("search", Query(query))) for query in ("pan", "kettle", "kettle")]

    assert calls == ["two", "one", "three"]
    assert told.findings == []


def test_the_same_call_of_another_turn_goes_before_another_call_of_this_turn() -> None:
    told = recording(customer("hi"), search("kettle", "early"), customer("so?"), search("pan", "late"))
    told.turn(2)

    assert given(told.tool_call("search", Query("kettle"))) == "early"
    assert given(told.tool_call("search", Query("lid"))) == "late"


def test_a_call_that_was_not_recorded_is_a_finding_of_its_turn() -> None:
    told = recording(customer("hi"), search("kettle", "one"))
    told.turn(1)

    assert told.tool_call("notify", Query("kettle")) is None
    assert [finding.rule for finding in told.findings] == [UNRECORDED]
    assert "notify" in told.findings[0].detail
    told.turn(2)
    assert told.findings == []


def played(told: Recording, asked: str) -> list[ModelEvent]:
    clock = SystemClock()
    answering = RecordedModel(told, Guard("model", GuardPolicy(), clock=clock, rng=random.Random(0)), clock)

    async def play() -> list[ModelEvent]:
        messages = [ModelMessage(role="user", content=asked)]
        return [event async for event in answering.stream(messages, (), deadline=Deadline(clock, 5.0))]

    return asyncio.run(play())


def test_a_model_gives_what_it_gave_to_the_most_similar_prompt() -> None:
    told = recording(
        customer("hi"),
        model("where is my parcel", "On its way."),
        model("may I return the kettle", "", tool_calls=[{"id": "1", "name": "search", "arguments": "{}"}]),
    )
    told.turn(1)

    calls, ended = played(told, "may I return the kettle now"), played(told, "where is my parcel")

    assert [type(event) for event in calls] == [ModelFinished]
    assert isinstance(calls[0], ModelFinished)
    assert [(call.name, call.arguments) for call in calls[0].tool_calls] == [("search", "{}")]
    assert ended[0] == TextDelta("On its way.")


def test_a_model_that_was_asked_something_else_then_does_not_answer() -> None:
    told = recording(customer("hi"), model("where is my parcel", "On its way."))
    told.turn(1)

    with pytest.raises(DependencyRejectedInput):
        played(told, "bonjour tout le monde")

    assert [finding.rule for finding in told.findings] == [UNRECORDED]
