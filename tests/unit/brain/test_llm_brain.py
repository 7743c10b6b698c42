"""
The LLM brain with a scripted model: what it tells the model, and what of the model's words it lets out.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from agent.brain.llm import LlmBrain
from agent.models.base import AnswerRestarted, ModelFinished, TextDelta, ToolSpec
from agent.models.scripted import Line, ScriptedModel, calls, says
from core.errors import ExternalApiFailed, NetworkFailed
from core.explanation import Explanation, explaining
from core.messages import Action, ActionStatus, Message, MessageRole, TurnStatus
from state.models import OpenFlow
from tests.fakes import FakeClock
from tests.unit.brain.llm_fakes import NOON, OUTCOMES, TOOLS, FakeTools, Screen, turn
from tools.protocol import ToolOutcome

SUPPORTED = "You can return unused items within 30 days of delivery."
OPEN = ("open_ticket", '{"subject": "Lamp", "description": "My lamp stays dark."}')


def brain(model: ScriptedModel) -> LlmBrain:
    return LlmBrain(model, tools=TOOLS, company_name="Lumen Shop", contact_address="help@shop.example")


def told(model: ScriptedModel, *, request: int, message: int = -1) -> dict[str, object]:
    """A tool's result as the model read it."""
    found: dict[str, object] = json.loads(model.seen[request][message].content)
    return found


async def test_a_grounded_sentence_leaves_with_a_literal_quote() -> None:
    model, tools, screen = ScriptedModel(says(f"{SUPPORTED} [1]")), FakeTools(), Screen()

    reply = await brain(model).respond(turn(), tools, screen)

    assert reply.text == f"{SUPPORTED} [1]"
    assert screen.shown == reply.text
    assert [(citation.n, citation.article_id, citation.quote) for citation in reply.citations] == [
        (1, "returns", SUPPORTED)
    ]
    assert (reply.brain, reply.model, reply.status) == ("llm", "scripted", TurnStatus.ANSWERED)
    assert reply.state.topic == ("returns",)
    assert reply.state.offer is None


async def test_the_model_reads_what_was_found_before_it_is_asked() -> None:
    model, tools = ScriptedModel(says(f"{SUPPORTED} [1]")), FakeTools()

    await brain(model).respond(turn(), tools, Screen())

    assert tools.calls == [("search_knowledge", {"query": "How long can I return an item?", "limit": 5})]
    assert told(model, request=0)["passages"][0]["n"] == 1  # type: ignore[index]  # JSON of unknown shape


async def test_an_invented_sentence_does_not_leave() -> None:
    model, screen = (
        ScriptedModel(says(f"Of course! {SUPPORTED} [1] Shipping is free on Sundays. [1]")),
        Screen(),
    )

    reply = await brain(model).respond(turn(), FakeTools(), screen)

    assert reply.text == f"{SUPPORTED} [1]"
    assert screen.history == []


async def test_an_answer_without_a_grounded_fact_becomes_an_admission_and_an_offer() -> None:
    model, screen = ScriptedModel(says("I am happy to help! The warranty lasts ten years. [1]")), Screen()

    reply = await brain(model).respond(turn(), FakeTools(), screen)

    assert "I do not know" in reply.text
    assert "ticket" in reply.text
    assert "help@shop.example" in reply.text
    assert "happy" not in reply.text
    assert screen.shown == reply.text
    assert reply.citations == ()
    assert reply.state.offer == "ticket"


async def test_a_question_back_leaves_and_waits_for_the_customer() -> None:
    reply = await brain(ScriptedModel(says("Sure! Which item do you mean?"))).respond(
        turn(), FakeTools(), Screen()
    )

    assert reply.text == "Which item do you mean?"
    assert reply.status is TurnStatus.NEEDS_CUSTOMER


async def test_a_tool_is_called_and_its_receipt_is_told() -> None:
    model, tools = (
        ScriptedModel(calls(OPEN), says("I have opened a ticket for you: R-7QK2M4XWZC.")),
        FakeTools(),
    )

    reply = await brain(model).respond(turn("Please open a ticket"), tools, Screen())

    assert tools.called == ["search_knowledge", "open_ticket"]
    assert reply.text == "I have opened a ticket for you: R-7QK2M4XWZC."
    assert told(model, request=1)["receipt"] == "R-7QK2M4XWZC"


async def test_a_receipt_that_the_model_keeps_to_itself_is_told_all_the_same() -> None:
    model = ScriptedModel(calls(OPEN), says("Done!"))

    reply = await brain(model).respond(turn("Please open a ticket"), FakeTools(), Screen())

    assert "R-7QK2M4XWZC" in reply.text


async def test_a_finished_effect_closes_the_open_flow() -> None:
    flow = OpenFlow(name="ticket", slots={"subject": "Lamp"}, asked="description")
    model = ScriptedModel(calls(OPEN), says("Done!"))

    reply = await brain(model).respond(turn("It stays dark", flow=flow), FakeTools(), Screen())

    assert "Lamp" in model.seen[0][0].content
    assert reply.state.flow is None


