"""The models that the document's program makes and reads."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID


class _Read:
    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.id = UUID(fields["id"])
        self.name: str = fields["name"]


class AgentClass(_Read):
    pass


class AgentDefinition(_Read):
    pass


@dataclass(kw_only=True)
class AgentClassCreate:
    name: str
    description: str | None = None

    def fields(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(kw_only=True)
class AgentDefinitionCreate:
    name: str
    agent_class_id: UUID
    model_provider_id: UUID
    model_name: str

    def fields(self) -> dict[str, Any]:
        return {name: str(value) for name, value in asdict(self).items()}
