"""
Whether what a company's intents are served by is there: flows, and tools that change nothing, with arguments that they take.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.brain.flows.library import FlowLibrary
from agent.brain.flows.toolfacts import ToolFacts
from agent.brain.own_intents import ServedBy, Service
from agent.intents.reading import TrainedIntentReader, open_reader
from core.errors import ToolMisconfigured
from tools.knowledge.embed import Embedder
from tools.registry import STANDARD_TOOLS


def open_served(
    path: Path, embedder: Embedder | None, *, flows: FlowLibrary, tools: Mapping[str, ToolFacts]
) -> TrainedIntentReader:
    """
    Raises:
        DataIntegrityFailed: the file cannot be read, or is damaged.
        ToolMisconfigured: it cannot be served here, or names a flow or tool that is not there.
    """
    reader = open_reader(path, embedder)
    for name, service in reader.services():
        _check(name, service, flows, tools)
    return reader


def _check(name: str, service: Service, flows: FlowLibrary, tools: Mapping[str, ToolFacts]) -> None:
    if service.by is ServedBy.FLOW and flows.find(service.target) is None:
        raise ToolMisconfigured(
            f"the intent {name} is served by the flow {service.target}, which there is not"
        )
    if service.by is not ServedBy.TOOL:
        return
    tool = tools.get(service.target)
    if tool is None:
        raise ToolMisconfigured(
            f"the intent {name} is served by the tool {service.target}, which there is not"
        )
    if tool.has_effect:
        raise ToolMisconfigured(
            f"the intent {name} is served by the tool {service.target}, which changes something; a flow asks before it does"
        )
    of_ours = next((each.arguments for each in STANDARD_TOOLS if str(each.name) == service.target), None)
    if of_ours is not None:
        try:
            msgspec.convert(service.arguments, of_ours)
        except msgspec.ValidationError as exc:
            raise ToolMisconfigured(f"the intent {name}: arguments of {service.target}: {exc}") from exc
