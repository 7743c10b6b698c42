"""The company's own intents: opened for the service, trained and judged for the commands."""

from collections.abc import Callable, Sequence
from pathlib import Path

from agent.brain.flows.library import FlowLibrary
from agent.brain.flows.toolfacts import facts_of
from agent.brain.own_intents import IntentReader
from agent.intents.evaluation import Report, report
from agent.intents.examples import read_examples
from agent.intents.model import IntentModel, Manifest
from agent.intents.reading import check_embedder
from agent.intents.serving import open_served
from core.errors import CarelineError, ToolMisconfigured
from core.settings import Settings
from tools.knowledge.embed import Embedder, load_embedder
from tools.registry import ToolRegistry


def open_intents(
    settings: Settings, embedder: Embedder | None, *, flows: FlowLibrary, registry: ToolRegistry
) -> IntentReader | None:
    """
    None where the settings name no file.

    Raises:
        ToolMisconfigured: the file that they name cannot be served, or names a flow or tool that is not there.
    """
    if settings.intents is None:
        return None
    try:
        return open_served(settings.intents, embedder, flows=flows, tools=facts_of(registry))
    except CarelineError as exc:
        raise ToolMisconfigured(f"CARELINE_INTENTS: {exc}") from exc


async def train_intents(
    files: Sequence[Path],
    to: Path,
    *,
    validation: Sequence[Path] = (),
    progress: Callable[[str, int, int], None] = lambda phase, done, whole: None,
) -> Manifest:
    """
    Raises:
        ValidationFailed: the examples cannot be read, or are too few.
        ToolMisconfigured: the extra `train` is missing, or the file cannot be written.
    """
    from agent.intents.training import check_installed, train

    check_installed()
    examples = read_examples(files)
    model = await train(
        examples,
        load_embedder(threads=2),
        validation=read_examples(validation) if validation else None,
        progress=progress,
    )
    try:
        model.save(to)
    except OSError as exc:
        raise ToolMisconfigured(f"{to} cannot be written: {exc}") from exc
    return model.manifest


async def evaluate_intents(model_file: Path, files: Sequence[Path]) -> Report:
    """
    Raises:
        DataIntegrityFailed: the model's file cannot be read.
        ValidationFailed: the texts cannot be read, or name an intent that the model does not know.
        ToolMisconfigured: the model was trained with another embedder.
    """
    from agent.intents.judging import judge_examples

    model = IntentModel.load(model_file)
    embedder = load_embedder(threads=2)
    check_embedder(model, embedder, model_file)
    judged = await judge_examples(model, read_examples(files), embedder)
    return report(judged, model.manifest.threshold)
