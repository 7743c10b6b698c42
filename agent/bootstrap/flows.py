"""A company's own flows, read as the service would read them, without opening it."""

from dataclasses import dataclass
from pathlib import Path

from agent.brain.flows.library import FlowLibrary
from agent.brain.flows.toolfacts import outside_facts, standard_facts
from core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFlows:
    """`unknown_arguments` are the tools of outside servers that the flows call."""

    library: FlowLibrary
    unknown_arguments: tuple[str, ...]
    own_texts: int


def check_flows(settings: Settings, folder: Path | None) -> CheckedFlows:
    """
    Raises:
        FlowsUnusable: it names all that is wrong.
    """
    outside = outside_facts(settings.mcp_servers)
    library = FlowLibrary.load(
        folder, tools={**standard_facts(), **outside}, has_own_intents=settings.intents is not None
    )
    called = {flow.call.tool for flow in library.own if flow.call is not None}
    return CheckedFlows(
        library=library,
        unknown_arguments=tuple(sorted(called & set(outside))),
        own_texts=library.own_texts,
    )
