"""
Ask a trained model about texts whose intents are known.
"""

from collections.abc import Sequence

import numpy as np

from agent.intents.evaluation import Judged
from agent.intents.examples import ExampleSet
from agent.intents.model import IntentModel
from core.errors import FieldError, ValidationFailed
from tools.knowledge.embed import Embedder, Vectors


def judge(
    model: IntentModel, texts: Sequence[str], vectors: Vectors | None, expected: Sequence[str | None]
) -> list[Judged]:
    """The best intent of each text, whatever the threshold."""
    judged = []
    for number, (text, wanted) in enumerate(zip(texts, expected, strict=True)):
        scores = model.scores(text, None if vectors is None else vectors[number])
        best = int(np.argmax(scores))
        judged.append(Judged(text, wanted, model.manifest.names[best], float(scores[best])))
    return judged


async def judge_examples(model: IntentModel, examples: ExampleSet, embedder: Embedder | None) -> list[Judged]:
    """Raises ValidationFailed as `embedded` does."""
    return judge(model, *await embedded(model.manifest.names, examples, embedder))


async def embedded(
    names: Sequence[str], examples: ExampleSet, embedder: Embedder | None
) -> tuple[list[str], Vectors | None, list[str | None]]:
    """
    The texts, their vectors, and the name of each one's intent, None for what belongs to none.

    Raises:
        ValidationFailed: an intent that is not among the names, or no text at all.
    """
    for intent in examples.intents:
        if intent.name not in names:
            raise _wrong(
                f"intents.{intent.name}", "is none of the trained intents; correct its name, or train it"
            )
    pairs: list[tuple[str, str | None]] = [*examples.labelled(), *((text, None) for text in examples.others)]
    if not pairs:
        raise _wrong("intents", "there is no text to judge by; give examples")
    texts = [text for text, _ in pairs]
    vectors = None if embedder is None else await embedder.embed(texts)
    return texts, vectors, [wanted for _, wanted in pairs]


def _wrong(place: str, why: str) -> ValidationFailed:
    return ValidationFailed(f"{place}: {why}", fields=(FieldError((place,), why, "value_error"),))
