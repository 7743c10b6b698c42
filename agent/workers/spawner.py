"""
Bring spawning deployments to active or failed by their probes: any number of processes may, each deployment is one's at a time.

Whoever dies with a deployment is followed by another once its lease has run out; what was concluded stands in SQL.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Protocol
from uuid import UUID

from agent.control.ports import Spawning
from core.clock import Clock
from core.control_records import Deployment, ModelProvider
from core.errors import CarelineError, NotFound
from core.telemetry.logging import get_logger

_EVERY_SECONDS = 0.5
_AT_ONCE = 4
LEASE_SECONDS = 10.0
_RENEWALS = 3
"""In a lease's time: one that is late is no loss yet."""
_PROBES_SECONDS = 60.0
WHO = "careline:probes"

_log = get_logger(__name__)


class DeploymentProbes(Protocol):
    """`agent.control.probes.Probes`."""

    async def failure(
        self, tenant: str, deployment: Deployment, provider: ModelProvider | None
    ) -> str | None: ...


class Conclusions(Protocol):
    """`agent.control.plane.ControlPlane`."""

    async def get(self, tenant: str, kind: type[ModelProvider], id: UUID) -> ModelProvider: ...

    async def conclude(self, tenant: str, who: str, probed: Deployment, failure: str | None) -> bool: ...


class Spawner:
    """`owner` names this process; only deployments of `environment` are its."""

    def __init__(
        self,
        spawning: Spawning,
        plane: Conclusions,
        probes: DeploymentProbes,
        *,
        environment: str,
        owner: str,
        clock: Clock,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._spawning = spawning
        self._plane = plane
        self._probes = probes
        self._environment = environment
        self._owner = owner
        self._clock = clock
        self._lease_seconds = lease_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.run_once()
            await self._clock.sleep(_EVERY_SECONDS)

    async def run_once(self) -> None:
        try:
            for tenant, id in await self._spawning.waiting(self._environment, limit=_AT_ONCE):
                await self._take_up(tenant, id)
        except CarelineError as exc:
            _log.debug("spawner.store_unreachable", error=type(exc).__name__)

    async def _take_up(self, tenant: str, id: UUID) -> None:
        deployment = await self._spawning.claim(tenant, id, owner=self._owner, seconds=self._lease_seconds)
        if deployment is None:
            return
        try:
            failure = await self._held(tenant, deployment, self._probed(tenant, deployment))
            if await self._plane.conclude(tenant, WHO, deployment, failure):
                log = _log.warning if failure is not None else _log.info
                log(
                    "deployment.probed",
                    deployment_id=str(id),
                    status="failed" if failure is not None else "active",
                    failure=failure,
                )
        finally:
            with suppress(CarelineError):  # else its lease runs out
                await self._spawning.release(tenant, id, owner=self._owner)

    async def _probed(self, tenant: str, deployment: Deployment) -> str | None:
        provider = None
        if deployment.model_provider_id is not None:
            with suppress(NotFound):
                provider = await self._plane.get(tenant, ModelProvider, deployment.model_provider_id)
        try:
            async with asyncio.timeout(_PROBES_SECONDS):
                return await self._probes.failure(tenant, deployment, provider)
        except TimeoutError:
            return f"Its probes took longer than {_PROBES_SECONDS:g} s."

    async def _held(self, tenant: str, deployment: Deployment, work: Awaitable[str | None]) -> str | None:
        """What `work` returns, with the lease renewed while it runs."""
        keeping = asyncio.create_task(self._keep(tenant, deployment.id))
        try:
            return await work
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self, tenant: str, id: UUID) -> None:
        while True:
            await self._clock.sleep(self._lease_seconds / _RENEWALS)
            with suppress(CarelineError):
                await self._spawning.renew(tenant, id, owner=self._owner, seconds=self._lease_seconds)
