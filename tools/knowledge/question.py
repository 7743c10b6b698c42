"""
The vector of a question, drawn towards what was said before it.
"""

from collections.abc import Sequence

import numpy as np

from core.errors import DependencyError
from core.telemetry.logging import get_logger
from tools.knowledge.embed import Embedder, Vectors

_CONTEXT_SHARE = 0.65
_CONTEXT_DECAY = 0.7
"""
Share of what was said before, and of a message against the one after it: a plateau on MTRAG-UN and DSTC11
(`python -m bench.context`).
"""

_log = get_logger(__name__)


async def question_vector(
    embedder: Embedder | None, words: str, context: Sequence[str]
) -> tuple[Vectors | None, bool]:
    """The question's vector, and whether there ought to be one but the embedder is down."""
    if embedder is None or not words.strip():
        return None, False
    earlier = [text for text in context if text.strip()]
    try:
        # Message by message: the embedder remembers those of the turns before, so a long conversation costs no more.
        vector, *before = await embedder.embed([words, *earlier])
    except DependencyError as exc:
        _log.warning("knowledge.searched_without_vectors", error=str(exc))
        return None, True
    return _in_context(vector, before), False


def _in_context(vector: Vectors, before: Sequence[Vectors]) -> Vectors:
    if before:
        older = sum(_CONTEXT_DECAY**age * earlier for age, earlier in enumerate(reversed(before)))
        vector = vector + _CONTEXT_SHARE * older / np.linalg.norm(older)
    return vector / np.linalg.norm(vector)
