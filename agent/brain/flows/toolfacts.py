"""
What a flow's declaration is checked against: the tools there are, and the arguments that each takes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.mcp_settings import McpServerSettings
from tools.mcp.declared import name_for_models
from tools.protocol import AnyTool, AsksFirst, DescribedElsewhere
from tools.registry import STANDARD_TOOLS, parameters_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFacts:
    """`parameters` is the JSON Schema of the arguments; None where it is not known now, as of an outside server that is away."""

    name: str
    parameters: Mapping[str, Any] | None
    has_effect: bool
    asks_first: bool = False
    needs_account: bool = False

    @property
    def arguments(self) -> Mapping[str, Mapping[str, Any]]:
        """By name, the schema of each, without its "or null"."""
        properties: Mapping[str, Any] = (self.parameters or {}).get("properties", {})
        return {name: _without_null(schema) for name, schema in properties.items()}

    @property
    def required(self) -> tuple[str, ...]:
        return tuple((self.parameters or {}).get("required", ()))


def facts_of(tools: Iterable[AnyTool]) -> dict[str, ToolFacts]:
    """Of tools that are open, by name."""
    return {
        tool.name: ToolFacts(
            name=tool.name,
            parameters=_parameters_now(tool) if isinstance(tool, DescribedElsewhere) else parameters_of(tool),
            has_effect=tool.has_effect,
            asks_first=isinstance(tool, AsksFirst) and tool.asks_first,
            needs_account=tool.needs_account,
        )
        for tool in tools
    }


def standard_facts() -> dict[str, ToolFacts]:
    """Of the tools that every installation has, without opening any."""
    return {
        str(tool.name): ToolFacts(
            name=str(tool.name),
            parameters=parameters_of(tool),
            has_effect=bool(tool.has_effect),
            needs_account=bool(tool.needs_account),
        )
        for tool in STANDARD_TOOLS
    }


def outside_facts(servers: Mapping[str, McpServerSettings]) -> dict[str, ToolFacts]:
    """Of the tools of outside servers, as the settings declare them, without asking any."""
    return {
        name: ToolFacts(
            name=name,
            parameters=None,
            has_effect=tool.risk == "write",
            asks_first=tool.asks_first,
            needs_account=tool.needs_account or tool.knows_the_customer,
        )
        for server, rules in servers.items()
        for own_name, tool in rules.tools.items()
        for name in (name_for_models(server, own_name),)
    }


def kinds(schema: Mapping[str, Any]) -> frozenset[str]:
    kind = schema.get("type", ())
    return frozenset([kind] if isinstance(kind, str) else kind)


def _parameters_now(tool: DescribedElsewhere) -> Mapping[str, Any] | None:
    return tool.parameters() if tool.is_offered else None


def _without_null(schema: Any) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping):
        return {}
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return {**schema, **options[0]} if len(options) == 1 else schema
