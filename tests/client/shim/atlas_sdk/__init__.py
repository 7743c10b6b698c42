"""
The names that the second reference document's program imports, on top of `careline_client`.

The document's own client is no longer to be had; its program speaks to whatever these names are. The address comes from the
environment, since the program's is fixed.
"""

import os
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from uuid import UUID

from careline_client import APIError, AsyncCareline, RateLimitError
from careline_client.resources import AgentClassCreate as AgentClassCreated
from careline_client.resources import AgentDefinitionCreate as AgentDefinitionCreated

from atlas_sdk.exceptions import AtlasAPIError, AtlasRateLimitError
from atlas_sdk.models import AgentClass, AgentClassCreate, AgentDefinition, AgentDefinitionCreate

T = TypeVar("T")


class ControlPlaneClient:
    def __init__(self, base_url: str, timeout: float) -> None:
        self._client = AsyncCareline(os.environ.get("CARELINE_URL", base_url), timeout_seconds=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def create_agent_class(self, wanted: AgentClassCreate) -> AgentClass:
        return AgentClass(
            await _told(self._client.agent_classes.create(cast(AgentClassCreated, wanted.fields())))
        )

    async def list_agent_classes(self, limit: int) -> list[AgentClass]:
        return [AgentClass(each) for each in await _told(self._client.agent_classes.list(limit=limit))]

    async def get_agent_class(self, id: UUID) -> AgentClass:
        return AgentClass(await _told(self._client.agent_classes.get(str(id))))

    async def create_agent_definition(self, wanted: AgentDefinitionCreate) -> AgentDefinition:
        return AgentDefinition(
            await _told(self._client.agent_definitions.create(cast(AgentDefinitionCreated, wanted.fields())))
        )

    async def delete_agent_definition(self, id: UUID) -> None:
        await _told(self._client.agent_definitions.delete(str(id)))

    async def health(self) -> dict[str, Any]:
        return await _told(self._client.health())


async def _told(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except RateLimitError as error:
        raise AtlasRateLimitError(error.response, error.retry_after) from error
    except APIError as error:
        raise AtlasAPIError(error.response) from error
