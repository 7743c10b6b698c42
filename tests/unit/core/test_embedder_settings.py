"""An embedder is one thing, and whatever is missing or too much of it is named."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.settings import Settings

ENDPOINT: dict[str, Any] = {
    "embedder_url": "https://api.example/v1",
    "embedder_model": "words",
    "embedder_dimensions": 8,
}
INDEX = {"url": "https://search.example:9200", "index": "help"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({**ENDPOINT, "embedder_folder": "model"}, "cannot both be set"),
        ({**ENDPOINT, "embedder_model": None}, "needs CARELINE_EMBEDDER_MODEL"),
        ({**ENDPOINT, "embedder_dimensions": None}, "needs CARELINE_EMBEDDER_DIMENSIONS"),
        ({"embedder_key": "k"}, "CARELINE_EMBEDDER_KEY is set, but CARELINE_EMBEDDER_URL is not"),
        ({**ENDPOINT, "embedder_url": "api.example"}, "must begin with http"),
        ({**ENDPOINT, "embedder_url": "http://api.example/v1", "embedder_key": "k"}, "must be https"),
        ({**ENDPOINT, "embedder_timeout_seconds": 3}, "CARELINE_EMBEDDER_TIMEOUT_SECONDS"),
        ({"knowledge_opensearch": {**INDEX, "index": "_all"}}, "pattern"),
        ({"knowledge_opensearch": {**INDEX, "url": "search.example"}}, "must begin with http"),
        ({"knowledge_opensearch": {**INDEX, "vektor": "v"}}, "vektor"),
        (
            {
                "knowledge_opensearch": INDEX,
                "knowledge_api": {
                    "url": "https://search.example",
                    "passage": {"article_id": "id", "title": "title", "text": "text"},
                },
            },
            "only one is asked",
        ),
    ],
)
def test_what_does_not_fit_together_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(**given)


def test_an_endpoint_with_a_key_here_and_an_index_with_credentials_are_taken() -> None:
    settings = Settings(
        **{**ENDPOINT, "embedder_url": "http://127.0.0.1:9/v1", "embedder_key": "k"},
        knowledge_opensearch=INDEX,
        knowledge_credentials="basic ada:secret",
    )

    assert settings.embedder_dimensions == 8
    assert settings.knowledge_opensearch is not None
    assert settings.knowledge_opensearch.serves("default")
    assert not settings.knowledge_opensearch.serves("other")
