"""
The dialogues and intents of a company's own that the settings name: whether the service would start with them.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from agent.brain.flows.library import FlowLibrary
from agent.brain.flows.located import FlowsUnusable
from agent.brain.flows.toolfacts import ToolFacts, outside_facts, standard_facts
from agent.doctor.findings import Check, Finding, broken, in_thread, ok
from agent.doctor.machine import embedder_of
from agent.intents.reading import TrainedIntentReader, open_reader
from agent.intents.serving import open_served
from core.errors import CarelineError
from core.settings import Settings
from tools.knowledge.embed import Embedder

_SHOWN = 3
_MEND_INTENTS = (
    "Mend what it names, or train the file anew with `careline intents train` (docs/intents.md); "
    "the service does not start with it."
)


def dialogue_checks(settings: Settings) -> Mapping[str, Check]:
    """Of what the settings name; those that are built in need no look."""
    checks: dict[str, Check] = {}
    if settings.flows is not None:
        checks["flows"] = partial(_check_flows, settings, settings.flows)
    if settings.intents is not None:
        checks["intents"] = partial(_check_intents, settings, settings.intents)
    return checks


async def _check_flows(settings: Settings, folder: Path) -> Finding:
    try:
        library = await in_thread(partial(_library, settings))
    except FlowsUnusable as exc:
        first = "; ".join(str(each) for each in exc.problems[:_SHOWN])
        more = len(exc.problems) - _SHOWN
        return broken(
            "flows",
            f"{folder} cannot be served: {first}" + (f"; and {more} more" if more > 0 else ""),
            "Mend what `careline flows check` names; docs/flows.md describes every field. The service does not start with it.",
        )
    return ok(
        "flows", f"{folder} can be served: {len(library.own)} flows, {library.own_texts} texts worded anew"
    )


async def _check_intents(settings: Settings, file: Path) -> Finding:
    try:
        async with embedder_of(settings) as embedder:
            reader = await in_thread(partial(_reader, settings, file, embedder))
    except CarelineError as exc:
        return broken("intents", str(exc), _MEND_INTENTS)
    return ok("intents", f"{file} can be served: {len(reader.names)} intents")


def _reader(settings: Settings, file: Path, embedder: Embedder | None) -> TrainedIntentReader:
    try:
        flows = _library(settings)
    except FlowsUnusable:  # told by their own check; which flows there are is not known
        return open_reader(file, embedder)
    return open_served(file, embedder, flows=flows, tools=_tools(settings))


def _library(settings: Settings) -> FlowLibrary:
    return FlowLibrary.load(
        settings.flows, tools=_tools(settings), has_own_intents=settings.intents is not None
    )


def _tools(settings: Settings) -> Mapping[str, ToolFacts]:
    return {**standard_facts(), **outside_facts(settings.mcp_servers)}