async def test_an_open_flow_stays_while_nothing_came_of_it() -> None:
    flow = OpenFlow(name="ticket", slots={"subject": "Lamp"}, asked="description")

    reply = await brain(ScriptedModel(says("What happened?"))).respond(turn(flow=flow), FakeTools(), Screen())

    assert reply.state.flow == flow


@pytest.mark.parametrize("arguments", ['{"subject": "La', "[]", "null", '"Lamp"', "[" * 5000])
async def test_arguments_that_are_no_json_object_are_told_to_the_model_and_not_called(arguments: str) -> None:
    model, tools = ScriptedModel(calls(("open_ticket", arguments)), says("What is it about?")), FakeTools()

    reply = await brain(model).respond(turn(), tools, Screen())

    assert tools.called == ["search_knowledge"]
    assert told(model, request=1)["error"] == "validation_error"
    assert model.seen[1][-2].tool_calls[0].arguments == "{}"
    assert reply.text == "What is it about?"


async def test_a_tool_that_does_not_exist_is_told_to_the_model_and_not_called() -> None:
    model, tools = ScriptedModel(calls(("drop_tables", "{}")), says("What is it about?")), FakeTools()

    await brain(model).respond(turn(), tools, Screen())

    assert tools.called == ["search_knowledge"]
    assert told(model, request=1)["error"] == "tool_not_found"


async def test_a_failed_tool_is_told_without_what_went_wrong_inside() -> None:
    failed = ToolOutcome(
        action=Action(
            call_id="c1",
            tool="open_ticket",
            status=ActionStatus.FAILED,
            error_type="validation_error",
            reason="contact_missing",
            summary="Which e-mail address should I put on the ticket?",
        )
    )
    model = ScriptedModel(calls(OPEN), says("Which e-mail address should I use?"))

    await brain(model).respond(
        turn("Please open a ticket"), FakeTools({**OUTCOMES, "open_ticket": failed}), Screen()
    )

    assert told(model, request=1) == {
        "status": "failed",
        "summary": "Which e-mail address should I put on the ticket?",
        "reason": "contact_missing",
        "error": "validation_error",
    }


async def test_the_same_call_is_made_once_however_often_the_model_asks() -> None:
    model, tools = ScriptedModel(calls(OPEN, OPEN), calls(OPEN), says("Done!")), FakeTools()

    await brain(model).respond(turn("Please open a ticket"), tools, Screen())

    assert tools.called == ["search_knowledge", "open_ticket"]


async def test_endless_tool_calls_end_after_six_answers() -> None:
    model, tools = ScriptedModel(calls(("customer_info", "{}"))), FakeTools()

    with pytest.raises(ExternalApiFailed):
        await brain(model).respond(turn(), tools, Screen())

    assert len(model.seen) == 6
    assert model.offered[-1] == ()


async def test_endless_tool_calls_after_an_effect_end_in_its_receipt() -> None:
    model = ScriptedModel(calls(OPEN))

    reply = await brain(model).respond(turn("Please open a ticket"), FakeTools(), Screen())

    assert "R-7QK2M4XWZC" in reply.text


async def test_a_flood_of_calls_in_one_answer_is_bounded() -> None:
    flood = calls(*(("customer_info", json.dumps({"order_id": str(n)})) for n in range(100)))
    model, tools = ScriptedModel(flood, says("What do you mean?")), FakeTools()

    await brain(model).respond(turn(), tools, Screen())

    assert tools.called.count("customer_info") == 8


async def test_after_a_handoff_the_model_is_not_asked_again() -> None:
    model = ScriptedModel(calls(("handoff", '{"reason": "wants a person"}')))

    reply = await brain(model).respond(turn("A person, please"), FakeTools(), Screen())

    assert len(model.seen) == 1
    assert reply.text == "I am passing this conversation to a member of our team, who will answer you here."


async def test_an_answer_that_begins_again_replaces_what_was_shown() -> None:
    second = "Opened cosmetics cannot be returned."
    restarted: tuple[Line, ...] = (
        TextDelta(f"{SUPPORTED} [1] And th"),
        AnswerRestarted(),
        TextDelta(f"{second} [1]"),
        ModelFinished("stop", model="second"),
    )
    screen = Screen()

    reply = await brain(ScriptedModel(restarted)).respond(turn(), FakeTools(), screen)

    assert reply.text == screen.shown == f"{second} [1]"
    assert [citation.quote for citation in reply.citations] == [second]
    assert reply.model == "second"


async def test_a_sentence_that_a_limit_cut_does_not_leave() -> None:
    cut = (TextDelta(f"{SUPPORTED} [1] Opened cosmetics cannot be"), ModelFinished("length"))

    reply = await brain(ScriptedModel(cut)).respond(turn(), FakeTools(), Screen())

    assert reply.text == f"{SUPPORTED} [1]"


async def test_an_empty_answer_counts_as_a_failed_model() -> None:
    with pytest.raises(ExternalApiFailed):
        await brain(ScriptedModel(says(""))).respond(turn(), FakeTools(), Screen())


async def test_a_failing_model_is_not_hidden() -> None:
    with pytest.raises(NetworkFailed):
        await brain(ScriptedModel((NetworkFailed("model"),))).respond(turn(), FakeTools(), Screen())


