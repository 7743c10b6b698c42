"""
Give a sentence a second look where its words are not those of its source: does a piece of it mean the same?

Only the share of common words is looked past. What vectors are blind to (numbers, names, codes, a "not") has been checked before,
by `agent.brain.grounding`, which also proposes the pieces.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from agent.brain.grounding import Quote
from core.errors import CarelineError
from core.telemetry.logging import get_logger

LIKENESS = 0.72
"""
A tenth above 0.62, the least cosine at which no sentence passes beside another question's passages (`python -m bench.grounding`,
in five folds): there, up to 2.7 % of the fold's own false sentences passed.
"""

log = get_logger(__name__)


class Embeds(Protocol):
    """Implemented by `tools.knowledge.embed`. One row of length 1 for each text."""

    async def embed(self, texts: Sequence[str]) -> Any: ...


class Meaning:
    def __init__(self, embedder: Embeds, *, likeness: float = LIKENESS) -> None:
        self._embedder = embedder
        self._likeness = likeness

    async def quote(self, sentence: str, pieces: Sequence[Quote]) -> Quote | None:
        """The piece that means the same; None where none does, or the vectors are out."""
        try:
            vectors = await self._embedder.embed([sentence, *(piece.text for piece in pieces)])
        except CarelineError as exc:
            log.debug("brain.meaning_not_asked", error=type(exc).__name__)
            return None
        likeness = [float(row @ vectors[0]) for row in vectors[1:]]
        best = max(range(len(pieces)), key=likeness.__getitem__)
        return pieces[best] if likeness[best] >= self._likeness else None
