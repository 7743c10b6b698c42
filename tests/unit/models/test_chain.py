"""
A chain of models answers as long as one of them does.
"""

import pytest

from agent.models.base import AnswerRestarted, ModelEvent, ModelFinished, TextDelta
from agent.models.chain import ChainedModels
from agent.models.scripted import Line, ScriptedModel, says
from core.clock import SystemClock
from core.errors import NetworkFailed, RateLimited
from core.resilience.deadline import Deadline
from tests.fakes import FakeClock

CLOCK = SystemClock()


async def ask(*models: ScriptedModel) -> list[ModelEvent]:
    chain = ChainedModels(models, clock=CLOCK)
    return [event async for event in chain.stream((), (), deadline=Deadline(CLOCK, 5.0))]


async def test_the_first_model_answers_while_it_can() -> None:
    second = ScriptedModel(says("Second."))

    events = await ask(ScriptedModel(says("First.", piece=100)), second)

    assert events == [TextDelta("First."), ModelFinished("stop")]
    assert second.seen == []


async def test_a_refusal_passes_to_the_next_without_a_word() -> None:
    events = await ask(
        ScriptedModel((RateLimited(dependency="model"),)), ScriptedModel(says("Second.", piece=100))
    )

    assert events == [TextDelta("Second."), ModelFinished("stop")]


async def test_an_answer_that_breaks_off_begins_anew() -> None:
    broken = ScriptedModel((TextDelta("Fir"), NetworkFailed("model")))

    events = await ask(broken, ScriptedModel(says("Second.", piece=100)))

    assert events == [TextDelta("Fir"), AnswerRestarted(), TextDelta("Second."), ModelFinished("stop")]


async def test_the_last_models_failure_is_the_chains() -> None:
    with pytest.raises(RateLimited):
        await ask(ScriptedModel((NetworkFailed("model"),)), ScriptedModel((RateLimited(dependency="model"),)))


def test_a_chain_without_models_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ChainedModels((), clock=CLOCK)


async def test_a_model_that_asks_for_patience_is_passed_over_for_so_long() -> None:
    clock = FakeClock()
    first = ScriptedModel((RateLimited(dependency="model", retry_after=30.0),), says("First.", piece=100))
    second = ScriptedModel(says("Second.", piece=100))
    chain = ChainedModels([first, second], clock=clock)

    async def answer() -> list[ModelEvent]:
        return [event async for event in chain.stream((), (), deadline=Deadline(clock, 5.0))]

    texts = [(await answer())[0], (await answer())[0]]
    asked_meanwhile = len(first.seen)
    clock.advance(31.0)
    texts.append((await answer())[0])

    assert texts == [TextDelta("Second."), TextDelta("Second."), TextDelta("First.")]
    assert asked_meanwhile == 1


async def test_where_all_ask_for_patience_the_first_is_asked_again() -> None:
    clock = FakeClock()
    patience: tuple[Line, ...] = (RateLimited(dependency="model", retry_after=30.0),)
    models = [ScriptedModel(patience), ScriptedModel(patience)]
    chain = ChainedModels(models, clock=clock)

    for _ in range(2):
        with pytest.raises(RateLimited):
            _ = [event async for event in chain.stream((), (), deadline=Deadline(clock, 5.0))]

    assert [len(model.seen) for model in models] == [2, 2]
