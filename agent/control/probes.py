"""
What must hold before a deployment may serve: its configuration, prompt and tools, its provider, and one conversation with it.
"""

from collections.abc import Callable
from typing import Protocol

from agent.control.agent_config import ConfigWrong, read_config
from agent.control.providers import Verification
from core.control_records import Deployment, ModelProvider, PinnedAgent
from core.telemetry.logging import get_logger

_log = get_logger(__name__)


class Verifier(Protocol):
    """`agent.control.providers.Providers`."""

    async def verify(self, provider: ModelProvider) -> Verification: ...


class Smoke(Protocol):
    """Talks with a deployment as a customer does, where nothing that is done there has an effect."""

    async def converse(
        self, tenant: str, deployment: Deployment, provider: ModelProvider | None
    ) -> str | None:
        """None where it answered; else why not, for people."""
        ...


class Probes:
    """`has_tool` says of a name whether this installation has such a tool."""

    def __init__(self, providers: Verifier, *, has_tool: Callable[[str], bool], smoke: Smoke) -> None:
        self._providers = providers
        self._has_tool = has_tool
        self._smoke = smoke

    async def failure(
        self, tenant: str, deployment: Deployment, provider: ModelProvider | None
    ) -> str | None:
        """Why it may not serve, for people, naming the field; None where all probes pass."""
        agent = deployment.pinned
        if agent is None:
            return "It was made by an older version: set its status to spawning."
        wrong = self._wrong(agent, deployment)
        if wrong is not None:
            return wrong
        if deployment.model_provider_id is not None:
            if provider is None:
                return (
                    f"model_provider_id: there is no model provider {deployment.model_provider_id} any more."
                )
            verified = await self._providers.verify(provider)
            if not verified.is_ok:
                return f"model_provider_id: {provider.name} could not be verified: {verified.message}"
        try:
            said = await self._smoke.converse(tenant, deployment, provider)
        except Exception as exc:  # whatever breaks here would break for a customer
            _log.error("deployment.smoke_broke", deployment_id=str(deployment.id), exc_info=exc)
            said = f"{type(exc).__name__}: {exc}"
        return f"The smoke conversation failed: {said}" if said is not None else None

    def _wrong(self, agent: PinnedAgent, deployment: Deployment) -> str | None:
        try:
            read_config(agent.config, deployment.config)
        except ConfigWrong as exc:
            return str(exc)
        if agent.is_prompt_elsewhere:
            return "system_prompt_id: only prompts with content_storage_type inline can be served."
        unknown = [name for name in agent.tools or () if not self._has_tool(name)]
        if unknown:
            return f"tool_ids: there is no tool named {', '.join(unknown)} here."
        return None
