"""
A sentence model that lies in a folder, as `sentence-transformers` and `optimum` write it: `tokenizer.json`, `model.onnx`, and
the files that say how it is used.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from core.errors import DependencyUnavailable, ToolMisconfigured
from tools.knowledge.embed import DEPENDENCY, OnnxEmbedder, SentenceModel, load_embedder

_MODELS = ("model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx")
_MOST_TOKENS = 512
_USUAL_TOKENS = 256
_ANY_POOLING = "pooling_mode_"
_POOLINGS: dict[str, Literal["mean", "cls"]] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
}


class FolderEmbedder(OnnxEmbedder):
    """Its name is the digest of its files, so another model in the same folder is another embedder."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """
        Reads all files once (a model of 500 MB takes a second).

        Raises:
            DependencyUnavailable: ("vectors") a file is missing, or says what cannot be followed.
        """
        self._model_files = read_model(folder)
        super().__init__(_name(folder, self._model_files), self._model_files.dimension, threads=threads)

    def _files(self) -> SentenceModel:
        return self._model_files


def local_embedder(folder: Path | None, *, threads: int = 1) -> OnnxEmbedder | None:
    """
    The model in `folder`, else the packaged one, neither opened; None where the semantic extra is not installed. Blocks while it
    reads the folder.

    Raises:
        ToolMisconfigured: the extra is missing, and a folder is wanted.
        DependencyUnavailable: ("vectors") as `FolderEmbedder`.
    """
    packaged = load_embedder(threads=threads)
    if folder is None:
        return packaged
    if packaged is None:
        raise ToolMisconfigured("CARELINE_EMBEDDER_FOLDER needs the extra: pip install 'careline[semantic]'")
    return FolderEmbedder(folder, threads=threads)


def read_model(folder: Path) -> SentenceModel:
    model = next((folder / name for name in _MODELS if (folder / name).is_file()), None)
    tokenizer = folder / "tokenizer.json"
    if model is None or not tokenizer.is_file():
        missing = "tokenizer.json" if model is not None else " or ".join(_MODELS[:2])
        raise _refused(folder, f"has no {missing}")
    config = _read(folder, "config.json")
    modules = _read(folder, "modules.json") or []
    pooling_folder = _path_of(modules, "Pooling") or "1_Pooling"
    if _path_of(modules, "Dense") is not None:
        raise _refused(folder, "has a Dense layer after its pooling, which model.onnx is without")
    pooling = _read(folder, f"{pooling_folder}/config.json") or {}
    dimension = _number(pooling, "word_embedding_dimension") or _number(config, "hidden_size")
    if dimension is None:
        raise _refused(
            folder, f"names no hidden_size in config.json nor dimension in {pooling_folder}/config.json"
        )
    longest = _number(_read(folder, "sentence_bert_config.json"), "max_seq_length") or _USUAL_TOKENS
    positions = _number(config, "max_position_embeddings") or _MOST_TOKENS
    return SentenceModel(
        model=model,
        tokenizer=tokenizer,
        dimension=dimension,
        max_tokens=min(longest, positions, _MOST_TOKENS),
        pooling=_pooling(folder, pooling),
    )


def _pooling(folder: Path, config: Any) -> Literal["mean", "cls"]:
    chosen = [name for name, value in config.items() if name.startswith(_ANY_POOLING) and value is True]
    if not chosen:
        return "mean"
    if len(chosen) > 1 or chosen[0] not in _POOLINGS:
        raise _refused(folder, f"pools by {', '.join(chosen)}; there is {' and '.join(_POOLINGS)}")
    return _POOLINGS[chosen[0]]


def _path_of(modules: Any, kind: str) -> str | None:
    for module in modules if isinstance(modules, list) else ():
        if isinstance(module, dict) and str(module.get("type", "")).endswith(f".{kind}"):
            return str(module.get("path", ""))
    return None


def _read(folder: Path, name: str) -> Any:
    """None where there is no such file."""
    try:
        return msgspec.json.decode((folder / name).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as exc:
        raise _refused(folder, f"has a {name} that cannot be read: {exc}") from exc


def _number(document: Any, name: str) -> int | None:
    value = document.get(name) if isinstance(document, dict) else None
    return value if isinstance(value, int) and value > 0 else None


def _name(folder: Path, files: SentenceModel) -> str:
    whole = hashlib.sha256(f"{files.dimension}/{files.max_tokens}/{files.pooling}".encode())
    for path in (files.model, files.tokenizer):
        try:
            with path.open("rb") as content:
                whole.update(hashlib.file_digest(content, "sha256").digest())
        except OSError as exc:
            raise _refused(folder, f"cannot be read: {exc}") from exc
    return f"onnx-{whole.hexdigest()[:16]}"


def _refused(folder: Path, why: str) -> DependencyUnavailable:
    return DependencyUnavailable(DEPENDENCY, f"the embedding model in {folder} {why}", reason="wrong_model")
