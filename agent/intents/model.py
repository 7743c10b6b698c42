"""
Serve trained intents with numpy alone: weights from a file, a score for a text.

The file is Careline's own: a manifest in msgpack, the arrays as they lie in memory, and a checksum over both.
Reading it runs nothing.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from agent.brain.own_intents import ScoredIntent, Service
from agent.intents.terms import Floats, Vocabulary
from core.errors import DataIntegrityFailed
from core.whole_files import SHARED, written_whole

_MAGIC = b"careline-intents"
_FORMAT = 1
_LENGTH_BYTES = 4
_SUM_BYTES = 32
_ALIGNED = 64

MEANING_SHARE = 1.5
"""A text's vector weighs so much beside its words, which weigh 1, and its pieces of words, which weigh 1."""


class _Array(msgspec.Struct, frozen=True):
    """`start` counts from the end of the manifest."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    `embedder` made the vectors, None: by words alone. `examples` counts what it was trained on; `held_out` is what was measured
    where the threshold was chosen.
    """

    embedder: str | None
    names: tuple[str, ...]
    services: tuple[Service | None, ...]
    threshold: float
    method: str
    examples: int
    held_out: dict[str, float] = {}


class _Head(msgspec.Struct, frozen=True):
    format: int
    manifest: Manifest
    nearness: float
    arrays: tuple[_Array, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """
    Linear in a text's terms and its vector: one row for each, one column for each intent, and perhaps one more for what is none
    of them. The vector is turned before, where there is a `turn`.

    `known` are vectors of examples, column by column, each column's from `known_from` on: the nearest of each counts `nearness`
    times its cosine, and what is near to no intent's is probably none of them.
    """

    vocabulary: Vocabulary
    of_terms: npt.NDArray[np.float16]
    of_meaning: Floats
    turn: Floats
    bias: Floats
    known: Floats
    known_from: npt.NDArray[np.int64]
    nearness: float = 0.0

    def logits(self, text: str, vector: Floats | None) -> tuple[Floats, Floats]:
        """Of each column; and its cosine to the nearest example, 1 where meaning is not looked at."""
        where, weight = self.vocabulary.weigh(text)
        of_terms: Floats = weight @ self.of_terms[where].astype(np.float32)
        logits: Floats = self.bias + of_terms
        if vector is None or not len(self.of_meaning):
            return logits, np.ones_like(logits)
        if len(self.turn):
            vector = vector @ self.turn
            vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        near: Floats = np.maximum.reduceat(self.known @ vector, self.known_from)
        return logits + vector @ self.of_meaning + self.nearness * near, near


class IntentModel:
    def __init__(self, manifest: Manifest, weights: Weights) -> None:
        self.manifest = manifest
        self._weights = weights

    def scores(self, text: str, vector: Floats | None) -> Floats:
        """
        One for each intent, between 0 and 1: softmax times the square of the cosine to the nearest example.

        `vector` belongs to the manifest's embedder, and is None exactly where that is.
        """
        logits, near = self._weights.logits(text, vector)
        shares = np.exp(logits - logits.max())
        own = len(self.manifest.names)
        scores: Floats = (shares[:own] / shares.sum() * max(0.0, float(near[:own].max())) ** 2).astype(
            np.float32
        )
        return scores

    def read(self, text: str, vector: Floats | None) -> tuple[ScoredIntent, ...]:
        """Those that reach the threshold, best first."""
        scores = self.scores(text, vector)
        order = np.argsort(-scores, kind="stable")
        names, services = self.manifest.names, self.manifest.services
        return tuple(
            ScoredIntent(names[one], float(scores[one]), services[one])
            for one in order
            if scores[one] >= self.manifest.threshold
        )

    def with_nearness(self, nearness: float) -> "IntentModel":
        return IntentModel(self.manifest, replace(self._weights, nearness=nearness))

    def with_threshold(self, threshold: float, held_out: dict[str, float]) -> "IntentModel":
        manifest = msgspec.structs.replace(self.manifest, threshold=threshold, held_out=held_out)
        return IntentModel(manifest, self._weights)

    def save(self, path: Path) -> None:
        """Whole or not at all: a service that starts meanwhile reads the old file or the new one."""
        arrays = self._arrays()
        places, start = [], 0
        for name, array in arrays.items():
            places.append(_Array(name, array.dtype.str, array.shape, start))
            start += _padded(array.nbytes)
        head = msgspec.msgpack.encode(_Head(_FORMAT, self.manifest, self._weights.nearness, tuple(places)))
        opening = _MAGIC + len(head).to_bytes(_LENGTH_BYTES, "big") + head
        checksum = hashlib.sha256()
        with written_whole(path, mode=SHARED) as file:
            for piece in map(_filled, (opening, *(array.tobytes() for array in arrays.values()))):
                checksum.update(piece)
                file.write(piece)
            file.write(checksum.digest())

    @classmethod
    def load(cls, path: Path) -> Self:
        """
        The arrays stay in the file, mapped: memory is used for what is read of them.

        Raises:
            DataIntegrityFailed: it cannot be read, is damaged, or was written by another version.
        """
        try:
            head, body = _checked(path)
            found = {
                each.name: np.memmap(path, each.dtype, "r", body + each.start, each.shape)
                if all(each.shape)
                else np.empty(each.shape, each.dtype)
                for each in head.arrays
            }
            return cls(
                head.manifest,
                Weights(
                    vocabulary=Vocabulary(found["keys"], found["rarity"]),
                    of_terms=found["of_terms"],
                    of_meaning=found["of_meaning"],
                    turn=found["turn"],
                    bias=found["bias"],
                    known=found["known"],
                    known_from=found["known_from"],
                    nearness=head.nearness,
                ),
            )
        except (OSError, msgspec.MsgspecError, KeyError, ValueError, TypeError) as exc:
            raise DataIntegrityFailed(f"{path}: no trained intents can be read from it: {exc}") from exc

    def _arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        weights = self._weights
        return {
            "keys": weights.vocabulary.keys,
            "rarity": weights.vocabulary.rarity,
            "of_terms": weights.of_terms,
            "of_meaning": weights.of_meaning,
            "turn": weights.turn,
            "bias": weights.bias,
            "known": weights.known,
            "known_from": weights.known_from,
        }


def _checked(path: Path) -> tuple[_Head, int]:
    """The head, and where the arrays begin. A file that is not as it was written is refused before it is decoded."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("it is not a file that `careline intents train` writes")
        length = int.from_bytes(file.read(_LENGTH_BYTES), "big")
        whole = path.stat().st_size - _SUM_BYTES
        file.seek(0)
        checksum = hashlib.sha256()
        left = whole
        while left > 0 and (piece := file.read(min(left, 1 << 20))):
            checksum.update(piece)
            left -= len(piece)
        if file.read() != checksum.digest():
            raise ValueError("its checksum (sha256) does not fit: it was damaged or cut short")
        file.seek(len(_MAGIC) + _LENGTH_BYTES)
        head = msgspec.msgpack.decode(file.read(length), type=_Head)
    if head.format != _FORMAT:
        raise ValueError(f"it has format {head.format}, this version reads {_FORMAT}; train anew")
    return head, _padded(len(_MAGIC) + _LENGTH_BYTES + length)


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _filled(content: bytes) -> bytes:
    return content + b"\0" * (_padded(len(content)) - len(content))
