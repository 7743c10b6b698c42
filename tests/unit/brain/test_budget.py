"""
What a turn may spend: it ends where a limit is reached, with what it has, and says so.
"""

import json

from agent.brain.budget import BudgetPolicy, Price, TurnBudget
from agent.brain.llm import LlmBrain
from agent.models.base import ModelFinished, ModelMessage, TextDelta
from agent.models.scripted import Line, ScriptedModel, calls, says
from tests.unit.brain.llm_fakes import TOOLS, FakeTools, Screen, turn

SUPPORTED = "You can return unused items within 30 days of delivery."
STOPPED = "I had to stop here before I was done with this."


def brain(model: ScriptedModel, budget: BudgetPolicy) -> LlmBrain:
    return LlmBrain(model, tools=TOOLS, company_name="Lumen Shop", contact_address=None, budget=budget)


def counted(lines: tuple[Line, ...], *, read: int, written: int) -> tuple[Line, ...]:
    *before, end = lines
    assert isinstance(end, ModelFinished)
    return (
        *before,
        ModelFinished(end.reason, end.tool_calls, prompt_tokens=read, completion_tokens=written),
    )


async def test_a_turn_that_reaches_its_tokens_says_so_and_offers_more() -> None:
    model = ScriptedModel(
        counted(calls(("customer_info", "{}")), read=900, written=80), says("Never asked for.")
    )

    reply = await brain(model, BudgetPolicy(tokens=1000)).respond(turn(), FakeTools(), Screen())

    assert len(model.seen) == 1
    assert reply.text.startswith(STOPPED)
    assert reply.quick_replies
    assert reply.spent is not None
    assert (reply.spent.answers, reply.spent.prompt_tokens, reply.spent.completion_tokens) == (1, 900, 80)


async def test_an_answer_may_be_as_long_as_is_left_and_what_a_limit_cut_is_said() -> None:
    cut: tuple[Line, ...] = (
        TextDelta(f"{SUPPORTED} [1] Opened cos"),
        ModelFinished("length", prompt_tokens=100, completion_tokens=900),
    )
    model = ScriptedModel(cut)

    reply = await brain(model, BudgetPolicy(tokens=2000)).respond(turn(), FakeTools(), Screen())

    assert model.most_tokens[0] is not None
    assert 0 < model.most_tokens[0] < 2000
    assert reply.text.startswith(f"{SUPPORTED} [1]")
    assert STOPPED in reply.text


async def test_a_budget_too_small_for_one_question_asks_no_model() -> None:
    model = ScriptedModel(says(f"{SUPPORTED} [1]"))

    reply = await brain(model, BudgetPolicy(tokens=200)).respond(turn(), FakeTools(), Screen())

    assert model.seen == []
    assert reply.text.startswith(STOPPED)


async def test_without_limits_nothing_is_asked_of_the_server() -> None:
    model = ScriptedModel(says(f"{SUPPORTED} [1]"))

    reply = await brain(model, BudgetPolicy()).respond(turn(), FakeTools(), Screen())

    assert model.most_tokens == [None]
    assert STOPPED not in reply.text


async def test_steps_are_as_many_as_are_set() -> None:
    flood = calls(*(("customer_info", json.dumps({"order_id": str(n)})) for n in range(9)))
    model, tools = ScriptedModel(flood, says("What do you mean?")), FakeTools()

    await brain(model, BudgetPolicy(calls=3)).respond(turn(), tools, Screen())

    assert tools.called.count("customer_info") == 3


def test_money_is_counted_by_the_price_of_the_model_that_answered() -> None:
    prices = {"big": Price(2.0, 10.0), "small": Price(0.1, 0.5)}
    budget = TurnBudget(BudgetPolicy(cost=0.01, prices=prices), "big")
    messages = [ModelMessage(role="user", content="x" * 4000)]

    first = budget.most_tokens(messages)
    budget.note(ModelFinished("stop", prompt_tokens=1000, completion_tokens=100, model="small"), messages, 0)
    after_small = budget.spent.cost
    budget.note(ModelFinished("stop", prompt_tokens=1000, completion_tokens=500, model="big"), messages, 0)
    last = budget.most_tokens(messages)

    assert first is not None
    assert 700 <= first <= 800
    assert after_small == 0.00015
    assert budget.spent.cost == 0.00715
    assert last is not None
    assert last < 100


def test_what_no_server_counts_is_estimated() -> None:
    budget = TurnBudget(BudgetPolicy(tokens=10_000), "any")

    budget.note(ModelFinished("stop"), [ModelMessage(role="user", content="x" * 400)], 200)

    assert (budget.spent.prompt_tokens, budget.spent.completion_tokens) == (104, 50)
