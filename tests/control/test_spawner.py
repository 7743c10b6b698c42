"""From spawning to active or failed: by probes alone, once, whoever dies, and never over somebody's change."""

import asyncio
from typing import Any

import pytest

from agent.control.probes import Probes
from agent.control.providers import Verification
from agent.workers.spawner import LEASE_SECONDS, Spawner
from core.clock import SystemClock
from core.control_records import Deployment, DeploymentStatus, ModelProvider
from core.errors import DependencyUnavailable
from state.sql.deployments import SqlSpawning
from state.sql.engine import Database
from tests.control.plane import Plane


class Answers:
    """A smoke conversation that comes to `failure`, once `may_end`."""

    def __init__(self, failure: str | None = None) -> None:
        self.failure = failure
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.begun = asyncio.Event()
        self.conversations: list[str] = []

    async def converse(
        self, tenant: str, deployment: Deployment, provider: ModelProvider | None
    ) -> str | None:
        self.conversations.append(deployment.name)
        self.begun.set()
        await self.may_end.wait()
        return self.failure


class Verifies:
    def __init__(self, *, is_ok: bool = True) -> None:
        self._is_ok = is_ok

    async def verify(self, provider: ModelProvider) -> Verification:
        return Verification(self._is_ok, "3 models" if self._is_ok else "model: refused")


def spawner(
    plane: Plane,
    database: Database,
    smoke: Answers,
    *,
    verifies: Verifies | None = None,
    owner: str = "one",
    lease_seconds: float = LEASE_SECONDS,
) -> Spawner:
    probes = Probes(
        verifies or Verifies(), has_tool={"search_knowledge", "open_ticket"}.__contains__, smoke=smoke
    )
    return Spawner(
        SqlSpawning(database),
        plane.control,
        probes,
        environment="production",
        owner=owner,
        clock=SystemClock(),
        lease_seconds=lease_seconds,
    )


async def after(plane: Plane, made: dict[str, Any]) -> tuple[str, str | None]:
    found = (await plane.client.get(f"/deployments/{made['id']}")).json()
    return found["status"], found["failure"]


async def test_what_passes_its_probes_is_active(plane: Plane, database: Database) -> None:
    made = await plane.create("deployments")
    await spawner(plane, database, Answers()).run_once()

    found = (await plane.client.get(f"/deployments/{made['id']}")).json()
    assert (found["status"], found["failure"]) == ("active", None)
    assert found["probed_at"] is not None


async def test_a_conversation_without_an_answer_fails_it(plane: Plane, database: Database) -> None:
    made = await plane.create("deployments")
    await spawner(plane, database, Answers("no answer within 20 s")).run_once()

    assert await after(plane, made) == ("failed", "The smoke conversation failed: no answer within 20 s")


async def test_an_unknown_tool_fails_it_by_name_and_nobody_is_talked_with(
    plane: Plane, database: Database
) -> None:
    tool = await plane.create("tools", name="launch_rocket")
    definition = await plane.create("agent-definitions", tool_ids=[tool["id"]])
    made = await plane.create("deployments", agent_definition_id=definition["id"])
    smoke = Answers()
    await spawner(plane, database, smoke).run_once()

    assert await after(plane, made) == ("failed", "tool_ids: there is no tool named launch_rocket here.")
    assert smoke.conversations == []


@pytest.mark.parametrize("whose", ["definition", "deployment"])
async def test_a_wrong_configuration_fails_it_by_its_field(
    plane: Plane, database: Database, whose: str
) -> None:
    wrong = {"budgets": {"tokens": "many"}}
    definition = await plane.create("agent-definitions", config=wrong if whose == "definition" else {})
    made = await plane.create(
        "deployments",
        agent_definition_id=definition["id"],
        config=wrong if whose == "deployment" else {},
    )
    await spawner(plane, database, Answers()).run_once()
    status, failure = await after(plane, made)

    assert status == "failed"
    assert "config.budgets.tokens" in (failure or "")
    assert whose in (failure or "")


async def test_a_provider_that_cannot_be_verified_fails_it(plane: Plane, database: Database) -> None:
    provider = await plane.create("model-providers", name="Ours", api_base_url="http://127.0.0.1:9/v1")
    definition = await plane.create("agent-definitions", model_provider_id=provider["id"])
    made = await plane.create("deployments", agent_definition_id=definition["id"])
    await spawner(plane, database, Answers(), verifies=Verifies(is_ok=False)).run_once()

    assert await after(plane, made) == (
        "failed",
        "model_provider_id: Ours could not be verified: model: refused",
    )


async def test_a_prompt_that_lies_elsewhere_fails_it(plane: Plane, database: Database) -> None:
    prompt = await plane.create("system-prompts", content="s3://bucket/key", content_storage_type="s3")
    definition = await plane.create("agent-definitions", system_prompt_id=prompt["id"])
    made = await plane.create("deployments", agent_definition_id=definition["id"])
    await spawner(plane, database, Answers()).run_once()

    assert (await after(plane, made))[0] == "failed"


async def test_replicas_probe_a_deployment_once(plane: Plane, database: Database) -> None:
    made = await plane.create("deployments")
    smoke = Answers()
    await asyncio.gather(*(spawner(plane, database, smoke, owner=f"r{n}").run_once() for n in range(5)))

    assert (await after(plane, made))[0] == "active"
    assert len(smoke.conversations) == 1


async def test_the_lease_is_kept_while_probes_last(plane: Plane, database: Database) -> None:
    await plane.create("deployments")
    smoke, other = Answers(), Answers()
    smoke.may_end.clear()
    running = asyncio.create_task(spawner(plane, database, smoke, lease_seconds=0.6).run_once())
    await smoke.begun.wait()
    await asyncio.sleep(1.2)
    await spawner(plane, database, other, owner="two").run_once()
    smoke.may_end.set()
    await running

    assert other.conversations == []


async def test_who_leaves_gives_it_back_and_another_takes_it_up(plane: Plane, database: Database) -> None:
    made = await plane.create("deployments")
    smoke, other = Answers(), Answers()
    smoke.may_end.clear()
    leaving = asyncio.create_task(spawner(plane, database, smoke).run_once())
    await smoke.begun.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await spawner(plane, database, other, owner="two").run_once()

    assert (await after(plane, made))[0] == "active"
    assert len(other.conversations) == 1


async def test_a_change_meanwhile_is_probed_anew_and_not_run_over(plane: Plane, database: Database) -> None:
    made = await plane.create("deployments")
    smoke = Answers()
    smoke.may_end.clear()
    running = asyncio.create_task(spawner(plane, database, smoke).run_once())
    await smoke.begun.wait()
    await plane.client.patch(f"/deployments/{made['id']}", json={"status": "completed"})
    smoke.may_end.set()
    await running

    assert await after(plane, made) == ("completed", None)


async def test_one_whose_store_is_away_goes_on_later(plane: Plane, database: Database) -> None:
    made = await plane.create("deployments")
    probing = spawner(plane, database, Answers())

    class Away(SqlSpawning):
        async def waiting(self, environment: str, *, limit: int) -> Any:
            raise DependencyUnavailable("sql")

    there, probing._spawning = probing._spawning, Away(database)
    await probing.run_once()
    probing._spawning = there
    await probing.run_once()

    assert (await after(plane, made))[0] == DeploymentStatus.ACTIVE
