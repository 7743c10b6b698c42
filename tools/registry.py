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
from tools.protocol import AnyTool, DescribedElsewhere
from tools.search_knowledge import SearchKnowledge
from tools.sending import SendingRules


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """`parameters` is a JSON Schema; that of a tool of ours has no references."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    has_effect: bool


class ToolRegistry:
    def __init__(self, tools: Iterable[AnyTool]) -> None:
        self._tools: dict[str, AnyTool] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise ToolMisconfigured(f"two tools are called {tool.name}")
            self._tools[tool.name] = tool
        self._schemas: list[ToolSchema | DescribedElsewhere] = [
            tool if isinstance(tool, DescribedElsewhere) else _schema(tool, parameters_of(tool))
            for tool in self._tools.values()
        ]

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

    @property
    def has_changing_tools(self) -> bool:
        """Whether `schemas` may tell something else the next time."""
        return any(not isinstance(each, ToolSchema) for each in self._schemas)

    def schemas(self) -> tuple[ToolSchema, ...]:
        return tuple(
            each if isinstance(each, ToolSchema) else _schema(tool, each.parameters())
            for tool, each in zip(self, self._schemas, strict=True)
            if isinstance(each, ToolSchema) or each.is_offered
        )


def standard_tools(
    *,
    knowledge: KnowledgeSearch,
    desk: TicketDesk,
    directory: CustomerDirectory,
    channels: Mapping[str, NotificationChannel],
    guards: Mapping[str, Guard],
    clock: Clock,
    rules: SendingRules | None = None,
) -> ToolRegistry:
    """The six tools of every installation; `channels` names the usual one first."""
    return ToolRegistry(
        (
            SearchKnowledge(knowledge),
            OpenTicket(desk, directory, directory_guard=guards["customers"], clock=clock, rules=rules),
            FindTickets(desk),
            CustomerInfo(directory, rules=rules),
            Notify(directory, channels, directory_guard=guards["customers"], rules=rules),
            Handoff(),
        )
    )


STANDARD_TOOLS: tuple[type[AnyTool], ...] = (
    SearchKnowledge,
    OpenTicket,
    FindTickets,
    CustomerInfo,
    Notify,
    Handoff,
)


def parameters_of(tool: AnyTool | type[AnyTool]) -> Mapping[str, Any]:
    """The JSON Schema of a tool of ours. Made once a tool: it costs a millisecond."""
    (schema,), components = msgspec.json.schema_components([tool.arguments], ref_template="{name}")
    parameters = dict(components[schema["$ref"]])
    parameters.pop("title", None)
    return parameters


def _schema(tool: AnyTool, parameters: Mapping[str, Any]) -> ToolSchema:
    return ToolSchema(
        name=tool.name, description=tool.description, parameters=parameters, has_effect=tool.has_effect
    )
