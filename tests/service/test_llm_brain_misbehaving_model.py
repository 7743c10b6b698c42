"""
A model server that misbehaves on a real socket: every turn is answered, in time, and nothing technical is said.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from agent.brain.base import BrainReply
from agent.brain.fallback import FallbackBrain
from agent.brain.llm import LlmBrain
from agent.models.openai import OpenAiModel
from core.clock import SystemClock
from core.http import make_model_client
from core.resilience.breaker import BreakerPolicy
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard, GuardPolicy
from state.models import OpenFlow
from tests.service.scripted_model import (
    Scene,
    ScriptedModelServer,
    Stage,
    breaks_off,
    calls,
    is_silent,
    refuses,
    says,
)
from tests.timing import assert_within
from tests.unit.brain.llm_fakes import TOOLS, FakeEmbeddedBrain, FakeTools, Screen, turn

CLOCK = SystemClock()
SILENCE_SECONDS = 0.4
SUPPORTED = "You can return unused items within 30 days of delivery."
OPEN = ("open_ticket", '{"subject": "Lamp", "description": "My lamp stays dark."}')
DEGRADED = (("conversation", "model"),)


@dataclass
class Support:
    """The whole of it, and what it did."""

    server: ScriptedModelServer
    brain: FallbackBrain
    degradation: GracefulDegradationHandler
    embedded: FakeEmbeddedBrain
    tools: FakeTools
    screen: Screen

    async def answer(
        self, text: str = "How long can I return an item?", *, flow: OpenFlow | None = None
    ) -> BrainReply:
        self.screen.shown = ""
        reply = await self.brain.respond(turn(text, seconds=5.0, flow=flow), self.tools, self.screen)
        assert self.screen.shown == reply.text
        assert reply.text
        assert not any(
            word in reply.text.lower() for word in ("error", "model", "timeout", "db-7", "500", "429")
        )
        return reply


@asynccontextmanager
async def _support(*scenes: Scene) -> AsyncIterator[Support]:
    rng = random.Random(7)
    policy = GuardPolicy(
        attempt_seconds=SILENCE_SECONDS, total_seconds=SILENCE_SECONDS, breaker=BreakerPolicy(minimum_calls=4)
    )
    guard = Guard("model", policy, clock=CLOCK, rng=rng)
    degradation = GracefulDegradationHandler(clock=CLOCK, rng=rng)
    degradation.watch(guard)
    embedded = FakeEmbeddedBrain()
    async with (
        ScriptedModelServer(*scenes) as server,
        make_model_client("model", base_url=server.url, timeout_seconds=SILENCE_SECONDS) as client,
    ):
        model = OpenAiModel(client, model="small", guard=guard, clock=CLOCK, silence_seconds=SILENCE_SECONDS)
        brain = FallbackBrain(
            LlmBrain(model, tools=TOOLS, company_name="Lumen Shop"),
            embedded,
            outages=degradation,
            clock=CLOCK,
        )
        yield Support(server, brain, degradation, embedded, FakeTools(), Screen())


SupportFor = Callable[..., AbstractAsyncContextManager[Support]]


@pytest.fixture
def support() -> SupportFor:
    return _support


async def test_a_well_behaved_model_answers_itself(support: SupportFor) -> None:
    async with support(says(f"{SUPPORTED} [1]")) as desk:
        reply = await desk.answer()

    assert (reply.brain, reply.model, reply.degraded) == ("llm", "small", ())
    assert reply.text == f"{SUPPORTED} [1]"
    assert desk.embedded.turns == []


@pytest.mark.alone
@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(refuses(429, Retry_After="30"), id="429 with a long Retry-After"),
        pytest.param(refuses(429), id="429"),
        pytest.param(refuses(500), id="500"),
        pytest.param(is_silent(), id="silence"),
        pytest.param(is_silent(after="The warranty "), id="silence in mid-stream"),
        pytest.param(breaks_off("The warranty las"), id="cut in mid-word"),
        pytest.param(calls(("customer_info", "{}")), id="endless tool calls"),
        pytest.param(says(""), id="an empty answer"),
    ],
)
async def test_the_embedded_brain_answers_when_the_model_does_not(support: SupportFor, scene: Scene) -> None:
    async with support(scene) as desk:
        started = CLOCK.monotonic()
        reply = await desk.answer()
        seconds = CLOCK.monotonic() - started

    assert reply.text == f"{SUPPORTED} [1]"
    assert reply.citations[0].quote == SUPPORTED
    assert (reply.brain, reply.model, reply.degraded) == ("embedded", None, DEGRADED)
    assert_within(seconds, SILENCE_SECONDS + 1.0)
    assert desk.tools.called.count("search_knowledge") == 1


async def test_a_429_with_a_short_wait_is_waited_for(support: SupportFor) -> None:
    async with support(refuses(429, Retry_After="0"), says(f"{SUPPORTED} [1]")) as desk:
        reply = await desk.answer()

    assert (reply.brain, reply.degraded) == ("llm", ())


async def test_what_a_cut_stream_had_shown_is_taken_back(support: SupportFor) -> None:
    async with support(breaks_off("Opened cosmetics cannot be returned. [1] And the warr")) as desk:
        reply = await desk.answer()

    assert desk.screen.history == ["Opened cosmetics cannot be returned. [1]"]
    assert reply.text == f"{SUPPORTED} [1]"


async def test_malformed_arguments_are_mended_by_the_model(support: SupportFor) -> None:
    mended = says("I have opened a ticket for you: R-7QK2M4XWZC.")
    async with support(calls(("open_ticket", '{"subject": "La')), calls(OPEN), mended) as desk:
        reply = await desk.answer("Please open a ticket")

    assert desk.tools.called == ["search_knowledge", "open_ticket"]
    assert (reply.text, reply.brain) == ("I have opened a ticket for you: R-7QK2M4XWZC.", "llm")


async def test_a_tool_that_does_not_exist_is_not_called(support: SupportFor) -> None:
    async with support(calls(("run_sql", '{"query": "drop table"}')), says(f"{SUPPORTED} [1]")) as desk:
        reply = await desk.answer()

    assert desk.tools.called == ["search_knowledge"]
    assert reply.brain == "llm"


async def test_a_model_that_dies_after_opening_a_ticket_opens_no_second_one(support: SupportFor) -> None:
    async with support(calls(OPEN), refuses(500)) as desk:
        reply = await desk.answer("Please open a ticket")

    assert desk.tools.called == ["search_knowledge", "open_ticket"]
    assert desk.embedded.turns == []
    assert "R-7QK2M4XWZC" in reply.text
    assert reply.degraded == DEGRADED


async def test_an_open_flow_is_handed_to_the_embedded_brain(support: SupportFor) -> None:
    flow = OpenFlow(name="ticket", slots={"subject": "Lamp"}, asked="description")
    async with support(refuses(500)) as desk:
        reply = await desk.answer("It stays dark", flow=flow)

    assert desk.embedded.turns[0].state.flow == flow
    assert reply.state.flow == flow


async def test_a_model_that_is_known_to_be_down_is_not_asked_and_answers_again_when_it_is_back(
    support: SupportFor,
) -> None:
    async with support(refuses(500)) as desk:
        while not desk.degradation.is_down("model"):
            await desk.answer()
        asked = len(desk.server.requests)

        assert (await desk.answer()).degraded == DEGRADED
        assert len(desk.server.requests) == asked

        desk.server.play(says(f"{SUPPORTED} [1]"))
        desk.degradation.mark_up("model")
        assert (await desk.answer()).brain == "llm"


@pytest.mark.alone
async def test_one_silence_is_waited_for_and_the_next_turn_does_not_wait(support: SupportFor) -> None:
    async with support(is_silent()) as desk:
        await desk.answer()
        started = CLOCK.monotonic()

        reply = await desk.answer()

        assert reply.degraded == DEGRADED
        assert_within(CLOCK.monotonic() - started, SILENCE_SECONDS / 2)


async def test_a_refusal_of_one_request_does_not_mark_the_model_down(support: SupportFor) -> None:
    async with support(refuses(429, Retry_After="30")) as desk:
        await desk.answer()

        assert not desk.degradation.is_down("model")


async def test_a_model_that_is_marked_down_costs_no_time(support: SupportFor) -> None:
    async with support(is_silent()) as desk:
        desk.degradation.mark_down("model")

        reply = await desk.answer()

        assert reply.degraded == DEGRADED
        assert desk.server.requests == []


async def test_a_model_that_never_stops_leaves_the_embedded_brain_its_share_of_the_deadline(
    support: SupportFor,
) -> None:
    async def rambles(stage: Stage) -> None:
        await stage.head()
        while True:
            await stage.delta({"content": "and so on "})
            await CLOCK.sleep(0.02)

    async with support(rambles) as desk:
        question = turn(seconds=0.8)
        reply = await desk.brain.respond(question, desk.tools, desk.screen)

    assert reply.brain == "embedded"
    assert 0.2 < question.deadline.remaining() < 0.6


async def test_a_defect_of_the_first_brain_is_no_reason_to_leave_a_customer_without_an_answer() -> None:
    class Broken(FakeEmbeddedBrain):
        async def respond(self, *_: object) -> BrainReply:
            raise KeyError("a defect")

    rng = random.Random(7)
    degradation = GracefulDegradationHandler(clock=CLOCK, rng=rng)
    brain = FallbackBrain(Broken(), FakeEmbeddedBrain(), outages=degradation, clock=CLOCK)

    reply = await brain.respond(turn(), FakeTools(), Screen())

    assert reply.brain == "embedded"
