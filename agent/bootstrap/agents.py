"""The agents that are deployed: each a brain, guardrails and tools of its own, made of what the deployment holds fast."""

import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from agent.bootstrap.brain import Brains, open_compatible_model
from agent.bootstrap.guardrails import guarded
from agent.brain.base import Brain
from agent.control.agent_config import DeploymentConfig
from agent.control.providers import key_of
from agent.control.sealing import Sealing
from agent.turn.agents import Agent
from agent.turn.effects import ToolRunner
from agent.workers.model_outage import ModelOutage
from agent.workers.serving import MadeAgent
from core.clock import Clock
from core.control_records import Deployment, ModelProvider, PinnedAgent
from core.errors import ToolMisconfigured
from core.guardrail_settings import RefusedTopic
from core.messages import AnsweringAgent
from core.resilience.guard import Guard
from core.resilience.policies import guard_policies
from core.settings import Settings
from core.telemetry.metrics import Metrics
from tools.knowledge.embed import Embedder
from tools.protocol import AnyTool
from tools.registry import ToolRegistry

RunnerOf = Callable[[Iterable[AnyTool]], ToolRunner]
"""What carries out the calls of these tools."""

_SETTINGS_OF_BUDGETS = {
    "model_answers": "turn_model_answers",
    "tool_calls": "turn_tool_calls",
    "tokens": "turn_tokens",
    "cost": "turn_cost",
    "input_price": "model_input_price",
    "output_price": "model_output_price",
}


class AgentMaker:
    """Implements `agent.workers.serving.MakesAgents`. `registry` holds all tools that agents may have."""

    def __init__(
        self,
        settings: Settings,
        registry: ToolRegistry,
        brains: Brains,
        runner_of: RunnerOf,
        *,
        sealing: Sealing,
        embedder: Embedder | None,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._brains = brains
        self._runner_of = runner_of
        self._sealing = sealing
        self._embedder = embedder
        self._metrics = metrics
        self._clock = clock
        self._rng = rng

    async def make(
        self,
        deployment: Deployment,
        provider: ModelProvider | None,
        config: DeploymentConfig,
        *,
        runner_of: RunnerOf | None = None,
    ) -> MadeAgent:
        """
        `runner_of` in the place of the usual one.

        Raises:
            ToolMisconfigured: a tool is not here, or the provider has no address or no secret that can be opened.
        """
        pinned = deployment.pinned
        if pinned is None:
            raise ToolMisconfigured("the deployment holds no definition")
        registry = self._registry_of(pinned)
        settings = self._settings.model_copy(update=_own_settings(pinned, config))
        stack = AsyncExitStack()
        try:
            brain: Brain = self._brains.embedded(pinned.tools)
            if deployment.model_provider_id is not None:
                if provider is None:
                    raise ToolMisconfigured("its model provider is not there any more")
                brain = await self._with_model(provider, pinned, settings, registry, stack)
        except BaseException:
            await stack.aclose()
            raise
        named = AnsweringAgent(
            deployment_id=str(deployment.id),
            definition_id=str(deployment.agent_definition_id),
            slug=pinned.slug,
            version=pinned.version,
        )
        agent = Agent(
            brain=guarded(brain, settings, embedder=self._embedder, metrics=self._metrics),
            tools=(runner_of or self._runner_of)(registry),
            default_locale=config.locale or self._settings.default_locale,
            named=named,
        )
        return MadeAgent(agent, stack.aclose)

    def _registry_of(self, pinned: PinnedAgent) -> ToolRegistry:
        if pinned.tools is None:
            return self._registry
        return ToolRegistry(self._registry.find(name) for name in dict.fromkeys(pinned.tools))

    async def _with_model(
        self,
        provider: ModelProvider,
        pinned: PinnedAgent,
        settings: Settings,
        registry: ToolRegistry,
        stack: AsyncExitStack,
    ) -> Brain:
        if provider.api_base_url is None:
            raise ToolMisconfigured(f"the model provider {provider.name} has no api_base_url")
        guard = Guard(
            f"model:{pinned.slug}",
            guard_policies(self._settings)["model"],
            clock=self._clock,
            rng=self._rng,
            observer=self._metrics,
        )
        model = await open_compatible_model(
            settings,
            pinned.model_name or "default",
            url=provider.api_base_url,
            key=key_of(self._sealing.opened(provider.config)),
            guard=guard,
            clock=self._clock,
            stack=stack,
        )
        outage = ModelOutage(
            guard.name,
            model.probe,
            came_back=guard.breaker.try_again,
            probe_seconds=settings.probe_seconds,
            clock=self._clock,
            rng=self._rng,
        )
        stack.push_async_callback(outage.aclose)
        return self._brains.with_model(
            model,
            behind=self._brains.embedded(pinned.tools),
            registry=registry,
            settings=settings,
            outages=outage,
            instructions=pinned.system_prompt,
        )


def _own_settings(pinned: PinnedAgent, config: DeploymentConfig) -> Mapping[str, Any]:
    """What the deployment says otherwise than the installation's settings."""
    changed: dict[str, Any] = {"model": pinned.model_name or "default", "further_models": ()}
    for field, value in msgspec.structs.asdict(config.budgets).items():
        if value is not None:
            changed[_SETTINGS_OF_BUDGETS[field]] = value
    for field, value in msgspec.structs.asdict(config.guardrails).items():
        if value is not None:
            changed[f"guard_{field}"] = value
    if config.guardrails.topics is not None:
        changed["guard_topics"] = tuple(
            RefusedTopic(**msgspec.structs.asdict(topic)) for topic in config.guardrails.topics
        )
    return changed
