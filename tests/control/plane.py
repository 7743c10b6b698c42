"""A control plane on a real database, served on a real socket, and the bodies that its tests send."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from agent.api.parts import ControlParts
from agent.control.plane import ControlPlane
from agent.control.providers import Providers
from agent.control.sealing import Sealing
from agent.control.sources import ToolSources
from agent.models.base import ToolSpec
from core.telemetry.recent import RecentEvents
from state.sql.control import SqlControlStore
from state.sql.engine import Database
from tests.fakes import FakeClock
from tests.service.api_service import serving

NIL = "00000000-0000-0000-0000-000000000000"


@dataclass
class Plane:
    """`client` speaks to `/api/v1`."""

    client: httpx.AsyncClient
    clock: FakeClock
    recent: RecentEvents
    store: SqlControlStore
    control: ControlPlane
    sealing: Sealing
    made: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def create(self, kind: str, **fields: Any) -> dict[str, Any]:
        response = await self.client.post(f"/{kind}", json={**await self.needed(kind), **fields})
        assert response.status_code == 201, response.text
        made: dict[str, Any] = response.json()
        return made

    async def needed(self, kind: str) -> dict[str, Any]:
        """The least that a create of this kind may say."""
        match kind:
            case "system-prompts":
                return {"name": "Kind", "content": "Be kind."}
            case "tools":
                return {"name": "search_knowledge", "json_schema": {"type": "object"}}
            case "agent-definitions":
                return {"name": "Support", "agent_class_id": (await self.one("agent-classes"))["id"]}
            case "deployments":
                return {"name": "Live", "agent_definition_id": (await self.one("agent-definitions"))["id"]}
        return {"name": "Basic"}

    async def one(self, kind: str) -> dict[str, Any]:
        """The same each time."""
        if kind not in self.made:
            self.made[kind] = await self.create(kind)
        return self.made[kind]


@asynccontextmanager
async def served_plane(database: Database, folder: Path, **settings: Any) -> AsyncIterator[Plane]:
    async def own_tools() -> list[ToolSpec]:
        return [ToolSpec("open_ticket", "Opens a ticket.", {"type": "object", "properties": {}})]

    clock = FakeClock()
    store = SqlControlStore(database)
    sealing = Sealing.from_folder(folder)
    recent = RecentEvents()
    control = ControlParts(
        plane=ControlPlane(store, sealing=sealing, clock=clock),
        providers=Providers(sealing, timeout_seconds=2.0, connect_seconds=1.0),
        sources=ToolSources({"careline": own_tools}),
        recent=recent,
    )
    async with (
        serving(control=control, **settings) as served,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}/api/v1", timeout=20) as client,
    ):
        yield Plane(
            client=client, clock=clock, recent=recent, store=store, control=control.plane, sealing=sealing
        )
