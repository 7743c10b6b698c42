"""
The control plane over HTTP with its database, and probes that pass at once. All else is what `careline serve` runs.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agent.api.parts import ControlParts
from agent.control.plane import ControlPlane
from agent.control.providers import Providers
from agent.control.sealing import Sealing
from agent.control.sources import ToolSources
from agent.models.base import ToolSpec
from agent.workers.spawner import Spawner
from core.clock import SystemClock
from core.control_records import Deployment, ModelProvider
from core.telemetry.recent import RecentEvents
from state.sql.control import SqlControlStore
from state.sql.deployments import SqlSpawning
from state.sql.engine import Database
from state.sql.migrate import upgrade
from tests.service.api_service import serving

_PAUSE_SECONDS = 0.02


class _Pass:
    """Implements `agent.workers.spawner.DeploymentProbes`."""

    async def failure(
        self, tenant: str, deployment: Deployment, provider: ModelProvider | None
    ) -> str | None:
        return None


@asynccontextmanager
async def served_plane(folder: Path) -> AsyncIterator[str]:
    """Its URL."""

    async def own_tools() -> Sequence[ToolSpec]:
        return []

    url = f"sqlite+aiosqlite:///{folder / 'careline.db'}"
    await asyncio.to_thread(upgrade, url)
    database, clock, sealing = Database(url, timeout_seconds=5.0), SystemClock(), Sealing.from_folder(folder)
    plane = ControlPlane(SqlControlStore(database), sealing=sealing, clock=clock)
    spawner = Spawner(
        SqlSpawning(database), plane, _Pass(), environment="production", owner="test", clock=clock
    )
    control = ControlParts(
        plane=plane,
        providers=Providers(sealing, timeout_seconds=2.0, connect_seconds=1.0),
        sources=ToolSources({"careline": own_tools}),
        recent=RecentEvents(),
    )
    spawning = asyncio.create_task(_spawn(spawner))
    try:
        async with serving(control=control) as served:
            yield f"http://127.0.0.1:{served.port}"
    finally:
        spawning.cancel()
        await asyncio.gather(spawning, return_exceptions=True)
        await database.close()


async def _spawn(spawner: Spawner) -> None:
    while True:
        await spawner.run_once()
        await asyncio.sleep(_PAUSE_SECONDS)
