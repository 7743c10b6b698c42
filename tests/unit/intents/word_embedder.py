"""An embedder without a model: texts are near to one another as far as they share words."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from tools.knowledge.embed import Vectors
from tools.knowledge.words import terms


class WordEmbedder:
    name = "words-64"
    dimension = 64

    async def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.full((len(texts), self.dimension), 0.01, np.float32)
        for row, text in enumerate(texts):
            for word in terms(text):
                vectors[row, crc32(word.encode()) % self.dimension] += 1
        made: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return made