async def test_history_alternates_between_the_two_sides() -> None:
    said = (
        (MessageRole.CUSTOMER, "Hi"),
        (MessageRole.CUSTOMER, "Anybody?"),
        (MessageRole.OPERATOR, "I am Ann."),
        (MessageRole.SYSTEM, "Ticket T-9 is open."),
    )
    history = tuple(
        Message(message_id=f"m{n}", seq=n, role=role, text=text, at=NOON)
        for n, (role, text) in enumerate(said, 1)
    )
    model = ScriptedModel(says("What do you mean?"))

    await brain(model).respond(turn(history=history), FakeTools(), Screen())

    assert [(message.role, message.content) for message in model.seen[0][1:4]] == [
        ("user", "Hi\n\nAnybody?"),
        ("assistant", "I am Ann.\n\nTicket T-9 is open."),
        ("user", "How long can I return an item?"),
    ]


async def test_a_list_keeps_its_lines_and_its_citations() -> None:
    answer = f"Here is what I found:\n- {SUPPORTED} [1]\n- Opened cosmetics cannot be returned. [1]\n\nAnything else?"

    reply = await brain(ScriptedModel(says(answer))).respond(turn(), FakeTools(), Screen())

    assert reply.text == (
        f"Here is what I found:\n- {SUPPORTED} [1]\n- Opened cosmetics cannot be returned. [2]\n\nAnything else?"
    )
    assert [citation.n for citation in reply.citations] == [1, 2]


NO_ENTRY = ToolOutcome(
    action=Action(
        call_id="c9",
        tool="open_ticket",
        status=ActionStatus.FAILED,
        error_type="authentication_failed",
        summary="Our own system did not let me in. Come back later, or let me pass you on to a person.",
    )
)


@pytest.mark.parametrize("words", [NO_ENTRY.summary, "The quota of our Zendesk plan has run out."])
async def test_what_a_tool_said_of_its_failure_is_told_whatever_the_model_made_of_it(words: str) -> None:
    model, tools = ScriptedModel(calls(OPEN), says(words)), FakeTools({**OUTCOMES, "open_ticket": NO_ENTRY})

    reply = await brain(model).respond(turn("Please open a ticket"), tools, Screen())

    assert NO_ENTRY.summary in reply.text
    assert "I do not know" not in reply.text
    assert "Zendesk" not in reply.text


class SlowTools(FakeTools):
    """Readings end when two of them are under way; what changes something says who was under way then."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: set[str] = set()
        self.beside_effects: list[set[str]] = []
        self._both = asyncio.Event()

    async def call(self, tool: str, arguments: Mapping[str, Any], *, asks_first: bool = False) -> ToolOutcome:
        if tool in ("customer_info", "find_tickets"):
            self.under_way.add(tool)
            if len(self.under_way) == 2:
                self._both.set()
            await asyncio.wait_for(self._both.wait(), 5)
            self.under_way.discard(tool)
        elif tool == "open_ticket":
            self.beside_effects.append(set(self.under_way))
        return await super().call(tool, arguments, asks_first=asks_first)


async def test_readings_run_at_the_same_time_and_an_effect_after_them() -> None:
    specs = (*TOOLS, ToolSpec("find_tickets", "find_tickets.", {"type": "object"}))
    answers = {**OUTCOMES, "find_tickets": OUTCOMES["customer_info"]}
    model = ScriptedModel(calls(("customer_info", "{}"), ("find_tickets", "{}"), OPEN), says("Done!"))
    tools = SlowTools()
    tools._outcomes = answers
    llm = LlmBrain(model, tools=specs, company_name="Lumen Shop")

    await llm.respond(turn("Please open a ticket about my order"), tools, Screen())

    assert tools.beside_effects == [set()]
    assert [message.tool_call_id for message in model.seen[1][-3:]] == ["call_0", "call_1", "call_2"]


async def test_what_the_customer_did_not_ask_for_is_put_to_them_once() -> None:
    model, tools = ScriptedModel(calls(OPEN, ("handoff", '{"reason": "x"}')), says("Done!")), FakeTools()

    reply = await brain(model).respond(turn("My lamp stays dark."), tools, Screen())

    assert tools.called == ["search_knowledge"]
    assert tools.asked == ["open_ticket"]
    assert reply.text == "Shall I open this ticket for you?"
    assert len(model.seen) == 1


async def test_what_was_taken_out_refused_and_spent_stands_in_the_explanation() -> None:
    model = ScriptedModel(
        calls(("delete_orders", "{}")), says(f"{SUPPORTED} [1] Shipping is free on Sundays. [1]")
    )
    explanation = Explanation(FakeClock())

    with explaining(explanation):
        await brain(model).respond(turn(), FakeTools(), Screen())

    noted = {step.kind: step.facts for step in explanation.steps}
    assert noted["call_not_made"]["tool"] == "delete_orders"
    assert noted["sentence_removed"]["sentence"].startswith("Shipping is free")
    assert noted["model_answered"]["prompt"]
    assert noted["spent"]["answers"] == 2
