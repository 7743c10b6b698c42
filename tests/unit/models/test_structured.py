"""
Values in place of texts: what is asked of a model, and what of its answer is believed.
"""

import msgspec
import pytest

from agent.models.base import ModelFinished, ModelMessage, TextDelta
from agent.models.chain import ChainedModels
from agent.models.scripted import Line, ScriptedModel, says
from agent.models.structured import shape_of, structured_reply, told_in_words
from core.clock import SystemClock
from core.errors import DependencyRejectedInput, ExternalApiFailed
from core.resilience.deadline import Deadline

CLOCK = SystemClock()
HELLO = (ModelMessage(role="system", content="Rules."), ModelMessage(role="user", content="Hello"))
WHOLE = '{"name":"lamp","parts":[{"label":"bulb"}]}'


class Part(msgspec.Struct, frozen=True):
    label: str


class Found(msgspec.Struct, frozen=True):
    name: str
    parts: list[Part]


class Lax(msgspec.Struct, frozen=True):
    name: str = ""


async def reply_of(model: ScriptedModel | ChainedModels) -> Found:
    return await structured_reply(model, HELLO, Found, deadline=Deadline(CLOCK, 5.0))


def test_a_shape_is_of_the_strict_part_of_json_schema() -> None:
    shape = shape_of(Found)

    assert shape.name == "Found"
    assert shape.schema["type"] == "object"
    for each in (shape.schema, shape.schema["$defs"]["Part"]):
        assert each["additionalProperties"] is False
        assert sorted(each["required"]) == sorted(each["properties"])


def test_a_type_that_may_leave_something_out_has_no_shape() -> None:
    with pytest.raises(TypeError, match="Lax"):
        shape_of(Lax)


async def test_the_shape_is_asked_of_the_model_and_its_answer_becomes_the_value() -> None:
    model = ScriptedModel(says(WHOLE))

    found = await reply_of(model)

    assert found == Found("lamp", [Part("bulb")])
    assert model.shapes == [shape_of(Found)]
    assert model.seen == [HELLO]


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```", "\n {} \n"])
async def test_a_fence_around_the_value_is_no_part_of_it(fence: str) -> None:
    assert (await reply_of(ScriptedModel(says(fence.replace("{}", WHOLE))))).name == "lamp"


@pytest.mark.parametrize(
    "wrong",
    ["Sure! Here it is.", '{"name":"lamp"}', '{"name":7,"parts":[]}', "[" * 9000, '{"name":"\\ud800"}'],
)
async def test_another_shape_is_shown_to_the_model_once(wrong: str) -> None:
    model = ScriptedModel(says(wrong), says(WHOLE))

    found = await reply_of(model)

    assert found.name == "lamp"
    *before, answered, told = model.seen[1]
    assert tuple(before) == HELLO
    assert (answered.role, answered.content) == ("assistant", wrong)
    assert told.role == "user"
    assert '"additionalProperties":false' in told.content


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ((says("No."), says("No.")), 2),
        (((TextDelta('{"name":'), ModelFinished("length")), says(WHOLE)), 1),
        (((ModelFinished("content_filter"),), says(WHOLE)), 1),
    ],
)
async def test_what_is_in_no_shape_in_the_end_is_a_failure(
    answers: tuple[tuple[Line, ...], ...], asked: int
) -> None:
    model = ScriptedModel(*answers)

    with pytest.raises(ExternalApiFailed) as told:
        await reply_of(model)

    assert told.value.reason == "not_in_shape"
    assert len(model.seen) == asked


async def test_the_chain_asks_the_next_where_a_model_refuses_and_forgets_a_half_value() -> None:
    refusing = ScriptedModel((DependencyRejectedInput("model"),))
    breaking = ScriptedModel((TextDelta('{"name":"la'), ExternalApiFailed("model")))
    last = ScriptedModel(says(WHOLE))

    found = await reply_of(ChainedModels((refusing, breaking, last), clock=CLOCK))

    assert found.name == "lamp"
    assert last.shapes == [shape_of(Found)]


def test_in_words_the_rules_end_with_the_schema() -> None:
    shape = shape_of(Found)

    with_rules, without = told_in_words(HELLO, shape), told_in_words(HELLO[1:], shape)

    assert with_rules[0].content.startswith("Rules.\n\n")
    assert '"additionalProperties":false' in with_rules[0].content
    assert with_rules[1:] == list(HELLO[1:])
    assert [each.role for each in without] == ["system", "user"]
