"""The whole service with deployed agents: who answers, with which model, prompt, tools and limits, and what a turn says of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from agent.bootstrap import Careline, open_careline
from agent.control.plane import Answer, Changing, ControlPlane
from agent.turn.inputs import ChatRequest
from core.control_records import (
    AgentClass,
    AgentDefinition,
    ContentStorage,
    Deployment,
    DeploymentStatus,
    ExecutionMode,
    ModelProvider,
    PublicationStatus,
    Resource,
    RiskLevel,
    SystemPrompt,
    ToolRecord,
)
from core.identity import Caller, CallerKind
from core.messages import TurnResult
from core.settings import Settings
from state.sql.connection import Connection
from state.sql.tables import conversations, tickets
from tests.service.scripted_model import ScriptedModelServer, calls, refuses, says
from tests.timing import TooSlow

KIM = Caller(kind=CallerKind.LOCAL, customer_id="kim")
PROMPT = "Speak like a sailor, and end with Ahoy."
_PATIENCE_SECONDS = 25.0


class Plant:
    """A running service, its control plane, and what is put there."""

    def __init__(self, careline: Careline) -> None:
        self.careline = careline
        assert careline.parts.control is not None
        self.plane: ControlPlane = careline.parts.control.plane

    async def create(self, kind: type[Resource], **fields: Any) -> Any:
        return await self._change(lambda changing: changing.create(kind, fields))

    async def update(self, kind: type[Resource], id: UUID, **fields: Any) -> Any:
        return await self._change(lambda changing: changing.update(kind, id, fields))

    async def definition(self, name: str = "Support", **fields: Any) -> AgentDefinition:
        kind = await self.create(AgentClass, name=f"class of {name}")
        made: AgentDefinition = await self.create(
            AgentDefinition,
            **{
                "name": name,
                "agent_class_id": kind.id,
                "execution_mode": ExecutionMode.STATEFUL,
                "config": {},
                "tool_ids": (),
                **fields,
            },
        )
        return made

    async def provider(self, url: str, **config: Any) -> ModelProvider:
        made: ModelProvider = await self.create(
            ModelProvider, name="Ours", api_base_url=url, config={"api_key": "sk-ours", **config}
        )
        return made

    async def prompt(self) -> SystemPrompt:
        made: SystemPrompt = await self.create(
            SystemPrompt,
            name="Sailor",
            content=PROMPT,
            status=PublicationStatus.PUBLISHED,
            content_storage_type=ContentStorage.INLINE,
        )
        return made

    async def tools(self, *names: str) -> tuple[UUID, ...]:
        made = [
            await self.create(ToolRecord, name=name, json_schema={}, risk_level=RiskLevel.LOW)
            for name in names
        ]
        return tuple(tool.id for tool in made)

    async def deploy(self, definition: AgentDefinition, *, name: str = "live", **config: Any) -> Deployment:
        """Once it is active, or failed, and this replica knows of it."""
        made = await self.create(
            Deployment,
            name=name,
            agent_definition_id=definition.id,
            environment="production",
            config=config,
            project_context={},
        )
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            found = await self.plane.get("default", Deployment, made.id)
            if found.status is not DeploymentStatus.SPAWNING:
                break
            if time.monotonic() > ends_at:
                raise TooSlow("its probes do not end")
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.3)  # the replica looks once a second
        return found

    async def say(
        self, text: str, *, to: str | None = None, channel: str = "web", locale: str | None = None
    ) -> TurnResult:
        turns = self.careline.turns
        submission = await turns.submit(
            ChatRequest(caller=KIM, message=text, conversation_id=to, channel=channel, locale=locale)
        )
        result = submission.result or await turns.wait("default", submission.turn_id, seconds=20)
        assert result is not None
        return result

    async def steps(self, result: TurnResult) -> dict[str, dict[str, Any]]:
        for _ in range(100):
            explanation = await self.careline.parts.explained.of_turn("default", result.turn_id)
            if explanation is not None:
                return {step["kind"]: step for step in explanation.steps}
            await asyncio.sleep(0.02)
        raise AssertionError("not explained")

    async def _change(self, work: Any) -> Any:
        made: list[Any] = []

        async def once(changing: Changing) -> Answer:
            made.append(await work(changing))
            return Answer(200, b"")

        await self.plane.change("default", "tests", None, once)
        return made[0]


@asynccontextmanager
async def plant(folder: Path, **more: Any) -> AsyncIterator[Plant]:
    settings = Settings(
        data_dir=folder / "careline-data",
        database_url=f"sqlite+aiosqlite:///{folder / 'shop.db'}",
        **more,
    )
    async with open_careline(settings) as careline:
        yield Plant(careline)


def text_of(result: TurnResult) -> str:
    assert result.reply is not None
    return result.reply.text


def served_by(result: TurnResult) -> str | None:
    return result.agent.deployment_id if result.agent is not None else None


async def test_a_deployed_agent_answers_with_its_model_prompt_and_tools_and_the_turn_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_MODEL_KEY", "sk-from-the-environment")
    async with (
        ScriptedModelServer(says("Hello there, how can I help?"), lists=["big-one"]) as model,
        plant(tmp_path) as shop,
    ):
        definition = await shop.definition(
            model_provider_id=(await shop.provider(model.url, api_key="env:OUR_MODEL_KEY")).id,
            model_name="big-one",
            system_prompt_id=(await shop.prompt()).id,
            tool_ids=await shop.tools("search_knowledge", "find_tickets"),
        )
        before = await shop.say("Hello")
        deployment = await shop.deploy(definition)
        model.requests.clear()
        result = await shop.say("Hello")
        steps = await shop.steps(result)

    request = model.requests[0]
    assert (served_by(before), before.brain) == (None, "embedded")
    assert (deployment.status, deployment.failure) == (DeploymentStatus.ACTIVE, None)
    assert (result.brain, result.model) == ("llm", "big-one")
    assert (request["model"], PROMPT in request["messages"][0]["content"]) == ("big-one", True)
    assert {tool["function"]["name"] for tool in request["tools"]} == {"search_knowledge", "find_tickets"}
    assert set(model.keys) == {"Bearer sk-from-the-environment"}
    assert result.agent is not None
    assert (result.agent.slug, result.agent.version) == ("support", 1)
    assert (result.agent.deployment_id, result.agent.definition_id) == (
        str(deployment.id),
        str(definition.id),
    )
    assert steps["agent"]["definition"] == "support@1"


async def test_without_a_provider_the_built_in_brain_answers_and_does_only_what_it_may(
    tmp_path: Path,
) -> None:
    async with plant(tmp_path) as shop:
        definition = await shop.definition(
            tool_ids=await shop.tools("search_knowledge"), config={"locale": "de"}
        )
        deployment = await shop.deploy(definition)
        no_language = await shop.say("E-4017")
        wanted = await shop.say("Please open a ticket", locale="en")
        unknown = await shop.say("Do you sell submarines?", locale="en")

    assert deployment.status is DeploymentStatus.ACTIVE
    assert {served_by(each) for each in (wanted, unknown, no_language)} == {str(deployment.id)}
    assert "subject" not in text_of(wanted).lower()
    assert all(action.tool == "search_knowledge" for action in (*wanted.actions, *unknown.actions))
    assert "ticket" not in text_of(unknown).lower()
    assert any(word in text_of(no_language) for word in ("ich", "Ich", "nicht"))


async def test_budgets_and_guardrails_are_the_deployments_own(tmp_path: Path) -> None:
    async with (
        ScriptedModelServer(says("Hello there, how can I help?"), lists=["m"]) as model,
        plant(tmp_path) as shop,
    ):
        definition = await shop.definition(
            model_provider_id=(await shop.provider(model.url)).id,
            model_name="m",
            config={
                "budgets": {"model_answers": 1},
                "guardrails": {"topics": [{"name": "x", "words": ["wine"]}]},
            },
        )
        await shop.deploy(definition, guardrails={"languages": ["en"]})
        model.requests.clear()
        await shop.say("Hello", locale="en")
        offered = "tools" in model.requests[0]
        wine = await shop.say("Tell me about wine", locale="en")
        german = await shop.say("Guten Tag, ich habe eine Frage zu meiner Bestellung")

    assert not offered
    assert (wine.model, german.model) == (None, None)
    assert served_by(wine) == served_by(german) is not None
    assert len(model.requests) == 1


async def test_a_model_that_fails_is_stood_in_for_and_asked_again_when_it_is_back(tmp_path: Path) -> None:
    async with (
        ScriptedModelServer(says("Hello there, how can I help?"), lists=["m"]) as model,
        plant(tmp_path) as shop,
    ):
        provider = await shop.provider(model.url)
        await shop.deploy(await shop.definition(model_provider_id=provider.id, model_name="m"))
        model.play(refuses(401))
        without = await shop.say("Hello", locale="en")
        model.play(says("Hello again, how can I help?"))
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        while (again := await shop.say("Hello", locale="en")).brain != "llm":
            assert time.monotonic() < ends_at
            await asyncio.sleep(0.2)
        status = shop.careline.parts.dependencies()

    assert (without.brain, served_by(without)) == ("embedded", served_by(again))
    assert [(part.feature, part.dependency) for part in without.degraded] == [("conversation", "model")]
    assert "Hello again" in text_of(again)
    assert "model" not in status  # the settings have none, and no other agent is concerned


async def test_a_model_that_does_not_answer_fails_its_deployment_with_the_reason(tmp_path: Path) -> None:
    async with ScriptedModelServer(refuses(500), lists=["m"]) as model, plant(tmp_path) as shop:
        provider = await shop.provider(model.url)
        failed = await shop.deploy(await shop.definition(model_provider_id=provider.id, model_name="m"))
        meanwhile = await shop.say("Hello")

    assert failed.status is DeploymentStatus.FAILED
    assert "smoke conversation failed: the model did not answer" in (failed.failure or "")
    assert served_by(meanwhile) is None


async def test_the_smoke_conversation_leaves_nothing_behind(tmp_path: Path) -> None:
    wants_ticket = calls(("open_ticket", '{"subject": "Smoke", "description": "Smoke everywhere"}'))
    async with (
        ScriptedModelServer(wants_ticket, says("Hello, how can I help?"), lists=["m"]) as model,
        plant(tmp_path) as shop,
    ):
        provider = await shop.provider(model.url)
        deployment = await shop.deploy(await shop.definition(model_provider_id=provider.id, model_name="m"))
        left = await shop.careline.records.database.read(_counted)

    assert (deployment.status, left) == (DeploymentStatus.ACTIVE, (0, 0))
    assert len(model.requests) == 2


async def _counted(connection: Connection) -> tuple[int, int]:
    """Conversations and tickets."""
    counts = [
        (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
        for table in (conversations, tickets)
    ]
    return int(counts[0]), int(counts[1])


async def test_a_conversation_stays_with_its_deployment_and_goes_on_with_the_one_before_when_that_ends(
    tmp_path: Path,
) -> None:
    async with plant(tmp_path) as shop:
        definition = await shop.definition()
        began_before = await shop.say("Hello")
        first = await shop.deploy(definition, name="first")
        began_first = await shop.say("Hello")
        second = await shop.deploy(definition, name="second")
        stays = await shop.say("Thanks", to=began_first.conversation_id)
        moves = await shop.say("Thanks", to=began_before.conversation_id)
        began_second = await shop.say("Hello")
        await shop.update(Deployment, second.id, status=DeploymentStatus.COMPLETED)
        await asyncio.sleep(1.3)
        rolled_back = await shop.say("Thanks", to=began_second.conversation_id)
        await shop.update(Deployment, first.id, status=DeploymentStatus.COMPLETED)
        await asyncio.sleep(1.3)
        built_in = await shop.say("Bye", to=began_second.conversation_id)

    one, two = str(first.id), str(second.id)
    assert [served_by(each) for each in (began_before, began_first, stays)] == [None, one, one]
    assert [served_by(each) for each in (moves, began_second)] == [two, two]
    assert [served_by(each) for each in (rolled_back, built_in)] == [one, None]


async def test_a_channel_has_its_own_agent(tmp_path: Path) -> None:
    async with plant(tmp_path) as shop:
        deployment = await shop.deploy(await shop.definition(), channels=["email"])
        mail = await shop.say("Hello", channel="email")
        web = await shop.say("Hello", channel="web")

    assert (served_by(mail), served_by(web)) == (str(deployment.id), None)
