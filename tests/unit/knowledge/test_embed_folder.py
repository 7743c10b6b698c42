"""
A model in a folder is checked before it is believed, pools as its files say, and is another embedder when they change.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import DependencyUnavailable
from tools.knowledge.embed import MiniLmEmbedder, load_embedder
from tools.knowledge.embed_folder import FolderEmbedder, read_model

MEAN = {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}


@pytest.fixture(scope="module")
def packaged() -> MiniLmEmbedder:
    embedder = load_embedder()
    if embedder is None:
        pytest.skip("the semantic extra is not installed")
    return embedder


@pytest.fixture
def folder(packaged: MiniLmEmbedder, tmp_path: Path) -> Path:
    files = packaged._files()
    shutil.copy(files.model, tmp_path / "model.onnx")
    shutil.copy(files.tokenizer, tmp_path / "tokenizer.json")
    write(tmp_path, "config.json", {"hidden_size": 384, "max_position_embeddings": 512})
    write(tmp_path, "1_Pooling/config.json", MEAN)
    write(tmp_path, "sentence_bert_config.json", {"max_seq_length": 256})
    return tmp_path


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


async def test_the_same_model_gives_the_same_vectors_from_a_folder(
    packaged: MiniLmEmbedder, folder: Path
) -> None:
    texts = ["where is my parcel?", "how long is the warranty of a lamp"]

    embedder = FolderEmbedder(folder)

    assert embedder.dimension == 384
    assert np.allclose(await embedder.embed(texts), await packaged.embed(texts), atol=1e-5)


async def test_pooling_is_what_the_config_says(packaged: MiniLmEmbedder, folder: Path) -> None:
    write(
        folder,
        "1_Pooling/config.json",
        {**MEAN, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True},
    )

    first_token = await FolderEmbedder(folder).embed(["where is my parcel?"])

    assert float((first_token @ (await packaged.embed(["where is my parcel?"])).T)[0, 0]) < 0.99


def test_whatever_changes_the_vectors_changes_the_name(folder: Path) -> None:
    before = FolderEmbedder(folder).name
    write(folder, "sentence_bert_config.json", {"max_seq_length": 128})
    shorter = FolderEmbedder(folder).name
    write(folder, "tokenizer.json", (folder / "tokenizer.json").read_text(encoding="utf-8") + "\n")

    assert len({before, shorter, FolderEmbedder(folder).name}) == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", None, "no tokenizer.json"),
        ("model.onnx", None, "no model.onnx"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
        ("1_Pooling/config.json", "{", "cannot be read"),
        ("modules.json", [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}], "Dense"),
    ],
)
def test_a_folder_that_cannot_be_followed_is_refused_with_the_reason(
    folder: Path, name: str, content: Any, said: str
) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        write(folder, name, content)

    with pytest.raises(DependencyUnavailable, match=said) as raised:
        read_model(folder)

    assert raised.value.dependency == "vectors"


async def test_a_model_of_another_dimension_than_it_says_is_refused(folder: Path) -> None:
    write(folder, "1_Pooling/config.json", {**MEAN, "word_embedding_dimension": 768})

    with pytest.raises(DependencyUnavailable, match="384 numbers, not 768"):
        await FolderEmbedder(folder).open()


async def test_a_file_that_is_no_model_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"no model")

    with pytest.raises(DependencyUnavailable, match="does not load"):
        await FolderEmbedder(folder).open()
