"""
Turn a text into its words, pairs of words and pieces of words, weighted by how rare they are.

One function for training and serving. Terms are known by a checksum, so that what is served needs no dictionary.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Self
from zlib import crc32

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]

_WORD = re.compile(r"\w+|[^\w\s]")
_PIECES = range(2, 6)
"""Lengths of pieces of words, which see through endings and slips of the pen."""

_VERY_MANY = 20_000


class Vocabulary:
    """`keys` are checksums in rising order, `rarity` the weight of each; both can be kept in a file."""

    def __init__(self, keys: npt.NDArray[np.uint32], rarity: Floats) -> None:
        self.keys = keys
        self.rarity = rarity

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Every term; of very many texts, those that two of them share."""
        spread: Counter[int] = Counter()
        for text in texts:
            spread.update({key for block in _blocks(text) for key in block})
        least = 1 if len(texts) < _VERY_MANY else 2
        keys = np.array(sorted(key for key, times in spread.items() if times >= least), np.uint32)
        times = np.array([spread[int(key)] for key in keys], np.float32)
        return cls(keys, (np.log((1 + len(texts)) / (1 + times)) + 1).astype(np.float32))

    def weigh(self, text: str) -> tuple[Positions, Floats]:
        """Where its known terms stand among `keys`, and what each weighs: words and pieces have length 1 each."""
        found = [self._weighed(block) for block in _blocks(text)]
        return np.concatenate([where for where, _ in found]), np.concatenate([weight for _, weight in found])

    def _weighed(self, block: Iterable[int]) -> tuple[Positions, Floats]:
        counted = Counter(block)
        keys = np.fromiter(counted, np.uint32, len(counted))
        times = np.fromiter(counted.values(), np.float32, len(counted))
        if not len(self.keys) or not len(keys):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        where = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        known = self.keys[where] == keys
        where, times = where[known], times[known]
        weight = (1 + np.log(times)) * self.rarity[where]
        length = float(np.linalg.norm(weight))
        return where, (weight / length if length else weight).astype(np.float32)


def _blocks(text: str) -> tuple[list[int], list[int]]:
    words = _WORD.findall(text.casefold())
    pairs = (f"{one} {other}" for one, other in itertools.pairwise(words))
    return [_key(f"w{term}") for term in (*words, *pairs)], [key for word in words for key in _pieces(word)]


@lru_cache(maxsize=20_000)
def _pieces(word: str) -> tuple[int, ...]:
    padded = f" {word[:40]} "
    return tuple(
        _key(f"p{padded[start : start + length]}")
        for length in _PIECES
        for start in range(len(padded) - length + 1)
    )


def _key(term: str) -> int:
    return crc32(term.encode("utf-8", "replace"))
