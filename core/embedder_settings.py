"""
What turns texts into vectors for the search of articles: one group of the settings (`core.settings`).
"""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, model_validator

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class EmbedderSettings(BaseModel):
    embedder_folder: Path | None = Field(
        None,
        description="Folder with an ONNX sentence model of your own (`tokenizer.json`, `model.onnx`), in place of the one that "
        "the extra `semantic` brings, which it needs too (docs/connectors.md).",
    )
    embedder_url: str | None = Field(
        None,
        description="Base URL of an OpenAI-compatible server that makes the vectors, e.g. `https://api.openai.com/v1`. It "
        "is sent every article and every question that is searched for.",
    )
    embedder_model: str | None = Field(
        None, description="Name of the model that `CARELINE_EMBEDDER_URL` is asked for."
    )
    embedder_dimensions: int | None = Field(
        None, ge=2, le=8192, description="How many numbers a vector of that model has."
    )
    embedder_shortens: bool = Field(
        False,
        description="Whether that model is asked to shorten its vectors to `CARELINE_EMBEDDER_DIMENSIONS`.",
    )
    embedder_key: SecretStr | None = Field(
        None, description="Key for `CARELINE_EMBEDDER_URL`, sent as a bearer token."
    )

    @model_validator(mode="after")
    def _one_embedder_that_can_be_asked(self) -> Self:
        if self.embedder_folder is not None and self.embedder_url is not None:
            raise ValueError(
                "CARELINE_EMBEDDER_FOLDER and CARELINE_EMBEDDER_URL cannot both be set: an index knows one embedder"
            )
        if self.embedder_url is None:
            for name in ("embedder_model", "embedder_dimensions", "embedder_key"):
                if getattr(self, name) is not None:
                    raise ValueError(f"CARELINE_{name.upper()} is set, but CARELINE_EMBEDDER_URL is not")
            return self
        for name in ("embedder_model", "embedder_dimensions"):
            if getattr(self, name) is None:
                raise ValueError(f"CARELINE_EMBEDDER_URL needs CARELINE_{name.upper()}")
        _check_url(self.embedder_url, has_key=self.embedder_key is not None)
        return self


def _check_url(url: str, *, has_key: bool) -> None:
    shape = "CARELINE_EMBEDDER_URL must begin with http:// or https:// and name a host"
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(shape) from None
    if not is_good:
        raise ValueError(shape)
    if has_key and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("CARELINE_EMBEDDER_URL must be https where a key is sent to another machine")
