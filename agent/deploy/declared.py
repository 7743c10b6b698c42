"""
What a file may declare: its sections, the kinds of the plane behind them, and how their entries name each other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from agent.api.control.wire import (
    AgentClassCreate,
    AgentDefinitionCreate,
    DeploymentCreate,
    ModelProviderCreate,
    SystemPromptCreate,
    ToolCreate,
)


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """An entry of the file, as `definitions.support`."""

    section: str
    name: str

    def __str__(self) -> str:
        return f"{self.section}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A field of the file that names entries of `section`; the plane knows them by id in `wire`."""

    wire: str
    section: str
    is_required: bool = False
    is_list: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """
    `fixed` are fields that no update changes. `in_place_only` says that there is one of each name: it is never made anew.
    """

    kind: str
    create: type[BaseModel]
    references: Mapping[str, Reference] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    in_place_only: bool = False

    @property
    def plain_fields(self) -> frozenset[str]:
        """Those that a file gives as they are sent."""
        by_reference = {each.wire for each in self.references.values()}
        return frozenset(self.create.model_fields) - by_reference - {"name", "structured_output_id"}


SECTIONS: Mapping[str, Section] = {
    "classes": Section(kind="agent-classes", create=AgentClassCreate, in_place_only=True),
    "providers": Section(kind="model-providers", create=ModelProviderCreate),
    "tools": Section(kind="tools", create=ToolCreate, in_place_only=True),
    "prompts": Section(
        kind="system-prompts",
        create=SystemPromptCreate,
        references={"class": Reference(wire="agent_class_id", section="classes")},
        fixed=frozenset({"agent_class_id"}),
    ),
    "definitions": Section(
        kind="agent-definitions",
        create=AgentDefinitionCreate,
        references={
            "class": Reference(wire="agent_class_id", section="classes", is_required=True),
            "prompt": Reference(wire="system_prompt_id", section="prompts"),
            "provider": Reference(wire="model_provider_id", section="providers"),
            "tools": Reference(wire="tool_ids", section="tools", is_list=True),
        },
        fixed=frozenset({"agent_class_id"}),
    ),
    "deployments": Section(
        kind="deployments",
        create=DeploymentCreate,
        references={
            "definition": Reference(wire="agent_definition_id", section="definitions", is_required=True)
        },
        fixed=frozenset({"agent_definition_id", "blueprint_id"}),
    ),
}
"""In an order in which each names only those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """
    One entry. `fields` are the plane's, with the defaults of what the file leaves out, but for references. `status` is None where
    the file says none. `is_existing`: it must be there and is not touched.
    """

    address: Address
    line: int
    fields: Mapping[str, Any]
    references: Mapping[str, Address | tuple[Address, ...] | None] = field(default_factory=dict)
    status: str | None = None
    is_existing: bool = False

    @property
    def section(self) -> Section:
        return SECTIONS[self.address.section]

    @property
    def kind(self) -> str:
        return self.section.kind

    def named(self) -> Iterator[Address]:
        """What it refers to."""
        for target in self.references.values():
            if isinstance(target, Address):
                yield target
            elif target is not None:
                yield from target


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """
    What one file declares, each entry after those that it names. `digest` is the same for files that declare the same.
    """

    entries: tuple[Declared, ...]
    digest: str
    warnings: tuple[str, ...] = ()
