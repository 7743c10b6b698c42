from pathlib import Path

import pytest

from tests.data import shared
from tests.unit.knowledge.shelf import CountingEmbedder, Shelf


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def shelf(tmp_path: Path, embedder: CountingEmbedder) -> Shelf:
    return Shelf(tmp_path / "data", embedder)


@pytest.fixture
def arduino() -> Path:
    return shared("arduino_help_center/articles.jsonl")
