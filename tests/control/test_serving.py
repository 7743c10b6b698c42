"""Every replica serves what is deployed: a change reaches it without a restart, and what cannot be asked or made ends nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agent.control.agent_config import DeploymentConfig
from agent.control.choice import BUILT_IN
from agent.control.served import LastKnown
from agent.turn.agents import Agent
from agent.workers.serving import DeployedAgents, MadeAgent
from core.control_records import Deployment, ModelProvider
from core.errors import DependencyUnavailable, ToolMisconfigured
from state.sql.control import SqlControlStore
from state.sql.engine import Database
from state.store import ConversationRecord
from tests.control.plane import Plane
from tests.fakes import FakeClock


class Makes:
    """Agents that do nothing, and a note of what was made and closed."""

    def __init__(self) -> None:
        self.made: list[tuple[str, DeploymentConfig, ModelProvider | None]] = []
        self.closed: list[str] = []
        self.refuses: str | None = None

    async def make(
        self, deployment: Deployment, provider: ModelProvider | None, config: DeploymentConfig
    ) -> MadeAgent:
        if self.refuses is not None:
            raise ToolMisconfigured(self.refuses)
        self.made.append((deployment.name, config, provider))

        async def aclose() -> None:
            self.closed.append(deployment.name)

        locale = deployment.name
        return MadeAgent(Agent(brain=None, tools=None, default_locale=locale), aclose)  # type: ignore[arg-type]


class MayBeAway:
    """A store that can be taken away."""

    def __init__(self, store: SqlControlStore) -> None:
        self._store = store
        self.is_away = False

    async def versions(self) -> Any:
        if self.is_away:
            raise DependencyUnavailable("sql")
        return await self._store.versions()

    async def read(self, tenant: str, work: Any) -> Any:
        return await self._store.read(tenant, work)

    async def change(self, tenant: str, work: Any) -> Any:
        return await self._store.change(tenant, work)


class Replica:
    def __init__(self, database: Database, folder: Path, environment: str = "production") -> None:
        self.makes = Makes()
        self.clock = FakeClock()
        self.store = MayBeAway(SqlControlStore(database))
        self.agents = DeployedAgents(
            self.store,
            self.makes,
            LastKnown(folder, environment=environment),
            environment=environment,
            turn_seconds=20.0,
            clock=self.clock,
        )

    def serves(
        self, *, kept: str | None = None, channel: str = "web", conversation: str = "conv_1"
    ) -> str | None:
        """By its name; None where nothing is deployed."""
        choice = self.agents.choose(conversation_of(conversation, channel), kept=kept)
        if choice is None:
            return None
        return choice.agent.default_locale if choice.agent is not None else BUILT_IN


def conversation_of(id: str, channel: str) -> ConversationRecord:
    now = datetime(2026, 11, 28, tzinfo=UTC)
    return ConversationRecord(
        tenant="default",
        conversation_id=id,
        customer_id="ada",
        channel=channel,
        locale=None,
        created_at=now,
        updated_at=now,
        head=1,
        answered=0,
        last_user=1,
    )


@pytest.fixture
def replicas(database: Database, tmp_path: Path) -> Sequence[Replica]:
    return [Replica(database, tmp_path / name) for name in ("one", "two")]


async def active(plane: Plane, name: str, **fields: Any) -> str:
    made = await plane.create("deployments", name=name, **fields)
    probed = await plane.control.get("default", Deployment, UUID(made["id"]))
    assert await plane.control.conclude("default", "probes", probed, None)
    return str(made["id"])


async def look(replicas: Sequence[Replica]) -> None:
    for replica in replicas:
        await replica.agents.run_once()


async def test_without_any_deployment_nothing_is_chosen(plane: Plane, replicas: Sequence[Replica]) -> None:
    await plane.create("deployments", name="spawning")
    await look(replicas)

    assert [each.serves(kept="somebody") for each in replicas] == [None, None]


async def test_the_newest_serves_and_the_one_before_it_again_when_it_ends(
    plane: Plane, replicas: Sequence[Replica]
) -> None:
    await active(plane, "first")
    await look(replicas)
    before = [each.serves() for each in replicas]
    second = await active(plane, "second")
    await look(replicas)
    then = [each.serves() for each in replicas]
    await plane.client.patch(f"/deployments/{second}", json={"status": "completed"})
    await look(replicas)
    rolled_back = [each.serves(kept=second) for each in replicas]

    assert (before, then, rolled_back) == (["first"] * 2, ["second"] * 2, ["first"] * 2)


async def test_a_conversation_stays_with_whom_it_began(plane: Plane, replicas: Sequence[Replica]) -> None:
    first = await active(plane, "first")
    await active(plane, "second")
    await look(replicas)

    assert replicas[0].serves(kept=first) == "first"
    assert replicas[0].serves(kept=BUILT_IN) == BUILT_IN


async def test_another_environment_is_another_s(plane: Plane, database: Database, tmp_path: Path) -> None:
    await active(plane, "live")
    await active(plane, "trial", environment="staging")
    staging = Replica(database, tmp_path, "staging")
    await look([staging])

    assert staging.serves() == "trial"


async def test_channels_and_shares_change_without_making_anything_anew(
    plane: Plane, replicas: Sequence[Replica]
) -> None:
    id = await active(plane, "mail", config={"channels": ["email"], "traffic_share": 0})
    await look(replicas)
    before = replicas[0].serves(channel="email")
    await plane.client.patch(f"/deployments/{id}", json={"config": {"channels": ["email"]}})
    await look(replicas)

    assert (before, replicas[0].serves(channel="email"), replicas[0].serves()) == (BUILT_IN, "mail", BUILT_IN)
    assert len(replicas[0].makes.made) == 1


async def test_a_provider_s_new_key_makes_the_agent_anew_and_the_old_one_is_closed_when_its_turns_are_over(
    plane: Plane, replicas: Sequence[Replica]
) -> None:
    replica = replicas[0]
    provider = await plane.create("model-providers", config={"api_key": "first-key"})
    definition = await plane.create("agent-definitions", model_provider_id=provider["id"])
    await active(plane, "live", agent_definition_id=definition["id"])
    await look(replicas)
    await plane.client.patch(f"/model-providers/{provider['id']}", json={"config": {"api_key": "second-key"}})
    await look(replicas)
    made, closed_at_once = len(replica.makes.made), list(replica.makes.closed)
    replica.clock.advance(21.0)
    await replica.agents._close_retired(before=replica.clock.monotonic())

    assert (made, closed_at_once, replica.makes.closed) == (2, [], ["live"])


async def test_a_draft_that_changes_changes_nothing_that_is_served(
    plane: Plane, replicas: Sequence[Replica]
) -> None:
    definition = await plane.create("agent-definitions", model_name="first")
    await active(plane, "live", agent_definition_id=definition["id"])
    await look(replicas)
    await plane.client.patch(f"/agent-definitions/{definition['id']}", json={"model_name": "second"})
    await look(replicas)

    assert len(replicas[0].makes.made) == 1


async def test_while_sql_is_away_the_last_known_good_stays(plane: Plane, replicas: Sequence[Replica]) -> None:
    id = await active(plane, "live")
    await look(replicas)
    replicas[0].store.is_away = True
    await plane.client.patch(f"/deployments/{id}", json={"status": "completed"})
    await look(replicas)
    meanwhile = [each.serves() for each in replicas]
    replicas[0].store.is_away = False
    await look(replicas)

    assert (meanwhile, replicas[0].serves()) == (["live", None], None)


async def test_a_start_while_sql_is_away_serves_what_was_known(
    plane: Plane, replicas: Sequence[Replica], database: Database, tmp_path: Path
) -> None:
    await active(plane, "live")
    await look(replicas)
    restarted = Replica(database, tmp_path / "one")
    restarted.store.is_away = True
    elsewhere = Replica(database, tmp_path / "one", "staging")
    elsewhere.store.is_away = True
    await look([restarted, elsewhere])

    assert (restarted.serves(), elsewhere.serves()) == ("live", None)
    assert (tmp_path / "one" / "deployments.json").stat().st_mode & 0o077 == 0


async def test_a_damaged_file_is_no_reason_not_to_start(database: Database, tmp_path: Path) -> None:
    (tmp_path / "deployments.json").write_bytes(b"{")
    restarted = Replica(database, tmp_path)
    restarted.store.is_away = True
    await look([restarted])

    assert restarted.serves() is None


async def test_what_cannot_be_made_here_leaves_what_served_before_and_is_tried_again(
    plane: Plane, replicas: Sequence[Replica]
) -> None:
    await active(plane, "first")
    await look(replicas)
    replicas[0].makes.refuses = "config.api_key names the variable X, which is not set"
    await active(plane, "second")
    await look(replicas)
    meanwhile = [each.serves() for each in replicas]
    replicas[0].makes.refuses = None
    await look(replicas)

    assert (meanwhile, replicas[0].serves()) == (["first", "second"], "second")


async def test_at_the_end_all_are_closed(plane: Plane, replicas: Sequence[Replica]) -> None:
    await active(plane, "live")
    await look(replicas)
    await replicas[0].agents.aclose()

    assert replicas[0].makes.closed == ["live"]
