"""
The control plane's resources as objects, with asyncio; the twin of `control`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from careline_client.plane import PAGE, Kind, active
from careline_client.resources import (
    AgentDefinition,
    AgentDefinitionCreate,
    AgentDefinitionUpdate,
    DefinitionConfig,
    Deployment,
    DeploymentCreate,
    DeploymentUpdate,
    Model,
    ModelProvider,
    ModelProviderCreate,
    ModelProviderUpdate,
    Tool,
    ToolCreate,
    ToolUpdate,
    Verification,
)

if TYPE_CHECKING:
    from careline_client.async_client import AsyncCareline

R = TypeVar("R")
C = TypeVar("C", bound=Mapping[str, object])
U = TypeVar("U", bound=Mapping[str, object])


class AsyncResources(Generic[R, C, U]):
    """One kind of the control plane's resources; fields are the wire contract's."""

    def __init__(self, client: "AsyncCareline", kind: Kind[R]) -> None:
        self._client = client
        self._kind = kind

    async def create(self, fields: C, *, idempotency_key: str | None = None) -> R:
        """Once, however often it has to be sent; `idempotency_key` makes it once over several processes, too."""
        return await self._client.run(self._kind.create(fields, key=idempotency_key))

    async def get(self, id: str) -> R:
        return await self._client.run(self._kind.get(id))

    async def find(self, id: str) -> R | None:
        """None where there is none."""
        return await self._client.run(self._kind.find(id))

    async def find_named(self, name: str) -> R | None:
        """The newest of exactly that name, None where there is none."""
        return await self._client.run(self._kind.find_named(name))

    async def get_or_create(self, fields: C) -> R:
        """
        The newest of that name as it is; where there is none, one with these fields. Of many callers at once one makes an agent
        class, whose names are unique; of the other kinds each may make its own.
        """
        return await self._client.run(self._kind.get_or_create(fields))

    async def list(self, *, limit: int = 100, offset: int = 0, **filters: Any) -> "list[R]":
        """Newest first; `limit` 1 to 1,000."""
        return await self._client.run(self._kind.page(filters, limit=limit, offset=offset))

    async def iterate(self, *, page_size: int = PAGE, **filters: Any) -> AsyncIterator[R]:
        """All, newest first, each once, also while others are created."""
        pages = self._kind.paging(filters, page_size=page_size)
        while (page := await self._client.run(pages.next_page())) is not None:
            for each in page:
                yield each

    async def update(self, id: str, fields: U) -> R:
        """What is left out stays, None clears."""
        return await self._client.run(self._kind.update(id, fields))

    async def delete(self, id: str) -> None:
        await self._client.run(self._kind.delete(id))


class AsyncModelProviders(AsyncResources[ModelProvider, ModelProviderCreate, ModelProviderUpdate]):
    async def verify(self, id: str) -> Verification:
        """Whether the provider answers; `failed` is no error."""
        result: Verification = await self._client.run(self._kind.post(self._kind.one(id, "verify")))
        return result

    async def models(self, id: str) -> "list[Model]":
        result: list[Model] = await self._client.run(self._kind.read(self._kind.one(id, "models")))
        return result


class AsyncTools(AsyncResources[Tool, ToolCreate, ToolUpdate]):
    async def sync(self, tools: "Sequence[ToolCreate]") -> "list[Tool]":
        """Made or changed by name, one to a thousand."""
        result: list[Tool] = await self._client.run(
            self._kind.post(self._kind.all("sync"), {"tools": [dict(each) for each in tools]})
        )
        return result

    async def discover(self, source: str = "careline") -> "list[Tool]":
        """The tools of a source that the service knows, as resources."""
        result: list[Tool] = await self._client.run(
            self._kind.post(self._kind.all("discover"), {"source": source})
        )
        return result


class AsyncAgentDefinitions(AsyncResources[AgentDefinition, AgentDefinitionCreate, AgentDefinitionUpdate]):
    async def config(self, id: str) -> DefinitionConfig:
        result: DefinitionConfig = await self._client.run(self._kind.read(self._kind.one(id, "config")))
        return result

    async def set_tools(self, id: str, tool_ids: Sequence[str]) -> AgentDefinition:
        result: AgentDefinition = await self._client.run(
            self._kind.post(self._kind.one(id, "tools"), {"tool_ids": list(tool_ids)})
        )
        return result


class AsyncDeployments(AsyncResources[Deployment, DeploymentCreate, DeploymentUpdate]):
    async def wait_until_active(
        self, id: str, *, timeout_seconds: float = 120.0, poll_seconds: float = 2.0
    ) -> Deployment:
        """
        Raises:
            DeploymentFailedError: it failed, with the reason; it is over; or it is not active in time.
        """
        return await self._client.run(
            active(
                self._kind,
                id,
                timeout_seconds=timeout_seconds,
                poll_seconds=poll_seconds,
                clock=self._client._policy.clock,
            )
        )
