"""Who answers: the agent of the settings, those that are deployed, and the probes that let new ones serve."""

import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from agent.api.parts import ControlParts
from agent.bootstrap.agents import AgentMaker
from agent.bootstrap.brain import Brains, open_brain
from agent.bootstrap.control import control_parts, make_sealing
from agent.bootstrap.guardrails import guarded
from agent.bootstrap.smoke import SmokeConversation
from agent.brain.base import Brain
from agent.control.probes import Probes
from agent.control.served import LastKnown
from agent.models.base import ChatModel
from agent.turn.effects import ToolRunner
from agent.workers.serving import DeployedAgents
from agent.workers.spawner import Spawner
from core.clock import Clock
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard
from core.settings import Settings
from core.telemetry.logging import StructuredErrorLogger, get_logger
from core.telemetry.metrics import Metrics
from state.opening import OpenState
from state.sql.deployments import SqlSpawning
from tools.handler import ToolErrorHandler
from tools.knowledge.embed import Embedder
from tools.protocol import AnyTool
from tools.registry import ToolRegistry

_CLOSING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class OpenAgents:
    """
    `own` is the brain that the settings ask for. `spawner` belongs to whoever does the background work, `deployed` to every
    process that runs turns.
    """

    own: Brain
    deployed: DeployedAgents
    spawner: Spawner
    control: ControlParts


async def open_agents(
    settings: Settings,
    records: OpenState,
    registry: ToolRegistry,
    *,
    own_tools: ToolRegistry,
    tools: ToolRunner,
    embedder: Embedder | None,
    guards: Mapping[str, Guard],
    degradation: GracefulDegradationHandler,
    metrics: Metrics,
    clock: Clock,
    rng: random.Random,
    owner: str,
    stack: AsyncExitStack,
    replacement: Callable[[Guard, Clock], ChatModel] | None = None,
) -> OpenAgents:
    """
    With what is deployed already made. `registry` holds all tools, `own_tools` those that are Careline's own; `tools` carries
    out the calls of agents that have all. `replacement` makes what answers in place of the settings' models.

    Raises:
        ToolMisconfigured: the key that seals secrets is no key, or the file that CARELINE_INTENTS names cannot be served.
        FlowsUnusable: the folder that CARELINE_FLOWS names cannot be used.
    """
    sealing = make_sealing(settings)
    control = control_parts(settings, records, own_tools, sealing=sealing, clock=clock)
    brains = Brains(settings, registry, embedder=embedder, clock=clock)
    own = await open_brain(
        settings,
        brains,
        registry,
        guards=guards,
        degradation=degradation,
        clock=clock,
        stack=stack,
        replacement=replacement,
    )

    def runner_of(some: Iterable[AnyTool]) -> ToolRunner:
        if some is registry:
            return tools
        return ToolErrorHandler(
            ToolRegistry(some),
            guards=guards,
            ledger=records.conversations,
            clock=clock,
            errors=StructuredErrorLogger(get_logger("tools")),
            observer=metrics,
        )

    maker = AgentMaker(
        settings,
        registry,
        brains,
        runner_of,
        sealing=sealing,
        embedder=embedder,
        metrics=metrics,
        clock=clock,
        rng=rng,
    )
    agents = DeployedAgents(
        records.control,
        maker,
        LastKnown(settings.data_dir, environment=settings.environment),
        environment=settings.environment,
        turn_seconds=settings.turn_deadline_seconds + _CLOSING_SECONDS,
        clock=clock,
    )
    stack.push_async_callback(agents.aclose)
    await agents.run_once()
    smoke = SmokeConversation(settings, maker, guards=guards, degradation=degradation, clock=clock, rng=rng)
    spawner = Spawner(
        SqlSpawning(records.database),
        control.plane,
        Probes(control.providers, has_tool=registry.__contains__, smoke=smoke),
        environment=settings.environment,
        owner=owner,
        clock=clock,
    )
    return OpenAgents(
        own=guarded(own, settings, embedder=embedder, metrics=metrics),
        deployed=agents,
        spawner=spawner,
        control=control,
    )
