"""
The tools there are, by name, and how models are told of them.

Filled once, by an explicit list; whatever is not in it does not exist.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from core.clock import Clock
from core.errors import ToolMisconfigured, ToolNotFound
from core.resilience.guard import Guard
from tools.customer_info import CustomerInfo
from tools.find_tickets import FindTickets
from tools.handoff import Handoff
from tools.notify import Notify
from tools.open_ticket import OpenTicket
from tools.ports import CustomerDirectory, KnowledgeSearch, NotificationChannel, TicketDesk
from tools.protocol import AnyTool
from tools.search_knowledge import SearchKnowledge


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """`parameters` is a JSON Schema without references."""

    name: str
    description: str
    parameters: Mapping[str, Any]


class ToolRegistry:
    def __init__(self, tools: Iterable[AnyTool]) -> None:
        self._tools: dict[str, AnyTool] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise ToolMisconfigured(f"two tools are called {tool.name}")
            self._tools[tool.name] = tool

    def __iter__(self) -> Iterator[AnyTool]:
        return iter(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def find(self, name: str) -> AnyTool:
        """Raises ToolNotFound."""
        tool = self._tools.get(name)
        if tool is None:
            raise ToolNotFound("no tool has this name")
        return tool

    def schemas(self) -> tuple[ToolSchema, ...]:
        return tuple(
            ToolSchema(name=tool.name, description=tool.description, parameters=_parameters(tool.arguments))
            for tool in self
        )


def standard_tools(
    *,
    knowledge: KnowledgeSearch,
    desk: TicketDesk,
    directory: CustomerDirectory,
    channels: Mapping[str, NotificationChannel],
    guards: Mapping[str, Guard],
    clock: Clock,
) -> ToolRegistry:
    """The six tools of every installation; `channels` names the usual one first."""
    return ToolRegistry(
        (
            SearchKnowledge(knowledge),
            OpenTicket(desk, clock=clock),
            FindTickets(desk),
            CustomerInfo(directory),
            Notify(directory, channels, directory_guard=guards["customers"]),
            Handoff(),
        )
    )


def _parameters(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([arguments], ref_template="{name}")
    parameters = dict(components[schema["$ref"]])
    parameters.pop("title", None)
    return parameters
