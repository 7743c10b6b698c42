"""
Keep the agents of this replica those that are deployed: look whether anything was changed, and make what is new.

A turn asks only what is in memory here. While SQL is away, and where an agent cannot be made, what served before goes on serving.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from agent.control.agent_config import DeploymentConfig, read_config
from agent.control.choice import BUILT_IN, chosen
from agent.control.ports import ControlStore
from agent.control.served import Served, read_served
from agent.turn.agents import Agent, Choice
from core.clock import Clock
from core.control_records import Deployment, ModelProvider
from core.errors import CarelineError, ToolMisconfigured
from core.telemetry.logging import get_logger
from state.store import ConversationRecord

_EVERY_SECONDS = 1.0
_OWN = Choice(None, BUILT_IN)

_log = get_logger(__name__)

Close = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class MadeAgent:
    """`aclose` once no turn uses it any more."""

    agent: Agent
    aclose: Close


class MakesAgents(Protocol):
    async def make(
        self, deployment: Deployment, provider: ModelProvider | None, config: DeploymentConfig
    ) -> MadeAgent:
        """Raises CarelineError: it cannot be made here."""
        ...


class KeepsServed(Protocol):
    """`agent.control.served.LastKnown`."""

    def read(self) -> Mapping[str, Served]: ...

    def write(self, tenants: Mapping[str, Served]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Deployed:
    """`choice` is who answers; `made_of` is what it would have to differ in to be made anew."""

    id: str
    traffic_share: float
    channels: frozenset[str] | None
    made_of: object
    choice: Choice
    aclose: Close


class DeployedAgents:
    """Implements `agent.turn.agents.Agents`. For `turn_seconds` at most a turn goes on with an agent that was replaced."""

    def __init__(
        self,
        store: ControlStore,
        agents: MakesAgents,
        last_known: KeepsServed,
        *,
        environment: str,
        turn_seconds: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._agents = agents
        self._last_known = last_known
        self._environment = environment
        self._turn_seconds = turn_seconds
        self._clock = clock
        self._known: dict[str, Served] = {}
        self._deployed: dict[str, tuple[_Deployed, ...]] = {}
        self._unmade: set[str] = set()
        """Tenants of whom something could not be made here: tried again with each look, not only after the next change."""
        self._has_asked = False
        self._retired: deque[tuple[float, Close]] = deque()

    def choose(self, conversation: ConversationRecord, *, kept: str | None) -> Choice | None:
        deployed = self._deployed.get(conversation.tenant)
        if not deployed:
            return None
        id = chosen(
            deployed,
            conversation_id=conversation.conversation_id,
            channel=conversation.channel,
            kept=kept,
        )
        return next((each.choice for each in deployed if each.id == id), _OWN)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_SECONDS)
            await self.run_once()
            await self._close_retired(before=self._clock.monotonic())

    async def run_once(self) -> None:
        """Never fails: what cannot be asked or made now is tried again."""
        try:
            await self._refresh()
        except CarelineError as exc:
            _log.debug("deployments.store_unreachable", error=type(exc).__name__)
            if not self._has_asked and not self._known:
                await self._serve_last_known()

    async def aclose(self) -> None:
        for tenant in tuple(self._deployed):
            self._replace(tenant, ())
        await self._close_retired(before=float("inf"))

    async def _refresh(self) -> None:
        is_news = False
        versions = await self._store.versions()
        self._has_asked = True
        for tenant, version in versions.items():
            known = self._known.get(tenant)
            if known is not None and known.version == version and tenant not in self._unmade:
                continue
            found = await read_served(self._store, tenant, self._environment, version=version)
            is_new = known is None or msgspec.structs.replace(known, version=version) != found
            if is_new or tenant in self._unmade:
                await self._serve(tenant, found)
            self._known[tenant] = found
            is_news = is_news or is_new
        if is_news:
            await asyncio.to_thread(self._last_known.write, dict(self._known))

    async def _serve_last_known(self) -> None:
        for tenant, served in (await asyncio.to_thread(self._last_known.read)).items():
            await self._serve(tenant, served)
            self._known[tenant] = served
            _log.warning("deployments.last_known", tenant=tenant, deployments=len(served.deployments))

    async def _serve(self, tenant: str, served: Served) -> None:
        before = {each.id: each for each in self._deployed.get(tenant, ())}
        was_unmade = tenant in self._unmade
        self._unmade.discard(tenant)
        now: list[_Deployed] = []
        for deployment in served.deployments:
            old = before.get(str(deployment.id))
            try:
                now.append(await self._made(deployment, served.provider_of(deployment), old))
            except CarelineError as exc:
                self._unmade.add(tenant)
                log = _log.debug if was_unmade else _log.error
                log("deployment.not_made", deployment_id=str(deployment.id), error=str(exc))
                now += [old] if old is not None else []
        self._replace(tenant, tuple(now))

    async def _made(
        self, deployment: Deployment, provider: ModelProvider | None, old: _Deployed | None
    ) -> _Deployed:
        if deployment.pinned is None:
            raise ToolMisconfigured("it was made by an older version: set its status to spawning")
        config = read_config(deployment.pinned.config, deployment.config)
        routing = {"channels": None, "traffic_share": 100.0}
        made_of = (deployment.pinned, msgspec.structs.replace(config, **routing), provider)
        if old is not None and old.made_of == made_of:
            choice, aclose = old.choice, old.aclose
        else:
            made = await self._agents.make(deployment, provider, config)
            choice, aclose = Choice(made.agent, str(deployment.id)), made.aclose
        return _Deployed(str(deployment.id), config.traffic_share, config.channels, made_of, choice, aclose)

    def _replace(self, tenant: str, now: tuple[_Deployed, ...]) -> None:
        stays = {id(each.choice) for each in now}
        until = self._clock.monotonic() + self._turn_seconds
        for each in self._deployed.get(tenant, ()):
            if id(each.choice) not in stays:
                self._retired.append((until, each.aclose))
        self._deployed[tenant] = now

    async def _close_retired(self, *, before: float) -> None:
        while self._retired and self._retired[0][0] <= before:
            _, aclose = self._retired.popleft()
            await aclose()
